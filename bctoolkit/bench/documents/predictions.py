"""The probabilities that a bundle, and the reference, give for each image: the raw truth of a report's parity."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.statistics.metrics import Probabilities

__all__ = ["LabelledPredictions", "Predictions"]


@dataclass(frozen=True)
class LabelledPredictions:
    """What a bundle, and where it carries it the reference, predict for N labelled images."""

    hashes: NDArray[np.uint8]
    """N × 32: each image's content hash."""
    labels: NDArray[np.int64]
    """N positions in the bundle's labels."""
    observed: Probabilities
    """N × classes."""
    reference: Probabilities | None
    """None where the bundle carries none of these images."""
    sample: NDArray[np.int64] | None = None
    """M of the N, which went through the corruption suite; None where it was left out."""
    corrupted: NDArray[np.int16] | None = None
    """M × corruptions × severities: the class predicted for each."""


@dataclass(frozen=True)
class Predictions:
    """All predictions that parity rests on: the raw truth of `ParityReport`."""

    golden: Probabilities
    labelled: LabelledPredictions | None

    def save(self, path: Path) -> None:
        """Write an `.npz`."""
        arrays: dict[str, NDArray[Any]] = {"golden": self.golden}
        if (labelled := self.labelled) is not None:
            arrays |= {"hashes": labelled.hashes, "labels": labelled.labels, "observed": labelled.observed}
            optional = {
                "reference": labelled.reference, "sample": labelled.sample, "corrupted": labelled.corrupted
            }  # fmt: skip
            arrays |= {name: array for name, array in optional.items() if array is not None}
        with path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        golden = arrays.pop("golden")
        return cls(golden, LabelledPredictions(**{"reference": None} | arrays) if arrays else None)
