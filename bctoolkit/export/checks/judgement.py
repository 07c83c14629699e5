"""The one judgement of a quantized artifact: the search asks for it, and what it lets pass is sealed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data.stores import Images, take
from bctoolkit.documents import Outcome
from bctoolkit.documents.quantization import Gate, GateResult
from bctoolkit.export.checks.gate import check_gate, could_pass
from bctoolkit.statistics.metrics import Probabilities

__all__ = ["Judgement", "Validated", "Validation", "validate"]


@dataclass(frozen=True)
class Validation:
    """The labelled images an artifact is compared on: those of the validation part."""

    images: Images
    """N × height × width × channels uint8, in an order in which every class has its turn, as `stratified` gives it."""
    labels: NDArray[np.int64]
    """N true classes."""
    reference: NDArray[np.float32]
    """N × classes: probabilities of the float32 reference."""
    classes: tuple[str, ...]
    hashes: NDArray[np.uint8]
    """N × 32: SHA-256 of each image's decoded pixels."""
    groups: NDArray[np.object_] | None = None
    """N names of what an image was made of, such as a patient or a slide, where that is known."""
    whole: Callable[[], "Validation"] | None = None
    """The whole part, of which these are the first; None where these are all."""

    def check(self, observed: Probabilities, gate: Gate) -> GateResult:
        """Compare an artifact's probabilities, N × classes, with the reference's, see `check_gate`."""
        return check_gate(self.labels, self.reference, observed, self.classes, gate, self.groups)


@dataclass(frozen=True)
class Validated:
    """What an artifact answered on labelled images, and what the gate says of it."""

    validation: Validation
    """The images that it was judged on."""
    probabilities: Probabilities
    """N × classes."""
    gate: GateResult


def validate(validation: Validation, predict: Callable[[Images], Probabilities], gate: Gate) -> Validated:
    """Judge an artifact on the first images, and on the whole part where only more images could let it pass.

    Args:
        validation: the first images.
        predict: the artifact's probabilities.
        gate: what it may lose.
    """
    observed = predict(validation.images)
    result = validation.check(observed, gate)
    if validation.whole is None or not could_pass(result, gate):
        return Validated(validation, observed, result)
    whole, seen = validation.whole(), len(observed)
    observed = np.concatenate([observed, predict(take(whole.images, np.arange(seen, len(whole.labels))))])
    return Validated(whole, observed, whole.check(observed, gate))


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
