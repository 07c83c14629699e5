"""What calibration remembers of a tensor's values: extremes, or a histogram of bounded size."""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["Extremes", "Histogram"]

BINS = 8192
"""A histogram spans more than half as many, so 255 levels of int8 have 16 bins each or more."""
CHUNK = 1 << 17
"""Values counted at a time: their float64 copy stays in a CPU's cache."""
SMALLEST = 2.0**-126
"""The least normal float32."""


class Extremes:
    """The lowest and highest value."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in finite values, of any shape but at least one."""
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))


class Histogram(Extremes):
    """Counts of values in at most `BINS` bins, which widen by merging neighbours when a value falls outside.

    Bins are 2^k wide and begin at multiples of 2^k, with the least k at which all values so far have room. Merging two
    bins therefore gives the very bin that would have been counted into, and the histogram depends on the values alone:
    neither on their order nor on how they were cut into batches.
    """

    def __init__(self) -> None:
        super().__init__()
        self._exponent, self._first, self._counts = 0, 0, np.zeros(0, np.int64)

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in finite values, of any shape but at least one."""
        super().add(values)
        self._exponent, self._first, self._counts = self._covering(self.low, self.high)
        flat = values.ravel()
        for start in range(0, flat.size, CHUNK):
            index = np.floor(flat[start : start + CHUNK] * np.float64(2.0**-self._exponent)) - self._first
            self._counts += np.bincount(index.astype(np.intp), minlength=self._counts.size)

    @property
    def width(self) -> float:
        """Of one bin."""
        return 2.0**self._exponent

    def quantile(self, share: float) -> float:
        """The value below which `share` (0–1) of the values lie, to within one bin of `numpy.quantile` of them all."""
        total = np.cumsum(self._counts)
        position = share * float(total[-1] - 1)
        # Each of the two ordered values that numpy interpolates between lies in the bin at its rank.
        ranks = np.array([math.floor(position), math.ceil(position)])
        below, above = (np.searchsorted(total, ranks, side="right") + self._first + 0.5) * self.width
        return float(np.clip(below + (above - below) * (position % 1), self.low, self.high))

    def around_zero(self) -> tuple[float, int, NDArray[np.int64]]:
        """The histogram over a range that holds zero: width of a bin, index of the bin that begins at 0, counts."""
        exponent, first, counts = self._covering(min(self.low, 0.0), max(self.high, 0.0))
        return 2.0**exponent, -first, counts

    def _covering(self, low: float, high: float) -> tuple[int, int, NDArray[np.int64]]:
        """Exponent, index of the first bin and counts over `low` … `high`, which hold all values counted so far."""
        exponent = _finest(low, high)
        first, last = _bin(low, exponent), _bin(high, exponent)
        counts = np.zeros(last - first + 1, np.int64)
        if self._counts.size:
            before = self._first + np.arange(self._counts.size)
            np.add.at(counts, (before >> min(exponent - self._exponent, 62)) - first, self._counts)
        return exponent, first, counts


def _finest(low: float, high: float) -> int:
    """The least k at which `low` … `high` fit in `BINS` bins of 2^k, and not less than float32 can resolve."""
    exponent = math.frexp(max(-low, high, SMALLEST))[1] - 24
    while _bin(high, exponent) - _bin(low, exponent) >= BINS:
        exponent += 1
    return exponent


def _bin(value: float, exponent: int) -> int:
    return math.floor(math.ldexp(value, -exponent))
