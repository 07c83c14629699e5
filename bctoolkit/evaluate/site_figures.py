"""Figures that count every class the same, and how they differ from those on the home set."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bctoolkit.evaluate.report import Home, Restricted
from bctoolkit.statistics import independent
from bctoolkit.statistics.independent import Estimate
from bctoolkit.statistics.metrics import Probabilities, confusion

__all__ = ["HomeFigures", "against_home", "macro_recall", "recall_intervals", "restricted"]


class HomeFigures(NamedTuple):
    """What is known of a run or a bundle on images of the set that it was trained on."""

    part: str
    images: int
    right: int
    recall: Mapping[str, tuple[int, int]]
    """Class → images that were recognized, images; classes without images are not there."""


def _recalls(counts: NDArray[np.int64], labels: tuple[str, ...]) -> dict[str, Estimate]:
    rows = zip(labels, counts.diagonal().tolist(), counts.sum(1).tolist(), strict=True)
    return {name: independent.share(right, total) for name, right, total in rows if total}


def recall_intervals(counts: NDArray[np.int64], labels: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """The exact interval of each class's recall, from counts classes × classes."""
    return {name: (each.low, each.high) for name, each in _recalls(counts, labels).items()}


def macro_recall(counts: NDArray[np.int64], labels: tuple[str, ...]) -> Estimate:
    """The mean recall of the classes that have images."""
    return independent.mean_share(list(_recalls(counts, labels).values()))


def restricted(truth: NDArray[np.int64], probabilities: Probabilities, labels: tuple[str, ...]) -> Restricted:
    """The figures where answers are the likeliest of those classes that the set has.

    Args:
        truth: N positions in `labels`.
        probabilities: N × classes.
        labels: the network's.
    """
    there = np.unique(truth)
    only = np.zeros_like(probabilities)
    only[:, there] = probabilities[:, there] + np.finfo(np.float32).tiny  # one of them, even where all are 0
    counts = confusion(truth, only)
    accuracy = independent.share(int(np.trace(counts)), len(truth))
    return Restricted(tuple(labels[i] for i in there), accuracy, macro_recall(counts, labels))


def against_home(counts: NDArray[np.int64], labels: tuple[str, ...], home: HomeFigures) -> Home | None:
    """How figures differ from those on the home set; None where no class has images in both.

    Args:
        counts: classes × classes, of the images here.
        labels: the network's.
        home: figures there.
    """
    here = independent.share(int(np.trace(counts)), int(counts.sum()))
    there = independent.share(home.right, home.images)
    recalls = _recalls(counts, labels)
    both = {name: (recalls[name], independent.share(*home.recall[name])) for name in recalls if name in home.recall}
    if not both:
        return None
    new, old = (independent.mean_share(list(each)) for each in zip(*both.values(), strict=True))
    return Home(
        part=home.part,
        count=home.images,
        accuracy=there.value,
        accuracy_change=independent.difference(here, there),
        macro_recall=old.value,
        macro_recall_change=independent.difference(new, old),
        recall_change={name: independent.difference(*pair) for name, pair in both.items()},
    )
