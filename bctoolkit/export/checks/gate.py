"""Whether a quantized artifact may ship: the float32 reference and the artifact on the same labelled images."""

import math
from bisect import bisect_left
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents import Outcome, worst
from bctoolkit.documents.quantization import Gate, GateResult
from bctoolkit.rendering.groups import over_groups
from bctoolkit.statistics.clustered import number_of, taken
from bctoolkit.statistics.metrics import by_class
from bctoolkit.statistics.paired import PairedChange, drop_interval, paired_change

__all__ = ["check_gate", "could_pass", "fewest"]

Finding = tuple[Outcome, str]
Decisions = NDArray[np.bool_]
"""N: whether each image was classified correctly."""


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
    groups: NDArray[Any] | None = None,
) -> GateResult:
    """Compare an artifact's probabilities with the reference's on the same labelled images.

    Accuracy: the artifact has to prove itself. The upper end of the paired 95 % interval of its drop must not exceed
    the limit. With fewer than `fewest(limit)` images no artifact could prove that; then only a lower end above the
    limit fails. Images in groups may say no more than so few; then a drop above the limit fails, too, if by their
    number they could prove it.

    Recall: a class has far fewer images, and one of thirty is 3.3 points, so no artifact could prove itself on small
    classes. A class fails if its observed drop exceeds the limit and the drop's paired 95 % interval lies above zero:
    the loss is too large, and real. Without gains to set against them, up to three lost images may be chance.

    Args:
        labels: N true classes.
        reference: N × classes, the float32 reference's probabilities.
        observed: N × classes, the artifact's.
        classes: names of the classes.
        gate: the limits.
        groups: N names or numbers, alike for images of one patient or slide; None where that is not known.

    Raises:
        ValueError: there are no images, or the shapes do not belong together.
    """
    if not len(labels) or not reference.shape == observed.shape == (len(labels), len(classes)):
        raise ValueError(f"{len(labels)} labels, {reference.shape} and {observed.shape} for {len(classes)} classes")
    before, after = reference.argmax(1) == labels, observed.argmax(1) == labels
    change = paired_change(before, after, groups)
    count = number_of(groups)
    members = [labels == index for index in range(len(classes))]
    drops = np.array([_drop(before[mask], after[mask]) for mask in members])
    findings = _check_accuracy(change, count, gate.max_accuracy_drop)
    for name, mask in zip(classes, members, strict=True):
        findings += _check_recall(name, before[mask], after[mask], taken(groups, mask), gate.max_recall_drop)
    findings.sort(key=lambda finding: finding[0].severity, reverse=True)
    largest = int(np.nanargmax(drops))
    return GateResult(
        outcome=worst(outcome for outcome, _ in findings),
        reasons=tuple(reason for _, reason in findings),
        count=len(labels),
        groups=count,
        accuracy=float(after.mean()),
        accuracy_drop=change.drop,
        accuracy_drop_ci95=change.ci95,
        recall_drop=by_class(drops, classes),
        worst_class=classes[largest],
        worst_recall_drop=float(drops[largest]),
    )


def could_pass(result: GateResult, gate: Gate) -> bool:
    """Whether more images could show that the accuracy holds: it does by the figure, and not yet by its interval."""
    return result.accuracy_drop <= gate.max_accuracy_drop < result.accuracy_drop_ci95[1]


def _check_accuracy(change: PairedChange, groups: int | None, limit: float) -> list[Finding]:
    low, high = change.ci95
    needed, independent = fewest(limit), change.count / change.design_effect
    over = over_groups(groups)
    if high <= limit:
        return []
    if independent >= needed or (change.count >= needed and change.drop > limit):
        return [
            (Outcome.FAILED, f"accuracy drop could be up to {high:.2%} (upper 95 % bound{over}); limit {limit:.2%}")
        ]
    if low > limit:
        return [(Outcome.FAILED, f"accuracy drop is at least {low:.2%} (lower 95 % bound{over}); limit {limit:.2%}")]
    few = f"{change.count} labelled validation images are too few to show that accuracy drops by at most {limit:.2%}"
    worth = "" if groups is None else f": over {groups:,} groups they say as much as {independent:.0f} independent ones"
    return [(Outcome.UNDECIDED, f"{few}{worth}; that takes {needed} or more")]


def _check_recall(
    name: str, before: Decisions, after: Decisions, groups: NDArray[Any] | None, limit: float
) -> list[Finding]:
    drop = _drop(before, after)
    if not drop > limit:  # NaN, too, for a class without images
        return []
    loss = f"class {name!r}: recall drop {drop:.2%} on {len(before)} images; limit {limit:.2%}"
    if drop_interval(before, after, groups)[0] > 0:
        return [(Outcome.FAILED, loss)]
    return [(Outcome.PASSED, f"{loss}; not significant with this few images")]


def _drop(before: Decisions, after: Decisions) -> float:
    """The share of images that the reference classifies correctly less that of the artifact; NaN without images."""
    return (int(before.sum()) - int(after.sum())) / len(before) if len(before) else math.nan
