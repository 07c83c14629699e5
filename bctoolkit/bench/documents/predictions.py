"""The probabilities that a bundle, and the reference, give for each image: the raw truth of a report's parity."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import RecipeError
from bctoolkit.statistics.metrics import Probabilities
from bctoolkit.untrusted.archives import open_archive
from bctoolkit.untrusted.arrays import ArraySpec, read_npz
from bctoolkit.untrusted.files import read_bounded

__all__ = ["LabelledPredictions", "Predictions"]

MOST_BYTES = 2**30
"""Of a file, and of its arrays unpacked."""
ARRAYS = {
    "golden": ArraySpec((None, None), "<f4"),
    "foreign": ArraySpec((None, None), "<f4"),
    "hashes": ArraySpec((None, 32), "|u1"),
    "labels": ArraySpec((None,), "<i8"),
    "observed": ArraySpec((None, None), "<f4"),
    "reference": ArraySpec((None, None), "<f4"),
    "groups": ArraySpec((None,), "<i8"),
    "sample": ArraySpec((None,), "<i8"),
    "corrupted": ArraySpec((None, None, None), "<i2"),
}


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
    groups: NDArray[np.int64] | None = None
    """N numbers, alike for images of one patient or slide; None where that is not known."""


@dataclass(frozen=True)
class Predictions:
    """All predictions that parity rests on: the raw truth of `ParityReport`."""

    golden: Probabilities
    labelled: LabelledPredictions | None
    foreign: Probabilities | None = None
    """Of pictures of which none belongs to a class, in their order; None where there are none."""

    def save(self, path: Path) -> None:
        """Write an `.npz`."""
        arrays: dict[str, NDArray[Any]] = {"golden": self.golden}
        if self.foreign is not None:
            arrays["foreign"] = self.foreign
        if (labelled := self.labelled) is not None:
            arrays |= {"hashes": labelled.hashes, "labels": labelled.labels, "observed": labelled.observed}
            optional = ("reference", "groups", "sample", "corrupted")
            arrays |= {name: array for name in optional if (array := getattr(labelled, name)) is not None}
        with path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """Read what `save` wrote.

        Raises:
            RecipeError: it is something else, or its arrays do not fit each other.
        """
        content = read_bounded(path, MOST_BYTES, RecipeError)
        with open_archive(io.BytesIO(content), str(path), RecipeError, most_members=len(ARRAYS)) as archive:
            present = [name for name in ARRAYS if f"{name}.npy" in archive.namelist() or name == "golden"]
        specs = {name: ARRAYS[name] for name in present}
        arrays: dict[str, Any] = read_npz(content, specs, str(path), RecipeError, most=MOST_BYTES)
        golden, foreign = arrays.pop("golden"), arrays.pop("foreign", None)
        if not arrays:
            return cls(golden, None, foreign)
        missing = {"hashes", "labels", "observed"} - set(arrays)
        labelled = None if missing else LabelledPredictions(**{"reference": None} | arrays)
        if labelled is None or not _fit(labelled):
            raise RecipeError(f"{path}: arrays that do not fit each other; measure again")
        return cls(golden, labelled, foreign)


def _fit(labelled: LabelledPredictions) -> bool:
    """Whether the arrays are of the same images and classes."""
    count, classes = labelled.observed.shape
    sample, corrupted, reference = labelled.sample, labelled.corrupted, labelled.reference
    return (
        len(labelled.hashes) == len(labelled.labels) == count
        and _within(labelled.labels, classes)
        and (reference is None or reference.shape == labelled.observed.shape)
        and (labelled.groups is None or len(labelled.groups) == count)
        and (sample is None) == (corrupted is None)
        and (sample is None or corrupted is None or (len(sample) == len(corrupted) and _within(sample, count)))
    )


def _within(positions: NDArray[np.int64], count: int) -> bool:
    return len(positions) == 0 or bool(0 <= positions.min() <= positions.max() < count)
