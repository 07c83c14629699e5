"""The chain from the trained network to an artifact, compared link by link on the same images.

trained Keras network → float32 Keras → frozen twin → folded twin → fp32 artifact → quantized artifact. A link that does
not hold is named with what was observed, the images on which it shows most and, on request, the layer it begins at.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bundle import Link
from bctoolkit.documents.formats import Tolerance
from bctoolkit.errors import ExportError, ParityFailed
from bctoolkit.export.checks.images import Evidence
from bctoolkit.export.checks.locate import LayerOutput, Tensor, first_departure
from bctoolkit.run import TestMetrics
from bctoolkit.statistics import metrics

__all__ = ["Limits", "Stage", "join", "require_names", "require_trained_accuracy"]

WORST = 3
"""Images that a failure names."""

MOVED = 0.02
"""Share of the test part that may be decided otherwise than when it was trained: rounding, not another input."""


@dataclass(frozen=True)
class Stage:
    """One form of the network and its answers."""

    name: str
    probabilities: NDArray[np.float32]
    """N × classes, of the first N images of the evidence."""
    layers: Callable[[NDArray[np.uint8]], list[LayerOutput]]
    """Outputs of the layers on one image 1 × height × width × channels; of an artifact, those of its twin."""
    tensors: Callable[[NDArray[np.uint8]], list[Tensor]]
    """All tensors computed on that image."""


@dataclass(frozen=True)
class Limits:
    """How far a stage may be from the one before."""

    tolerance: Tolerance
    logit_error: float


def join(before: Stage, after: Stage, limits: Limits, evidence: Evidence, bisect: bool) -> Link:
    """Compare two stages on the images that both have answered.

    Raises:
        ExportError: their answers have different shapes.
        ParityFailed: `after` is further from `before` than the limits allow.
    """
    name = f"{before.name} → {after.name}"
    count = min(len(before.probabilities), len(after.probabilities))
    expected, observed = before.probabilities[:count], after.probabilities[:count]
    if expected.shape != observed.shape:
        raise ExportError(f"{name}: answers have shape {observed.shape}, expected {expected.shape}")
    broken = metrics.broken_limits(expected, observed, limits.tolerance)
    error = metrics.logit_error(expected, observed)
    if np.isfinite(error) and error > limits.logit_error:
        broken.append(f"logit error {error:.1e} > {limits.logit_error:g}")
    if broken:
        difference = np.nan_to_num(np.abs(observed - expected), nan=np.inf).max(1)
        worst = np.argsort(-difference, kind="stable")[:WORST]
        seen = ", ".join(f"{evidence.names[i]} (|Δp| {difference[i]:.1e})" for i in worst)
        facts = [f"{'; '.join(broken)} on {count} images", f"worst: {seen}"]
        if bisect:
            facts.append(_blame(before, after, evidence.images[worst[0]][None], limits.logit_error))
        raise ParityFailed(f"{name}: {'; '.join(facts)}; no bundle was written")
    found = metrics.parity(expected, observed)
    return Link(
        link=name,
        count=found.count,
        top1_agreement=found.top1_agreement,
        max_abs_diff=found.max_abs_diff,
        mean_abs_diff=found.mean_abs_diff,
        logit_error=error,
    )


def require_trained_accuracy(
    after: str, trained: TestMetrics, labels: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> None:
    """The network has to decide the test part as it did when it was trained: same images, same order of labels.

    All later stages are given the same images, so nothing else would show that these were prepared in another way.

    Args:
        after: name of the stage that answered.
        trained: what training measured.
        labels: N true classes.
        probabilities: N × classes.

    Raises:
        ParityFailed: the confusion matrix is another one.
    """
    before = np.array(trained.confusion)
    now = metrics.confusion(labels, probabilities)
    moved = int(np.abs(now - before).sum()) // 2 if now.shape == before.shape else len(labels)
    if moved > max(1, MOVED * len(labels)):
        raise ParityFailed(
            f"training → {after}: accuracy {metrics.accuracy(labels, probabilities):.2%} on the test part, but "
            f"{trained.accuracy:.2%} when it was trained, and at least {moved} of {len(labels)} images are decided "
            "otherwise; images are prepared differently, or labels are in another order; no bundle was written"
        )


def require_names(after: Stage, labels: tuple[str, ...], reference: Stage, evidence: Evidence) -> None:
    """The artifact's answers, read with the labels that are to be sealed, have to be as right as the reference's.

    Raises:
        ParityFailed: by the names of the set's own classes they are not.
    """
    known = np.flatnonzero(evidence.labels >= 0)
    if not known.size:
        return
    truth = np.array(evidence.truth)[known]
    right = np.array(labels)[after.probabilities[known].argmax(1)] == truth
    expected = reference.probabilities[known].argmax(1) == evidence.labels[known]
    agree = float((after.probabilities[known].argmax(1) == reference.probabilities[known].argmax(1)).mean())
    if expected.mean() - right.mean() > 1 - agree + 1e-9:
        wrong = truth[~right & expected]
        raise ParityFailed(
            f"{after.name} → labels: read by its labels it is right on {right.mean():.2%} of {known.size} images, the "
            f"reference on {expected.mean():.2%}; of class {wrong[0]!r} {int((wrong == wrong[0]).sum())} get another "
            "name; no bundle was written"
        )


def _blame(before: Stage, after: Stage, image: NDArray[np.uint8], limit: float) -> str:
    """The first layer whose output departs, in words."""
    tensors = after.tensors(image)
    if not tensors:
        return "its engine shows no intermediate outputs"
    found = first_departure(before.layers(image), tensors, limit)
    held = f", those of {found.after} still agree" if found.after else ""
    return f"the first output to depart is that of layer {found.layer!r}{held}"
