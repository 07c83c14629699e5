"""Measures of a classifier, in numpy: against labels, and against a reference's probabilities."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents import Document
from bctoolkit.documents.formats import Tolerance
from bctoolkit.statistics.clustered import clustered_interval
from bctoolkit.statistics.distributions import binomial_interval, least

__all__ = [
    "Parity",
    "ReliabilityBin",
    "accuracy",
    "accuracy_interval",
    "are_probabilities",
    "by_class",
    "calibration_gaps",
    "confusion",
    "drifted",
    "exact_interval",
    "expected_calibration_error",
    "f1",
    "kl_divergence",
    "limit_violations",
    "logit_error",
    "logit_errors",
    "macro_f1",
    "margin",
    "parity",
    "precision",
    "recall",
    "recall_by_class",
    "reliability",
    "share_interval",
    "temperature",
    "tempered",
]

Probabilities = NDArray[np.float32]
Labels = NDArray[np.integer[Any]]

TINY = 1e-34
"""Probability that counts for any smaller one: near float32's least, 1.2e-38, exponentials of engines lose digits."""


ROUNDING = 0.01
"""How far beyond 0 and 1 a probability may lie: outputs of eight or sixteen bits are rounded."""


class Parity(Document, frozen=True):
    """How an artifact's probabilities differ from the float32 Keras reference on the same images."""

    count: int
    """Images compared."""
    top1_agreement: float
    """Share of images with the same top-1 class, 0–1."""
    max_abs_diff: float
    """Largest |Δp| of any class of any image."""
    mean_abs_diff: float
    """Mean |Δp| over all classes and images."""


class ReliabilityBin(Document, frozen=True):
    """The images whose confidence lies in one interval."""

    low: float
    high: float
    count: int
    confidence: float | None
    """Mean confidence; None without images."""
    accuracy: float | None


def parity(reference: Probabilities, observed: Probabilities) -> Parity:
    """Compare two arrays of probabilities, both N × classes."""
    difference = np.abs(reference.astype(np.float64) - observed.astype(np.float64))
    agree = reference.argmax(1) == observed.argmax(1)
    return Parity(
        count=len(reference),
        top1_agreement=float(agree.mean()),
        max_abs_diff=float(difference.max()),
        mean_abs_diff=float(difference.mean()),
    )


def are_probabilities(values: NDArray[np.floating[Any]]) -> bool:
    """Whether all are finite and, but for rounding, between 0 and 1."""
    return bool(values.size == 0 or (values.min() >= -ROUNDING and values.max() <= 1 + ROUNDING))  # False for nan


def limit_violations(reference: Probabilities, observed: Probabilities, limits: Tolerance) -> list[str]:
    """What of `limits` the observed probabilities break, in words; empty when all hold.

    An image counts as disagreeing only if the observed top-1 class lies more than `limits.max_abs_diff` below the
    reference's top-1 probability: otherwise the reference itself calls it a tie at that precision.
    """
    if not np.isfinite(observed).all():
        return ["some probabilities are not finite"]
    difference = parity(reference, observed)
    predicted = np.take_along_axis(reference, observed.argmax(1)[:, None], 1)[:, 0]
    agreement = float((reference.max(1) - predicted <= limits.max_abs_diff).mean())
    violations = []
    if difference.max_abs_diff > limits.max_abs_diff:
        violations.append(f"max |Δp| {difference.max_abs_diff:.2e} > {limits.max_abs_diff:g}")
    if difference.mean_abs_diff > limits.mean_abs_diff:
        violations.append(f"mean |Δp| {difference.mean_abs_diff:.2e} > {limits.mean_abs_diff:g}")
    if agreement < limits.top1_agreement:
        violations.append(f"top-1 agreement {agreement:.2%} < {limits.top1_agreement:.2%}")
    return violations


def drifted(observed: Parity, sealed: Parity, limits: Tolerance) -> bool:
    """Whether a machine's answers lie clearly further from the reference than those an artifact was sealed with.

    Machines add float32 in different orders, which moves an integer form's outputs by a fraction of their distance from
    the reference, and a float form's by all of it, far below its limits: hence half as far again, and a twentieth of
    the limit, are allowed.
    """
    return any(
        here > 1.5 * there + 0.05 * limit
        for here, there, limit in (
            (observed.max_abs_diff, sealed.max_abs_diff, limits.max_abs_diff),
            (observed.mean_abs_diff, sealed.mean_abs_diff, limits.mean_abs_diff),
        )
    )


def margin(probabilities: Probabilities) -> NDArray[np.float32]:
    """By how much the likeliest class of each row of N × classes leads the second; N values."""
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    lead: NDArray[np.float32] = first - second
    return lead


def logit_error(reference: Probabilities, observed: Probabilities) -> float:
    """How far the observed logits are from the reference's, in RMS over all images: see `logit_errors`.

    Args:
        reference: N × classes.
        observed: N × classes.
    """
    return float(np.sqrt((logit_errors(reference, observed) ** 2).mean()))


def logit_errors(reference: NDArray[np.floating[Any]], observed: Probabilities) -> NDArray[np.float64]:
    """How far the observed logits of each image are from the reference's, relative to the size of all logits.

    Where a network is sure of itself its probabilities hardly move whatever becomes of the logits, so a fault stays
    below any limit on |Δp|. z = log p less its mean over the classes, which for a softmax is the logits up to a
    constant; the error is ‖z' − z‖ of an image / max(‖z‖ over all images, 1), in RMS. Probabilities below the least one
    that the observed form can tell from zero count as that, and so do those below `TINY`.

    Args:
        reference: N × classes.
        observed: N × classes.

    Returns:
        N errors.
    """
    positive = observed[observed > 0]
    floor = max(float(positive.min()), TINY) if positive.size else 1.0
    before, after = (_logits(each, floor) for each in (reference, observed))
    before, after = (each - each.mean(1, keepdims=True) for each in (before, after))
    size = max(float(np.sqrt((before**2).mean())), 1.0)
    errors: NDArray[np.float64] = np.sqrt(((after - before) ** 2).mean(1)) / size
    return errors


def kl_divergence(p: NDArray[Any], q: NDArray[Any]) -> NDArray[np.float64]:
    """Kullback-Leibler divergence D(p ‖ q), in nats, of the distributions along the last axis.

    Requires: positive weights; those of a distribution need not sum to one.
    """
    before, after = (weights / weights.sum(-1, keepdims=True) for weights in (p, q))
    divergence: NDArray[np.float64] = (before * np.log(before / after)).sum(-1)
    return divergence


def accuracy(labels: Labels, probabilities: Probabilities) -> float:
    """Share of images whose most probable class is the label."""
    return float((probabilities.argmax(1) == labels).mean())


def exact_interval(successes: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval of a proportion (Clopper & Pearson 1934)."""
    return binomial_interval(successes, count, level)


def accuracy_interval(
    labels: Labels, probabilities: Probabilities, groups: NDArray[Any] | None = None
) -> tuple[float, float]:
    """95 % interval of the accuracy, as `share_interval` gives it."""
    return share_interval(labels == probabilities.argmax(1), groups)


def share_interval(right: NDArray[np.bool_], groups: NDArray[Any] | None = None) -> tuple[float, float]:
    """95 % interval of the share that is true of N images: exact binomial, or over groups where they come in such."""
    if groups is None:
        return exact_interval(int(right.sum()), len(right))
    return clustered_interval(right, groups)


def confusion(labels: Labels, probabilities: Probabilities) -> NDArray[np.int64]:
    """Counts, classes × classes: rows are the true class, columns the predicted one."""
    classes = probabilities.shape[1]
    pairs = labels.astype(np.int64) * classes + probabilities.argmax(1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def recall(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Recall of each class from a confusion matrix; NaN for a class without images."""
    return _shares(np.diag(counts), counts.sum(1))


def precision(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Precision of each class from a confusion matrix; NaN for a class that is never predicted."""
    return _shares(np.diag(counts), counts.sum(0))


def f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 = 2·TP / (2·TP + FP + FN) of each class; NaN for a class that neither occurs nor is predicted."""
    return _shares(2 * np.diag(counts), counts.sum(0) + counts.sum(1))


def macro_f1(counts: NDArray[np.int64]) -> float:
    """Unweighted mean of F1 over the classes, from a confusion matrix; a class without an F1 counts as 0."""
    return float(np.nan_to_num(f1(counts)).mean())


def by_class(values: NDArray[np.float64], names: tuple[str, ...]) -> dict[str, float | None]:
    """One value per class by the class's name, for a document; None for NaN."""
    return {name: None if np.isnan(value) else float(value) for name, value in zip(names, values, strict=True)}


def recall_by_class(counts: NDArray[np.int64], names: tuple[str, ...]) -> dict[str, float | None]:
    """Recall of each class by its name, for a document; None for a class without images."""
    return by_class(recall(counts), names)


def reliability(labels: Labels, probabilities: Probabilities, bins: int = 15) -> tuple[ReliabilityBin, ...]:
    """How often the network is right at each confidence: the bins behind `expected_calibration_error`."""
    confidence, correct, index = _binned(labels, probabilities, bins)
    count = np.bincount(index, minlength=bins)
    edges = np.linspace(0, 1, bins + 1)
    rows = []
    for i in range(bins):
        inside = index == i
        means = (float(confidence[inside].mean()), float(correct[inside].mean())) if count[i] else (None, None)
        rows.append(ReliabilityBin(float(edges[i]), float(edges[i + 1]), int(count[i]), *means))
    return tuple(rows)


def expected_calibration_error(labels: Labels, probabilities: Probabilities, bins: int = 15) -> float:
    """Expected calibration error over equal-width confidence bins (Guo et al. 2017, arXiv:1706.04599, eq. 3)."""
    return float(np.abs(calibration_gaps(labels, probabilities, bins).sum(0)).sum() / len(labels))


def calibration_gaps(labels: Labels, probabilities: Probabilities, bins: int = 15) -> NDArray[np.float64]:
    """Of each image right (1) or wrong (0) − confidence, in the column of its bin; N × bins, else 0."""
    confidence, correct, index = _binned(labels, probabilities, bins)
    gaps = np.zeros((len(labels), bins))
    gaps[np.arange(len(labels)), index] = correct - confidence
    return gaps


def temperature(labels: Labels, probabilities: Probabilities, smoothing: float = 0.0) -> float:
    """The temperature that makes the labels likeliest, between 0.05 and 20 (Guo et al. 2017, section 4.2).

    Above 1 the network is surer than it is right, below 1 less sure. The likelihood is convex in 1 / temperature.

    Args:
        labels: N true classes.
        probabilities: N × classes.
        smoothing: share of each label that counts as spread evenly over the classes. With none, labels that are all
            right would make the network certain.
    """
    logits = _logits(probabilities)
    rows = np.arange(len(labels))

    def surprise(inverse: float) -> float:
        scaled = logits * inverse
        highest = scaled.max(1, keepdims=True)
        total = np.log(np.exp(scaled - highest).sum(1)) + highest[:, 0]
        expected = (1 - smoothing) * scaled[rows, labels] + smoothing * scaled.mean(1)
        return float((total - expected).mean())

    return 1 / least(surprise, 1 / 20, 20, 1e-6)


def tempered(probabilities: Probabilities, temperature: float) -> NDArray[np.float64]:
    """Probabilities N × classes as a softmax at another temperature would give them."""
    raised = np.maximum(probabilities.astype(np.float64), TINY) ** (1 / temperature)
    shares: NDArray[np.float64] = raised / raised.sum(1, keepdims=True)
    return shares


def _logits(probabilities: NDArray[np.floating[Any]], floor: float = TINY) -> NDArray[np.float64]:
    """Logarithms; what is below `floor` counts as that."""
    logits: NDArray[np.float64] = np.log(np.maximum(probabilities.astype(np.float64), floor))
    return logits


def _binned(
    labels: Labels, probabilities: Probabilities, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Of each image the confidence, whether the network is right, and the bin its confidence falls in."""
    confidence = probabilities.max(1).astype(np.float64)
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    return confidence, probabilities.argmax(1) == labels, index


def _shares(part: NDArray[Any], total: NDArray[Any]) -> NDArray[np.float64]:
    """Part / total, NaN where the total is 0."""
    shares: NDArray[np.float64] = np.divide(part, total, out=np.full(len(total), np.nan), where=total > 0)
    return shares
