"""How surely an artifact's calibration has drifted."""

import numpy as np
from numpy.typing import NDArray

from bctoolkit.statistics import metrics, paired

__all__ = ["drift_interval"]

SURE = 2.0
"""Standard errors from which on the sign of a bin's gap is known."""
TYPICAL = 0.5
"""Gap of an image that is not among those at hand."""


def drift_interval(
    labels: NDArray[np.int64], observed: NDArray[np.float32], reference: NDArray[np.float32]
) -> tuple[float, float]:
    """95 % interval, on the safe side, of ECE(observed) − ECE(reference) on the same N images.

    ECE sums absolute gaps, which any bootstrap gets wrong near 0: there the absolute value bends, and resampling only
    ever makes it larger. So bins are parted, as Fang & Santos 2019 (Review of Economic Studies 86:377–412) do for
    functions with a bend. Where a gap's sign is known it is a mean over images like any other; where it is not, it
    lies between 0 and what was seen, and if neither side's sign is known, the two differ by no more than their gaps do.

    Args:
        labels: N positions of classes.
        observed: N × classes.
        reference: N × classes.
    """
    after, before = (metrics.calibration_gaps(labels, each) for each in (observed, reference))
    (high, high_error, high_sure), (low, low_error, low_sure) = map(_bins, (after, before))
    sure = (after * np.sign(high) * high_sure).sum(1) - (before * np.sign(low) * low_sure).sum(1)
    neither = np.where(~high_sure & ~low_sure, np.abs(high - low), 0.0)
    more = np.where(~high_sure & low_sure, np.abs(high) + high_error, neither)
    less = np.where(~low_sure & high_sure, np.abs(low) + low_error, neither)
    lower, upper = paired.paired_mean_interval(sure, TYPICAL)
    return lower - float(less.sum()), upper + float(more.sum())


def _bins(gaps: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Of each bin the mean gap, its standard error, and whether its sign is known."""
    mean, error = gaps.mean(0), gaps.std(0) / np.sqrt(len(gaps))
    return mean, error, np.abs(mean) > SURE * error
