"""What images say that belong together: those of one patient or slide are right or wrong together."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.statistics.distributions import binomial_interval, student_quantile

__all__ = ["FEW_GROUPS", "clustered_interval", "design_effect", "number_of", "taken"]

LEVEL = 0.95

FEW_GROUPS = 10
"""With fewer groups an interval says little: how much groups differ is hardly known."""


def number_of(groups: NDArray[Any] | None) -> int | None:
    """How many groups there are, by N names or numbers; None where they are not known."""
    return None if groups is None else len({*groups.tolist()})


def taken(groups: NDArray[Any] | None, index: NDArray[Any]) -> NDArray[Any] | None:
    """The groups of the images at `index`, positions or a mask; None where they are not known."""
    return None if groups is None else groups[index]


def clustered_interval(right: NDArray[np.bool_], groups: NDArray[Any]) -> tuple[float, float]:
    """95 % interval of a share over images that come in groups.

    Korn & Graubard 1998 (Survey Methodology 24:193): the exact binomial interval (Clopper & Pearson 1934) of as many
    independent images as would tell as much, by the variance between groups (linearized, with replacement) and
    Student's t for their number. Where all images are right, or all wrong, that variance is not known: then each group
    counts as one image.

    Args:
        right: N.
        groups: N names or numbers, alike for images of one group.

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


def design_effect(values: NDArray[Any], groups: NDArray[Any]) -> float:
    """How many images that come in groups say as much of a mean as one independent image does.

    The variance of the mean between groups (a ratio of sums of groups, as Obuchowski 1998, Statistics in Medicine
    17:1495-1507, has it for paired decisions) over that of as many independent images, at least 1, and Student's t for
    what it is estimated from squared (Korn & Graubard 1998, Survey Methodology 24:193). Most images are decided alike
    and tell nothing of how much groups differ, so t is that of the groups which hold another value than 0, against
    that of the images which do. Where these groups are fewer than two, each group counts as one image at most.

    Args:
        values: N, 0 where an image tells of no difference; of paired decisions -1, 0 and 1.
        groups: N names or numbers, alike for images of one group.

    Returns:
        Exactly 1 where each image is a group of its own, whatever the order of images and groups; N for one group.
    """
    _, member = np.unique(groups.astype(str), return_inverse=True)
    sizes = np.bincount(member)
    count, images = len(sizes), len(values)
    if count < 2:
        return float(images)
    total = math.fsum(values)
    between = _spread(images * np.bincount(member, values) - total * sizes)
    alone = _spread(images * values - total)
    observed = max(1.0, between / alone) if alone else 1.0
    informative = np.flatnonzero(values)
    informative_groups = len(np.unique(member[informative]))
    if informative_groups < 2 or not alone:
        return max(observed, images / count)
    t_images, t_groups = (student_quantile((1 + LEVEL) / 2, n - 1) for n in (len(informative), informative_groups))
    return observed * (t_groups / t_images) ** 2


def _spread(deviations: NDArray[Any]) -> float:
    """The variance of a sum of independent deviations, whatever their order (`fsum` rounds once)."""
    return len(deviations) / (len(deviations) - 1) * math.fsum(deviations.astype(np.float64) ** 2)
