"""Shares of independent samples: the interval of one, of the mean of several, and of a difference."""

import math
from collections.abc import Sequence

from bctoolkit.documents import Document
from bctoolkit.statistics.distributions import binomial_interval

__all__ = ["Estimate", "difference", "mean_share", "share"]


class Estimate(Document, frozen=True):
    """A share, or a difference of two, with its 95 % interval."""

    value: float
    low: float
    high: float


def share(hits: int, count: int) -> Estimate:
    """A proportion with its exact interval (Clopper & Pearson 1934).

    Args:
        hits: of the images, those that count.
        count: images, at least one.
    """
    return Estimate(hits / count, *binomial_interval(hits, count, 0.95))


def mean_share(shares: Sequence[Estimate]) -> Estimate:
    """The mean of independent proportions, as macro recall is one of recalls.

    The interval recovers variances from those of the parts (Zou & Donner 2008, doi:10.1002/sim.3095). With exact
    intervals of the parts it held the truth in 93.6 to 97.8 % of simulated sets of 2 to 8 classes; with score intervals
    in 89 % where all recalls are near 1.

    Args:
        shares: at least one.
    """
    count = len(shares)
    value = sum(each.value for each in shares) / count
    below = math.sqrt(sum((each.value - each.low) ** 2 for each in shares)) / count
    above = math.sqrt(sum((each.high - each.value) ** 2 for each in shares)) / count
    return Estimate(value, max(value - below, 0.0), min(value + above, 1.0))


def difference(new: Estimate, old: Estimate) -> Estimate:
    """New minus old, of independent samples: the hybrid of two intervals of Newcombe 1998 (Stat Med 17:873–890)."""
    value = new.value - old.value
    below = math.hypot(new.value - new.low, old.high - old.value)
    above = math.hypot(new.high - new.value, old.value - old.low)
    return Estimate(value, max(value - below, -1.0), min(value + above, 1.0))
