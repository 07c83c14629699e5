"""The parity chain from the trained network to an artifact: variants compared step by step on the same images.

trained Keras network → float32 Keras → folded twin → fp32 artifact → quantized artifact. A parity step
that fails is named with what was observed, the images on which it shows most and, on request, the layer it begins at.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import ExportError, ParityFailed
from bctoolkit.export.checks.conditioning import Conditioning, Limits
from bctoolkit.export.checks.constants import Weights
from bctoolkit.export.checks.images import CheckImages
from bctoolkit.export.checks.locate import LayerOutput, Tensor, first_departure
from bctoolkit.manifest import ParityStep
from bctoolkit.run import TestMetrics
from bctoolkit.statistics import metrics

__all__ = [
    "Variant",
    "compare",
    "compare_float32",
    "require_finite_predictions",
    "require_names",
    "require_trained_accuracy",
    "require_weights",
    "violations",
]

WORST = 3
"""Images that a failure names."""

ROUNDED = 1e-5
"""‖difference‖ / ‖value‖ of a layer's outputs that a badly conditioned network's rounding alone hardly exceeds."""

CHANGED = 0.02
"""Share of the test part that may be classified differently than at training: rounding, not another input."""


@dataclass(frozen=True)
class Variant:
    """One form of the network and its predictions."""

    name: str
    probabilities: NDArray[np.float32]
    """N × classes."""
    layers: Callable[[NDArray[np.uint8]], list[LayerOutput]]
    """Outputs of the layers on one image 1 × height × width × channels; of an artifact, those of its twin."""
    tensors: Callable[[NDArray[np.uint8]], list[Tensor]]
    """All tensors computed on that image."""
    images: NDArray[np.intp] | None = None
    """N: which of the check images were predicted; None for all."""


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
    pair = _pair(before, after)
    broken = pair.violations(limits)
    if broken:
        raise pair.failure(broken, images, (limits.logit_error,) if bisect else ())
    return pair.step


def violations(before: Variant, after: Variant, limits: Limits) -> tuple[list[str], ParityStep]:
    """What of the limits `after` breaks, in words, and the figures.

    Args:
        before: what `after` was made from, or the reference.
        after: the variant that is checked.
        limits: how far it may be from `before`.

    Raises:
        ExportError: their predictions have different shapes.
    """
    pair = _pair(before, after)
    return pair.violations(limits), pair.step


def compare_float32(
    before: Variant, after: Variant, conditioning: Conditioning, images: CheckImages, bisect: bool
) -> ParityStep:
    """Compare a float32 variant with the one before, and with the exact answers on the few images that have some.

    Args:
        before: what `after` was made from, or the reference; both have predicted at least those few images.
        after: the float32 variant that is checked.
        conditioning: of the network.
        images: the check images.
        bisect: whether a failure is traced to the first layer whose output departs.

    Raises:
        ExportError: their predictions have different shapes.
        ParityFailed: `after` is further from the exact answers than rounding explains, or further from `before`.
    """
    pair = _pair(before, after)
    observed = after.probabilities[_positions(after, conditioning.images)]
    exact = conditioning.violations(observed) if np.isfinite(observed).all() else []
    broken = exact or pair.violations(conditioning.between)
    if broken:
        limit = conditioning.limit.typical
        raise pair.failure(broken, images, (max(ROUNDED, limit), limit) if bisect else ())
    return msgspec.structs.replace(
        pair.step,
        exact=conditioning.method,
        error=conditioning.error(observed),
        reference_error=conditioning.reference,
        allowed_abs_diff=conditioning.between.tolerance.max_abs_diff,
    )


class _Pair(NamedTuple):
    """Two variants and their predictions of the images that both have predicted."""

    before: Variant
    after: Variant
    expected: NDArray[np.float32]
    observed: NDArray[np.float32]
    images: NDArray[np.intp]

    @property
    def name(self) -> str:
        return f"{self.before.name} → {self.after.name}"

    @property
    def step(self) -> ParityStep:
        parity = metrics.parity(self.expected, self.observed)
        return ParityStep(
            name=self.name,
            count=parity.count,
            top1_agreement=parity.top1_agreement,
            max_abs_diff=parity.max_abs_diff,
            mean_abs_diff=parity.mean_abs_diff,
            logit_error=metrics.logit_error(self.expected, self.observed),
        )

    def violations(self, limits: Limits) -> list[str]:
        """What of the limits the second breaks, in words."""
        broken = metrics.limit_violations(self.expected, self.observed, limits.tolerance)
        error = metrics.logit_error(self.expected, self.observed)
        if np.isfinite(error) and error > limits.logit_error:
            broken.append(f"logit error {error:.1e} > {limits.logit_error:.2g}")
        return broken

    def failure(self, broken: list[str], images: CheckImages, agreement: tuple[float, ...]) -> ParityFailed:
        """The error that says what was observed, on which images, and at which layer it begins.

        Args:
            broken: limits, in words.
            images: the check images.
            agreement: largest relative difference of layers' outputs that agree, and smaller ones to try where all do;
                empty where no layer is wanted.
        """
        difference = np.nan_to_num(np.abs(self.observed - self.expected), nan=np.inf).max(1)
        worst = np.argsort(-difference, kind="stable")[:WORST]
        examples = ", ".join(f"{images.names[self.images[i]]} (|Δp| {difference[i]:.1e})" for i in worst)
        facts = [f"{'; '.join(broken)} on {len(self.images)} images", f"worst: {examples}"]
        if agreement:
            image = images.images[self.images[worst[0]]][None]
            facts.append(_first_departure(self.before, self.after, image, agreement))
        return ParityFailed(f"{self.name}: {'; '.join(facts)}; no bundle was written")


def _pair(before: Variant, after: Variant) -> _Pair:
    """The predictions of the images that both variants have predicted.

    Raises:
        ExportError: they have different shapes.
    """
    few = [variant.images for variant in (before, after) if variant.images is not None]
    images = few[0] if few else np.arange(min(len(before.probabilities), len(after.probabilities)))
    expected, observed = (variant.probabilities[_positions(variant, images)] for variant in (before, after))
    if expected.shape != observed.shape:
        name = f"{before.name} → {after.name}"
        raise ExportError(f"{name}: predictions have shape {observed.shape}, expected {expected.shape}")
    return _Pair(before, after, expected, observed, images)


def _positions(variant: Variant, images: NDArray[np.intp]) -> NDArray[np.intp]:
    """Where a variant's predictions of these check images are.

    Requires: it has predicted them.
    """
    return images if variant.images is None else np.searchsorted(variant.images, images)


def require_finite_predictions(variant: Variant, weights: Weights, images: CheckImages) -> None:
    """The network itself has to have an answer to every image.

    Args:
        variant: the network as it was trained, or its float32 reference.
        weights: what its layers compute with.
        images: the check images.

    Raises:
        ExportError: some predictions are not finite; the message names the layer it begins at.
    """
    broken = np.flatnonzero(~np.isfinite(variant.probabilities).all(1))
    if not broken.size:
        return
    image = int(broken[0]) if variant.images is None else int(variant.images[broken[0]])
    first = next((layer for layer, array in weights if not np.isfinite(array).all()), None)
    if first is not None:
        cause = f"layer {first!r} has weights that are NaN or infinite; train it again or load an earlier checkpoint"
    else:
        outputs = variant.layers(images.images[image][None])
        at = next((output.layer for output in outputs if not np.isfinite(output.value).all()), None)
        where = f"its values leave float32 at layer {at!r}" if at else "some value leaves float32 on the way"
        cause = f"{where}; check how its input is scaled"
    total, name = len(variant.probabilities), images.names[image]
    raise ExportError(f"{variant.name}: answers {broken.size} of {total} images with NaN ({name}): {cause}")


def require_weights(before: str, after: str, altered: str | None) -> None:
    """What a variant computes with has to be what the one before computes with.

    Args:
        before: name of the variant it was made from.
        after: its own.
        altered: what is not, in words.

    Raises:
        ParityFailed: something is not.
    """
    if altered is not None:
        raise ParityFailed(f"{before} → {after}: {altered}; no bundle was written")


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


def _first_departure(before: Variant, after: Variant, image: NDArray[np.uint8], agreement: tuple[float, ...]) -> str:
    """The first layer whose output departs, in words."""
    tensors, layers = after.tensors(image), before.layers(image)
    if not tensors or not layers:
        return "its engine exposes no intermediate outputs"
    departures = [first_departure(layers, tensors, limit) for limit in agreement]
    last = layers[-1].layer  # taken to depart in any case
    departure = next((each for each in departures if each.layer != last), departures[0])
    agreeing = f", those of {departure.after} still agree" if departure.after else ""
    return f"the first output to depart is that of layer {departure.layer!r}{agreeing}"
