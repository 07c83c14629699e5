"""The images that set the ranges of activations, and the ranges that follow from them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data import Dataset, Parts
from bctoolkit.data.dataset import rows, stratified
from bctoolkit.errors import DatasetError, ExportError
from bctoolkit.quantizing import Method

__all__ = ["Calibration", "RangeCollector", "choose"]


@dataclass(frozen=True)
class Calibration:
    """Images of the training part, and how anyone can tell which they were."""

    images: NDArray[np.uint8]
    """N × height × width × 3, values 0–255."""
    hashes: NDArray[np.uint8]
    """N × 32: SHA-256 of each image's decoded pixels."""
    counts: dict[str, int]
    """Images of each class."""


def choose(dataset: Dataset, parts: Parts, count: int) -> Calibration:
    """Choose up to `count` images of the training part, one of each class in turn.

    An image's content decides its turn, so the choice does not depend on the order of the set.

    Raises:
        DatasetError: the training part is empty, or holds an image that is also in validation or test.
    """
    chosen = stratified(dataset, parts.train, count)
    if not len(chosen):
        raise DatasetError(f"{dataset.source}: the train part is empty; there is nothing to calibrate on")
    hashes = dataset.hashes[chosen]
    for part in ("validation", "test"):
        held_out = set(rows(dataset.hashes[getattr(parts, part)]))
        found = [key for key in rows(hashes) if key in held_out]
        if found:
            raise DatasetError(
                f"{dataset.source}: {len(found)} of {len(chosen)} calibration images are also in the {part} part, "
                f"the first with SHA-256 {found[0].hex()[:16]}…; split the set anew"
            )
    labels = dataset.labels[chosen]
    counts = {name: int((labels == index).sum()) for index, name in enumerate(dataset.classes)}
    return Calibration(dataset.images[chosen], hashes, counts)


class RangeCollector:
    """Gathers the range of each tensor from its values on batch after batch; memory does not grow with the batches.

    Args:
        method: `minmax`, `percentile` or `entropy`.
        percentile: share of the values, in percent, that `percentile` keeps inside.
    """

    def __init__(self, method: Method = "minmax", percentile: float = 99.99) -> None:
        self._extremes: dict[str, tuple[float, float]] = {}

    def update(self, values: Mapping[str, NDArray[np.float32]]) -> None:
        """Take in the values of each named tensor on one batch; arrays of any shape, not empty.

        Raises:
            ExportError: a value is not finite; the message names the tensor.
        """
        for name, array in values.items():
            low, high = float(array.min()), float(array.max())
            if not np.isfinite([low, high]).all():
                raise ExportError(f"{name}: not all values are finite on the calibration images")
            before = self._extremes.get(name, (low, high))
            self._extremes[name] = min(before[0], low), max(before[1], high)

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each tensor to represent; neither is moved to include zero.

        Raises:
            ExportError: no values were taken in.
        """
        if not self._extremes:
            raise ExportError("no calibration values were seen")
        return dict(self._extremes)
