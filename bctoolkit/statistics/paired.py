"""Statistics of paired decisions: a reference and an artifact on the same images."""

from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from bctoolkit.documents import Document
from bctoolkit.statistics.clustered import design_effect
from bctoolkit.statistics.distributions import normal_quantile, root, sign_test, student_quantile

__all__ = [
    "PairedChange",
    "drop_interval",
    "images_needed",
    "mcnemar",
    "paired_change",
    "paired_mean_interval",
    "regressed_classes",
    "score_interval",
]

MOST_IMAGES = 10**7


class PairedChange(Document, frozen=True):
    """How often an artifact is right and its reference is not, and the reverse, on the same images."""

    count: int
    """Images both have answered."""
    regressed: int
    """Images only the reference is right on."""
    improved: int
    """Images only the artifact is right on."""
    drop: float
    """(regressed − improved) / count: the drop in accuracy, or within one class in recall."""
    ci95: tuple[float, float]
    """Of the drop: `score_interval`, of as many independent images as say as much."""
    design_effect: float = 1.0
    """How many of the images say as much as one independent image, see `statistics.clustered`; 1 without groups."""

    def interval(self, count: float) -> tuple[float, float]:
        """95 % interval of the drop that `count` images would give at the same rates, in groups like these."""
        independent = count / self.design_effect
        if independent <= 1 < self.design_effect:  # as one group, which tells nothing of others
            return -1.0, 1.0
        scale = independent / self.count
        return score_interval(self.regressed * scale, self.improved * scale, independent)


def paired_change(
    reference_right: NDArray[np.bool_], observed_right: NDArray[np.bool_], groups: NDArray[Any] | None = None
) -> PairedChange:
    """Count in what N paired decisions differ, with the interval of the drop.

    Args:
        reference_right: N.
        observed_right: N.
        groups: N names or numbers, alike for images of one patient or slide; None where all are independent.

    Returns:
        Where each image is a group of its own, the same as without groups.
    """
    lost = reference_right.astype(np.int64) - observed_right
    regressed, improved, count = int((lost > 0).sum()), int((lost < 0).sum()), len(lost)
    effect = 1.0 if groups is None else design_effect(lost, groups)
    change = PairedChange(count, regressed, improved, (regressed - improved) / count, (-1.0, 1.0), effect)
    return replace(change, ci95=change.interval(count))


def regressed_classes(changes: dict[str, PairedChange]) -> tuple[str, ...]:
    """The classes that regress beyond chance: in one of forty artifacts without a fault, at most, any is named.

    The score test of no drop, which is McNemar's, at a level shared among the classes that could be named at all: those
    of which enough images are decided differently (Tarone 1990, Biometrics 46:515–522). Where that is one class, it is
    named from four regressed images without an improved one on. Of images in groups it counts what as many independent
    ones would say.
    """
    differing = {name: (change.regressed + change.improved) / change.design_effect for name, change in changes.items()}
    for shared in range(1, len(changes) + 1):
        least = normal_quantile(1 - 0.025 / shared)
        if sum(count > least**2 for count in differing.values()) <= shared:
            break
    return tuple(
        name
        for name, change in changes.items()
        if (change.regressed - change.improved) / change.design_effect > least * float(np.sqrt(differing[name])) > 0
    )


def drop_interval(
    reference_right: NDArray[np.bool_], observed_right: NDArray[np.bool_], groups: NDArray[Any] | None = None
) -> tuple[float, float]:
    """95 % interval of the drop in accuracy, reference − observed: that of `paired_change`."""
    return paired_change(reference_right, observed_right, groups).ci95


def score_interval(regressed: float, improved: float, count: float) -> tuple[float, float]:
    """95 % score interval of (regressed − improved) / count (Tango 1998, Statistics in Medicine 17:891–908).

    The drops that a two-sided score test at 5 % does not refuse. At no drop that test is McNemar's, so the interval
    lies above 0 exactly where it refuses. Unlike the bootstrap it holds where few or no images are decided differently.
    """
    drop = (regressed - improved) / count
    normal = normal_quantile(0.975)
    near = 1e-12

    def beyond(bound: float, sign: int) -> float:
        return sign * _score(regressed, improved, count, bound) - normal

    low = -1.0 if beyond(-1 + near, 1) <= 0 else root(lambda bound: beyond(bound, 1), -1 + near, drop)
    high = 1.0 if beyond(1 - near, -1) <= 0 else root(lambda bound: beyond(bound, -1), drop, 1 - near)
    return float(low), float(high)


def _score(regressed: float, improved: float, count: float, drop: float) -> float:
    """Tango's statistic: how far the counts lie from `drop`, in standard errors under it."""
    distance = regressed - improved - count * drop
    if distance == 0:
        return 0.0
    linear = (2 * count - regressed + improved) * drop - regressed - improved
    root = np.sqrt(max(linear * linear + 8 * count * improved * drop * (1 - drop), 0.0))
    share = (root - linear) / (4 * count)
    variance = count * (2 * share + drop * (1 - drop))
    return float(distance / np.sqrt(variance)) if variance > 0 else float(np.copysign(np.inf, distance))


def paired_mean_interval(
    values: NDArray[np.float64], step: float, groups: NDArray[Any] | None = None
) -> tuple[float, float]:
    """95 % interval of the mean of one value per image: Student's, with half a value of +step and of −step added.

    The addition is that of Agresti & Min 2005 (Statistics in Medicine 24:729–740), who add half a regressed and half an
    improved image to paired decisions: where the images that matter are rare, the ones at hand may hold none of them,
    and neither Student's interval nor a bootstrap over the images knows of what is not there.

    Args:
        values: N.
        step: how much one image can count, if it counts.
        groups: N names or numbers, alike for images of one patient or slide: the variance is then as many times as
            large as `design_effect` says. None where all are independent.
    """
    effect = 1.0 if groups is None else design_effect(values, groups)
    count = len(values) + 1
    mean = float(values.sum()) / count
    variance = (float(((values - mean) ** 2).sum()) + mean**2 + step**2) / (count - 1)
    reach = student_quantile(0.975, count - 1) * float(np.sqrt(effect * variance / count))
    return mean - reach, mean + reach


def mcnemar(
    reference_right: NDArray[np.bool_], observed_right: NDArray[np.bool_], groups: NDArray[Any] | None = None
) -> float:
    """Exact two-sided McNemar test that both are right equally often (McNemar 1947).

    Of images that come in groups it is the sign test of the groups: whether as many have more regressed images than
    improved ones as the reverse.
    """
    lost = reference_right.astype(np.int64) - observed_right
    if groups is not None:
        lost = np.bincount(np.unique(groups.astype(str), return_inverse=True)[1], lost)
    return sign_test(int((lost > 0).sum()), int((lost < 0).sum()))


def images_needed(decided: Callable[[int], bool], count: int) -> int | None:
    """The least number of images, to two digits, from which `decided` holds if the rates stay what they are.

    Args:
        decided: whether so many images tell on which side of its limit a figure lies.
        count: images there are, which do not tell.

    Returns:
        None where ten million would not tell either.
    """
    low, high = count, 2 * count
    while not decided(high):
        low, high = high, 2 * high
        if high > MOST_IMAGES:
            return None
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high
