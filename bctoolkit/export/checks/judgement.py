"""The one judgement of a quantized artifact: the search asks for it, and what it lets pass is sealed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents import Outcome
from bctoolkit.export.checks.gate import GateResult

__all__ = ["Judgement", "Validation"]


@dataclass(frozen=True)
class Validation:
    """The labelled images an artifact is compared on: those of the validation part."""

    images: NDArray[np.uint8]
    """N × height × width × channels, in an order in which every class has its turn, as `stratified` gives it."""
    labels: NDArray[np.int64]
    """N true classes."""
    reference: NDArray[np.float32]
    """N × classes: probabilities of the float32 reference."""
    classes: tuple[str, ...]
    hashes: NDArray[np.uint8]
    """N × 32: SHA-256 of each image's decoded pixels."""


@dataclass(frozen=True)
class Judgement:
    """What an artifact loses, and all that speaks against sealing it."""

    gate: GateResult | None
    """Its accuracy on labelled images; None where none are known."""
    violations: tuple[str, ...] = ()
    """What it breaks of the limits on its distance from the fp32 artifact and from the reference."""

    @property
    def outcome(self) -> Outcome:
        """`undecided`: nothing speaks against the artifact, but too few images show that its accuracy holds."""
        if self.violations:
            return Outcome.FAILED
        return Outcome.PASSED if self.gate is None else self.gate.outcome

    @property
    def reasons(self) -> tuple[str, ...]:
        """What speaks against the artifact, the gravest first."""
        return self.violations + (() if self.gate is None else self.gate.reasons)

    @property
    def summary(self) -> str:
        """The outcome with its figures, in words."""
        drop = "" if self.gate is None else f", accuracy drop {self.gate.accuracy_drop:.2%}"
        return f"{self.outcome}{drop}" + (f", {self.violations[0]}" if self.violations else "")
