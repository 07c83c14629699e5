"""What a bundle, and the reference, say of each image: the raw truth of a report's parity."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.statistics.metrics import Probabilities

__all__ = ["Answered", "LabelledAnswers"]


@dataclass(frozen=True)
class LabelledAnswers:
    """What a bundle, and where it is known the reference, say of N labelled images."""

    hashes: NDArray[np.uint8]
    """N × 32: each image's content hash."""
    labels: NDArray[np.int64]
    """N positions in the bundle's labels."""
    observed: Probabilities
    """N × classes."""
    reference: Probabilities | None
    """None where the bundle knows none of these images."""
    sample: NDArray[np.int64] | None = None
    """M of the N, which went through the corruption suite; None where it was not asked for."""
    corrupted: NDArray[np.int16] | None = None
    """M × corruptions × severities: the class said of each."""


@dataclass(frozen=True)
class Answered:
    """All answers parity rests on: the raw truth of `ParityReport`."""

    golden: Probabilities
    labelled: LabelledAnswers | None

    def save(self, path: Path) -> None:
        """Write an `.npz`."""
        arrays: dict[str, NDArray[Any]] = {"golden": self.golden}
        if (known := self.labelled) is not None:
            arrays |= {"hashes": known.hashes, "labels": known.labels, "observed": known.observed}
            optional = {"reference": known.reference, "sample": known.sample, "corrupted": known.corrupted}
            arrays |= {name: array for name, array in optional.items() if array is not None}
        with path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def read(cls, path: Path) -> "Answered":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        golden = arrays.pop("golden")
        return cls(golden, LabelledAnswers(**{"reference": None} | arrays) if arrays else None)
