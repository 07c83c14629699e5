"""What all artifacts of an export are held against: the reference's predictions, and the forms that led to them."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bundle import Golden, Reference
from bctoolkit.data import Dataset
from bctoolkit.data.dataset import positions
from bctoolkit.documents.formats import QUANTIZATIONS, Tolerance
from bctoolkit.errors import ExportError, ParityFailed
from bctoolkit.export.calibration import ranges
from bctoolkit.export.calibration.ranges import Calibration
from bctoolkit.export.checks import acceptance
from bctoolkit.export.checks.conditioning import Conditioning, Limits, conditioning
from bctoolkit.export.checks.constants import Weights, altered_weight
from bctoolkit.export.checks.judgement import Validation
from bctoolkit.export.checks.parity_chain import (
    Variant,
    compare,
    compare_float32,
    require_finite_predictions,
    require_trained_accuracy,
    require_weights,
)
from bctoolkit.export.network import Network
from bctoolkit.export.plan import Artifact, Job
from bctoolkit.export.reference import ReferencePredictions
from bctoolkit.export.variants import form_variant
from bctoolkit.manifest import ParityStep
from bctoolkit.statistics import metrics

__all__ = ["Baseline", "check_network", "limits_of"]

CONFIDENT = 0.5
"""Least margin of an image that the reference is sure of."""

MIXED_PRECISION = Limits(Tolerance(0.5, 0.03, 0.95), 0.2)
"""Half precision, as the network was trained, against float32: rounding of the size of an int8 form's."""


@dataclass(frozen=True)
class Baseline:
    """What all artifacts of a job are checked against, computed and checked once."""

    job: Job
    reference: Variant
    """The network in float32."""
    last: Variant
    """The form that the artifacts are made from."""
    steps: tuple[ParityStep, ...]
    test_part: Reference | None
    validation: Validation | None
    conditioning: Conditioning
    weights: Callable[[], Weights]
    """What the last form computes with."""
    predictions: ReferencePredictions

    @cached_property
    def calibration(self) -> Calibration:
        """The images that set the ranges of activations.

        Raises:
            ExportError: no images are known.
            ParityFailed: they are not those of the training part.
        """
        return _calibration(self.job)

    @cached_property
    def fitting_images(self) -> Dataset | None:
        """The labelled images that an acceptance rule is fitted to; None where they are too few, which is said."""
        data = self.job.data
        images = None if data is None else acceptance.fitting_images(data.dataset, data.parts)
        if images is None:
            self.job.progress.say(f"  {acceptance.too_few(0 if data is None else len(data.parts.validation))}")
        return images

    @property
    def golden(self) -> Golden:
        """The golden images with the reference's probabilities."""
        images, indices = self.job.check_images, self.golden_indices
        probabilities = self.reference.probabilities[indices]
        return Golden(images.images[indices], probabilities, images.labels[indices], images.kind)

    @cached_property
    def golden_indices(self) -> NDArray[np.intp]:
        """Which check images are golden: of the candidates first those that the reference is sure of.

        Near a tie rounding alone moves an integer form's probabilities many times as far, so that what is sealed would
        say more of this CPU's order of adding than of the artifact. Such images are still checked.
        """
        images = self.job.check_images
        unsure = metrics.margin(self.reference.probabilities[: images.candidates]) < CONFIDENT
        return np.sort(np.argsort(unsure, kind="stable")[: images.golden])


def check_network(job: Job, network: Network, artifacts: Iterable[Artifact]) -> Baseline:
    """Compare the forms of a network, and predict with its reference all that the artifacts need.

    Args:
        job: whose images they are compared on.
        network: the trained network.
        artifacts: what will be made of it.

    Raises:
        ParityFailed: a form departs from the one it was made from.
        ExportError: the network has no answer to some image.
    """
    kinds = [QUANTIZATIONS[kind] for _, kind in artifacts]
    predictions = ReferencePredictions(job, network.reference)
    test_part = predictions.test_part()
    reference = form_variant(job, network.reference, predictions.check_images(test_part))
    images, steps = job.check_images, []
    if network.trained is not None:
        trained = form_variant(job, network.trained)
        require_finite_predictions(trained, network.trained.weights(), images)
        steps.append(compare(trained, reference, MIXED_PRECISION, images, job.bisect))
    require_finite_predictions(reference, network.reference.weights(), images)
    _require_training(job, reference, test_part)
    conditioning = _condition(job, network, reference)
    last = reference
    if network.twins:
        last = form_variant(job, network.twins[-1])
        steps.append(_compare_twins(job, network, reference, last, conditioning))
    return Baseline(
        job,
        # From here on the last form's layers stand for the reference's, whose network is needed no more.
        reference=dataclasses.replace(reference, layers=last.layers, tensors=last.tensors),
        last=last,
        steps=tuple(steps),
        test_part=test_part,
        validation=predictions.validation() if any(kind.gated for kind in kinds) else None,
        conditioning=conditioning,
        weights=(network.reference, *network.twins)[-1].weights,
        predictions=predictions,
    )


def _compare_twins(
    job: Job, network: Network, reference: Variant, last: Variant, conditioning: Conditioning
) -> ParityStep:
    """Compare the last twin with the reference; those between are asked only where one of them has to be blamed.

    Raises:
        ParityFailed: a twin departs from the form it was made from.
    """
    images = job.check_images
    try:
        step = compare_float32(reference, last, conditioning, images, job.bisect)
    except ParityFailed:
        before = reference
        for twin in network.twins:
            after = form_variant(job, twin)
            compare_float32(before, after, conditioning, images, job.bisect)
            before = after
        raise
    for one, other in itertools.pairwise((network.reference, *network.twins)):
        require_weights(one.name, other.name, altered_weight(one.weights(), other.weights()))
    return step


def _condition(job: Job, network: Network, reference: Variant) -> Conditioning:
    """What float32 can hold of the network; said where it is less than is asked of others."""
    few = job.check_images.fewest
    images = job.check_images.images[few]
    job.progress.step("reference in float64", 0, 1)
    float64 = network.float64(images)
    result = conditioning(reference.probabilities[few], float64, lambda: network.rounded(images), few)
    if result.limit.max_abs_diff > QUANTIZATIONS["fp32"].tolerance.max_abs_diff:
        job.progress.say(
            f"  float32 holds this network's probabilities to {result.reference.max_abs_diff:.0e} only "
            f"(against {'float64' if result.method == 'float64' else 'other rounding'})"
        )
    return result


def limits_of(kind: str) -> Limits:
    """How far an artifact of a quantization may be from what it was made from."""
    return Limits(QUANTIZATIONS[kind].tolerance, QUANTIZATIONS[kind].logit_error)


def _require_training(job: Job, reference: Variant, test_part: Reference | None) -> None:
    """Compare the reference's predictions on the test part with what training wrote down of the same images."""
    trained, data = job.source.test_metrics, job.data
    if trained and data and test_part and data.dataset.sha256 == job.source.provenance.dataset_sha256:
        require_trained_accuracy(reference.name, trained, data.dataset.labels[data.parts.test], test_part.probabilities)


def _calibration(job: Job) -> Calibration:
    """The calibration images, looked up again by their hashes."""
    if job.data is None:
        raise ExportError("int8 needs images of the training part to calibrate on; say where they are with --data")
    dataset, train = job.data.dataset, job.data.parts.train
    calibration = ranges.choose(dataset, job.data.parts, job.recipe.calibration.images)
    index = positions(calibration.hashes, dataset.hashes[train])
    if (index < 0).any() or not np.array_equal(dataset.images[train[index]], calibration.images):
        raise ParityFailed(
            "training part → calibration images: calibration images do not match their recorded hashes; "
            "no bundle was written"
        )
    return calibration
