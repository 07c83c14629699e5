"""Whether the values of one sample tend to be larger than those of another."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents import Document

__all__ = ["Superiority", "superiority"]

STEPS = 60
"""Halvings of an interval, until float64 holds no more."""


class Superiority(Document, frozen=True):
    """In how many pairs of a new and a stored value the new one is the larger."""

    share: float
    """0.5 where neither tends to be larger."""
    low: float
    """Lower end of the share's interval."""
    high: float
    """Interval of the share."""


def superiority(stored: NDArray[np.floating[Any]], new: NDArray[np.floating[Any]], deviations: float) -> Superiority:
    """The probability that a new value exceeds a stored one, with its score-type interval.

    The share is Mann & Whitney's U by the number of pairs, the area under the ROC curve; ties count half. The interval
    is method 5 of Newcombe 2006 (Statistics in Medicine 25:559–573): it holds near 0 and 1, where others shrink to
    nothing.

    Args:
        stored: M values.
        new: N values.
        deviations: half the interval's width in standard deviations of a normal: 1.96 for 95 %.
    """
    ordered = np.sort(stored)
    below, up_to = (np.searchsorted(ordered, new, side) for side in ("left", "right"))
    share = float((below + up_to).mean()) / 2 / len(stored)
    count = len(stored), len(new)
    low, high = 1 - _upper_bound(1 - share, count, deviations), _upper_bound(share, count, deviations)
    return Superiority(share, low, high)


def _upper_bound(share: float, count: tuple[int, int], deviations: float) -> float:
    """The largest share from which the observed one lies at most so many of its standard deviations off."""
    inside, outside = share, 1.0
    for _ in range(STEPS):
        middle = (inside + outside) / 2
        if middle - share <= deviations * _deviation(middle, count):
            inside = middle
        else:
            outside = middle
    return inside


def _deviation(share: float, count: tuple[int, int]) -> float:
    """Of an observed share where it should be `share`: Hanley & McNeil 1982 with the mean of the two numbers."""
    pairs, mean = count[0] * count[1], (count[0] + count[1]) / 2
    spread = 1 + (mean - 1) * ((1 - share) / (2 - share) + share / (1 + share))
    return float(np.sqrt(share * (1 - share) * spread / pairs))
