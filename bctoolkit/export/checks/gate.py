"""Whether a quantized artifact may ship: the float32 reference and the artifact on the same labelled images."""

import math
from bisect import bisect_left
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents import Document, Outcome, worst
from bctoolkit.documents.quantization import Gate
from bctoolkit.statistics.metrics import by_class
from bctoolkit.statistics.paired import drop_interval

__all__ = ["GateResult", "check_gate", "fewest"]

Finding = tuple[Outcome, str]
Decisions = NDArray[np.bool_]
"""N: whether each image was classified correctly."""


class GateResult(Document, frozen=True, kw_only=True):
    """What an artifact loses, and whether the gate lets it pass."""

    outcome: Outcome
    """`undecided`: too few images to show that the accuracy holds, and nothing shows that it does not."""
    reasons: tuple[str, ...]
    """What speaks against the artifact, the gravest first; empty where nothing does."""
    count: int
    """Images the artifact was compared on."""
    accuracy: float
    accuracy_drop: float
    """Reference − artifact, 0–1."""
    accuracy_drop_ci95: tuple[float, float]
    """Paired interval, see `paired.drop_interval`."""
    recall_drop: dict[str, float | None]
    """Of each class; None for a class without images."""
    worst_class: str
    worst_recall_drop: float


def fewest(limit: float) -> int:
    """Images without which not even an artifact that decides all of them alike is shown to lose at most `limit`."""

    def is_enough(count: int) -> bool:
        alike = np.ones(count, np.bool_)
        return drop_interval(alike, alike)[1] <= limit

    counts = range(1, math.ceil(8 / limit))  # twice the 3.7 / limit of an exact bound, the 3.8 / limit of a score's
    return counts[bisect_left(counts, True, key=is_enough)]


def check_gate(
    labels: NDArray[np.integer[Any]],
    reference: NDArray[np.float32],
    observed: NDArray[np.float32],
    classes: tuple[str, ...],
    gate: Gate,
) -> GateResult:
    """Compare an artifact's probabilities with the reference's on the same labelled images.

    Accuracy: the artifact has to prove itself. The upper end of the paired 95 % interval of its drop must not exceed
    the limit. With fewer than `fewest(limit)` images no artifact could prove that; then only a lower end above the
    limit fails.

    Recall: a class has far fewer images, and one of thirty is 3.3 points, so no artifact could prove itself on small
    classes. A class fails if its observed drop exceeds the limit and the drop's paired 95 % interval lies above zero:
    the loss is too large, and real. Without gains to set against them, up to three lost images may be chance.

    Args:
        labels: N true classes.
        reference: N × classes, the float32 reference's probabilities.
        observed: N × classes, the artifact's.
        classes: names of the classes.
        gate: the limits.

    Raises:
        ValueError: there are no images, or the shapes do not belong together.
    """
    if not len(labels) or not reference.shape == observed.shape == (len(labels), len(classes)):
        raise ValueError(f"{len(labels)} labels, {reference.shape} and {observed.shape} for {len(classes)} classes")
    before, after = reference.argmax(1) == labels, observed.argmax(1) == labels
    interval = drop_interval(before, after)
    members = [labels == index for index in range(len(classes))]
    drops = np.array([_drop(before[mask], after[mask]) for mask in members])
    findings = _check_accuracy(len(labels), interval, gate.max_accuracy_drop)
    for name, mask in zip(classes, members, strict=True):
        findings += _check_recall(name, before[mask], after[mask], gate.max_recall_drop)
    findings.sort(key=lambda finding: finding[0].severity, reverse=True)
    largest = int(np.nanargmax(drops))
    return GateResult(
        outcome=worst(outcome for outcome, _ in findings),
        reasons=tuple(reason for _, reason in findings),
        count=len(labels),
        accuracy=float(after.mean()),
        accuracy_drop=_drop(before, after),
        accuracy_drop_ci95=interval,
        recall_drop=by_class(drops, classes),
        worst_class=classes[largest],
        worst_recall_drop=float(drops[largest]),
    )


def _check_accuracy(count: int, interval: tuple[float, float], limit: float) -> list[Finding]:
    low, high = interval
    needed = fewest(limit)
    if high <= limit:
        return []
    if count >= needed:
        return [(Outcome.FAILED, f"accuracy drop could be up to {high:.2%} (upper 95 % bound); limit {limit:.2%}")]
    if low > limit:
        return [(Outcome.FAILED, f"accuracy drop is at least {low:.2%} (lower 95 % bound); limit {limit:.2%}")]
    few = f"{count} labelled validation images are too few to show that accuracy drops by at most {limit:.2%}"
    return [(Outcome.UNDECIDED, f"{few}; that takes {needed} or more")]


def _check_recall(name: str, before: Decisions, after: Decisions, limit: float) -> list[Finding]:
    drop = _drop(before, after)
    if not drop > limit:  # NaN, too, for a class without images
        return []
    loss = f"class {name!r}: recall drop {drop:.2%} on {len(before)} images; limit {limit:.2%}"
    if drop_interval(before, after)[0] > 0:
        return [(Outcome.FAILED, loss)]
    return [(Outcome.PASSED, f"{loss}; not significant with this few images")]


def _drop(before: Decisions, after: Decisions) -> float:
    """The share of images that the reference classifies correctly less that of the artifact; NaN without images."""
    return (int(before.sum()) - int(after.sum())) / len(before) if len(before) else math.nan
