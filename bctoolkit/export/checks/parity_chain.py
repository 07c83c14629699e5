"""The parity chain from the trained network to an artifact: variants compared step by step on the same images.

trained Keras network → float32 Keras → frozen twin → folded twin → fp32 artifact → quantized artifact. A parity step
that fails is named with what was observed, the images on which it shows most and, on request, the layer it begins at.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bundle import ParityStep
from bctoolkit.documents.formats import Tolerance
from bctoolkit.errors import ExportError, ParityFailed
from bctoolkit.export.checks.images import CheckImages
from bctoolkit.export.checks.locate import LayerOutput, Tensor, first_departure
from bctoolkit.run import TestMetrics
from bctoolkit.statistics import metrics

__all__ = ["Limits", "Variant", "compare", "require_names", "require_trained_accuracy"]

WORST = 3
"""Images that a failure names."""

CHANGED = 0.02
"""Share of the test part that may be classified differently than at training: rounding, not another input."""


@dataclass(frozen=True)
class Variant:
    """One form of the network and its predictions."""

    name: str
    probabilities: NDArray[np.float32]
    """N × classes, of the first N check images."""
    layers: Callable[[NDArray[np.uint8]], list[LayerOutput]]
    """Outputs of the layers on one image 1 × height × width × channels; of an artifact, those of its twin."""
    tensors: Callable[[NDArray[np.uint8]], list[Tensor]]
    """All tensors computed on that image."""


@dataclass(frozen=True)
class Limits:
    """How far a variant may be from the one before."""

    tolerance: Tolerance
    logit_error: float


def compare(before: Variant, after: Variant, limits: Limits, images: CheckImages, bisect: bool) -> ParityStep:
    """Compare two variants on the images that both have predicted.

    Args:
        before: what `after` was made from, or the reference.
        after: the variant that is checked.
        limits: how far it may be from `before`.
        images: the check images.
        bisect: whether a failure is traced to the first layer whose output departs.

    Raises:
        ExportError: their predictions have different shapes.
        ParityFailed: `after` is further from `before` than the limits allow.
    """
    name = f"{before.name} → {after.name}"
    count = min(len(before.probabilities), len(after.probabilities))
    expected, observed = before.probabilities[:count], after.probabilities[:count]
    if expected.shape != observed.shape:
        raise ExportError(f"{name}: predictions have shape {observed.shape}, expected {expected.shape}")
    violations = metrics.limit_violations(expected, observed, limits.tolerance)
    error = metrics.logit_error(expected, observed)
    if np.isfinite(error) and error > limits.logit_error:
        violations.append(f"logit error {error:.1e} > {limits.logit_error:g}")
    if violations:
        difference = np.nan_to_num(np.abs(observed - expected), nan=np.inf).max(1)
        worst = np.argsort(-difference, kind="stable")[:WORST]
        examples = ", ".join(f"{images.names[i]} (|Δp| {difference[i]:.1e})" for i in worst)
        facts = [f"{'; '.join(violations)} on {count} images", f"worst: {examples}"]
        if bisect:
            facts.append(_first_departure(before, after, images.images[worst[0]][None], limits.logit_error))
        raise ParityFailed(f"{name}: {'; '.join(facts)}; no bundle was written")
    parity = metrics.parity(expected, observed)
    return ParityStep(
        name=name,
        count=parity.count,
        top1_agreement=parity.top1_agreement,
        max_abs_diff=parity.max_abs_diff,
        mean_abs_diff=parity.mean_abs_diff,
        logit_error=error,
    )


def require_trained_accuracy(
    after: str, trained: TestMetrics, labels: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> None:
    """The network has to classify the test part as it did at training: same images, same order of labels.

    All later variants get the same images, so nothing else would show that these were prepared in another way.

    Args:
        after: name of the variant that predicted.
        trained: what training measured.
        labels: N true classes.
        probabilities: N × classes.

    Raises:
        ParityFailed: the confusion matrix is another one.
    """
    before = np.array(trained.confusion)
    now = metrics.confusion(labels, probabilities)
    changed = int(np.abs(now - before).sum()) // 2 if now.shape == before.shape else len(labels)
    if changed > max(1, CHANGED * len(labels)):
        raise ParityFailed(
            f"training → {after}: accuracy {metrics.accuracy(labels, probabilities):.2%} on the test part, but "
            f"{trained.accuracy:.2%} when it was trained, and at least {changed} of {len(labels)} images are "
            "classified differently; images are prepared differently, or labels are in another order; no bundle was "
            "written"
        )


def require_names(after: Variant, labels: tuple[str, ...], reference: Variant, images: CheckImages) -> None:
    """The artifact's predictions, read with the labels that are to be sealed, have to be as right as the reference's.

    Raises:
        ParityFailed: by the names of the set's own classes they are not.
    """
    labelled = np.flatnonzero(images.labels >= 0)
    if not labelled.size:
        return
    truth = np.array(images.truth)[labelled]
    decisions = after.probabilities[labelled].argmax(1)
    reference_decisions = reference.probabilities[labelled].argmax(1)
    right = np.array(labels)[decisions] == truth
    expected = reference_decisions == images.labels[labelled]
    agreement = float((decisions == reference_decisions).mean())
    if expected.mean() - right.mean() > 1 - agreement + 1e-9:
        misnamed = truth[~right & expected]
        raise ParityFailed(
            f"{after.name} → labels: read by its labels it is right on {right.mean():.2%} of {labelled.size} images, "
            f"the reference on {expected.mean():.2%}; of class {misnamed[0]!r} {int((misnamed == misnamed[0]).sum())} "
            "get another name; no bundle was written"
        )


def _first_departure(before: Variant, after: Variant, image: NDArray[np.uint8], limit: float) -> str:
    """The first layer whose output departs, in words."""
    tensors = after.tensors(image)
    if not tensors:
        return "its engine exposes no intermediate outputs"
    departure = first_departure(before.layers(image), tensors, limit)
    agreeing = f", those of {departure.after} still agree" if departure.after else ""
    return f"the first output to depart is that of layer {departure.layer!r}{agreeing}"
