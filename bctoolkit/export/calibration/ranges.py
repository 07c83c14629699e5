"""The images that set the ranges of activations, and the ranges that follow from the values on them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data import Dataset, Parts
from bctoolkit.data.dataset import rows, stratified
from bctoolkit.documents.quantization import Method
from bctoolkit.errors import DatasetError, ExportError
from bctoolkit.export.calibration.histogram import Extremes, Histogram
from bctoolkit.statistics.metrics import kl_divergence

__all__ = ["Calibration", "RangeCollector", "choose"]

LEVELS = 256
"""Of an int8 or uint8 activation."""
WINDOWS = 128
"""Ranges that `entropy` tries, each some 3 % wider than the one before."""


@dataclass(frozen=True)
class Calibration:
    """Images of the training part, and by which hashes anyone can identify them."""

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
    indices = stratified(dataset, parts.train, count)
    if not len(indices):
        raise DatasetError(f"{dataset.source}: the train part is empty; there is nothing to calibrate on")
    hashes = dataset.hashes[indices]
    for part in ("validation", "test"):
        held_out = set(rows(dataset.hashes[getattr(parts, part)]))
        leaked = [key for key in rows(hashes) if key in held_out]
        if leaked:
            raise DatasetError(
                f"{dataset.source}: {len(leaked)} of {len(indices)} calibration images are in the {part} part too, "
                f"the first with SHA-256 {leaked[0].hex()[:16]}…; an artifact must not be checked on them: split anew"
            )
    labels = dataset.labels[indices]
    counts = {name: int((labels == index).sum()) for index, name in enumerate(dataset.classes)}
    return Calibration(dataset.images[indices], hashes, counts)


class RangeCollector:
    """Gathers the range of each tensor from its values on batch after batch; memory does not grow with the batches.

    Args:
        method: `minmax`, `percentile` or `entropy`.
        percentile: share of the values, in percent, that `percentile` keeps inside; half of the rest lies above it.
    """

    def __init__(self, method: Method = "minmax", percentile: float = 99.99) -> None:
        tail = (1 - percentile / 100) / 2
        ways: dict[Method, Callable[[Any], tuple[float, float]]] = {
            "minmax": lambda seen: (seen.low, seen.high),
            "percentile": lambda seen: (seen.quantile(tail), seen.quantile(1 - tail)),
            "entropy": least_divergence,
        }
        self._range = ways[method]
        self._statistic = Extremes if method == "minmax" else Histogram
        self._seen: dict[str, Extremes] = {}

    def update(self, values: Mapping[str, NDArray[np.float32]]) -> None:
        """Take in the values of each named tensor on one batch: arrays of any shape, not empty.

        Raises:
            ExportError: a value is not finite; the message names the tensor.
        """
        for name, array in values.items():
            if not np.isfinite([array.min(), array.max()]).all():
                count = int((~np.isfinite(array)).sum())
                raise ExportError(
                    f"{name}: {count} of {array.size} values are not finite on the calibration images, "
                    "so it has no range; the float32 network itself overflows there"
                )
            self._seen.setdefault(name, self._statistic()).add(array)

    def ranges(self) -> dict[str, tuple[float, float]]:
        """The lowest and highest value of each tensor to represent.

        These lie within the values seen: they need not hold zero, and are equal for a constant tensor.
        """
        return {name: self._range(seen) for name, seen in self._seen.items()}


def least_divergence(seen: Histogram) -> tuple[float, float]:
    """The range whose 256 levels keep most of the information in the distribution of the values.

    Of windows −t … t, cut to the values seen, the one with the least Kullback-Leibler divergence of the quantized
    distribution from the original whose outer values are moved to the edges (Migacz 2017, 8-bit Inference with
    TensorRT, GTC, slides 20–36). As in NVIDIA's pytorch-quantization, the bins at zero count no more than their
    neighbours: zero has a level of its own, and after a ReLU its peak would otherwise outweigh all else.
    """
    width, zero, counts = seen.around_zero()
    for near, beyond in ((zero, zero + 1), (zero - 1, zero - 2)):
        if 0 <= beyond < counts.size:
            counts[near] = min(counts[near], counts[beyond])
    reach = max(zero, counts.size - zero)
    halves = np.unique(np.geomspace(min(LEVELS // 2, reach), reach, WINDOWS).round().astype(int)).tolist()
    best = min(reversed(halves), key=lambda half: _divergence(counts, max(zero - half, 0), zero + half))
    return max(seen.low, -best * width), min(seen.high, best * width)


def _divergence(counts: NDArray[np.int64], start: int, stop: int) -> float:
    """KL divergence, in nats, of what `LEVELS` equal steps over the bins `start` … `stop` − 1 make of all counts."""
    window = counts[start:stop]
    if not window.any():
        return math.inf
    original = window.astype(np.float64)
    original[0] += counts[:start].sum()
    original[-1] += counts[stop:].sum()
    level = np.arange(window.size) * LEVELS // window.size
    filled = original > 0
    mass = np.bincount(level, window)
    bins = np.bincount(level, filled)
    # A level that holds moved values only counts half a value, so that it is unlikely and not impossible.
    quantized = np.maximum(mass, 0.5)[level[filled]] / bins[level[filled]]
    return float(kl_divergence(original[filled], quantized))
