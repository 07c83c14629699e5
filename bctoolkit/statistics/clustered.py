"""Intervals of a share where images belong together: those of one patient or slide are right or wrong together."""

import numpy as np
from numpy.typing import NDArray

from bctoolkit.statistics.distributions import binomial_interval, student_quantile

__all__ = ["FEW_GROUPS", "clustered_interval"]

LEVEL = 0.95

FEW_GROUPS = 10
"""With fewer groups an interval says little: how much groups differ is hardly known."""


def clustered_interval(right: NDArray[np.bool_], groups: NDArray[np.object_]) -> tuple[float, float]:
    """95 % interval of a share over images that come in groups.

    Korn & Graubard 1998 (Survey Methodology 24:193): the exact binomial interval (Clopper & Pearson 1934) of as many
    independent images as would tell as much, by the variance between groups (linearized, with replacement) and
    Student's t for their number. Where all images are right, or all wrong, that variance is not known: then each group
    counts as one image.

    Args:
        right: N.
        groups: N names.

    Returns:
        Low and high end, 0–1; the whole range for one group alone.
    """
    _, member = np.unique(groups.astype(str), return_inverse=True)
    count, images, share = int(member.max()) + 1, len(right), float(np.mean(right))
    if count < 2:
        return 0.0, 1.0
    excess = np.bincount(member, right - share)
    variance = count / (count - 1) * float(np.sum(excess**2)) / images**2
    alone = share * (1 - share) / images
    if alone == 0:
        return binomial_interval(share * count, count, LEVEL)
    t_images, t_groups = (student_quantile((1 + LEVEL) / 2, freedom) for freedom in (images - 1, count - 1))
    independent = images if variance == 0 else min(images, images * alone / variance)
    effective = independent * (t_images / t_groups) ** 2
    return binomial_interval(share * effective, effective, LEVEL)
