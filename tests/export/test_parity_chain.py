"""Two variants and their predictions: what counts as agreeing, and what a failure says."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.documents.formats import Tolerance
from bctoolkit.errors import ExportError, ParityFailed
from bctoolkit.export.checks.conditioning import Limits, conditioning
from bctoolkit.export.checks.images import CheckImages
from bctoolkit.export.checks.locate import LayerOutput
from bctoolkit.export.checks.parity_chain import (
    Variant,
    compare,
    compare_float32,
    require_finite_predictions,
    require_names,
    require_trained_accuracy,
)
from bctoolkit.manifest import ParityStep
from bctoolkit.run import TestMetrics

LIMITS = Limits(Tolerance(1e-4, 1e-5, 1.0), 1e-5)


def softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


@pytest.fixture
def logits() -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, 3, (12, 3))


@pytest.fixture
def check_images() -> CheckImages:
    rng = np.random.default_rng(0)
    return CheckImages(
        images=rng.integers(0, 256, (12, 4, 4, 3), dtype=np.uint8),
        hashes=rng.integers(0, 256, (12, 32), dtype=np.uint8),
        labels=np.arange(12) % 3,
        truth=("ant", "bee", "cat") * 4,
        names=tuple(f"{i}.png" for i in range(12)),
        golden=8,
        candidates=8,
        kind="real",
    )


def variant(name: str, probabilities: NDArray[np.float32]) -> Variant:
    return Variant(name, probabilities, layers=lambda image: [], tensors=lambda image: [])


def test_a_step_that_passes_keeps_its_figures(logits: NDArray[np.float64], check_images: CheckImages) -> None:
    before, after = variant("a", softmax(logits)), variant("b", softmax(logits + 1e-7))
    step = compare(before, after, LIMITS, check_images, bisect=False)
    assert (step.name, step.count, step.top1_agreement) == ("a → b", 12, 1.0)
    assert step.max_abs_diff <= 1e-6
    assert step.logit_error <= 1e-6


def test_variants_are_compared_on_the_images_both_have_predicted(
    logits: NDArray[np.float64], check_images: CheckImages
) -> None:
    predictions, few = softmax(logits), np.array([1, 4, 6, 11])
    some = dataclasses.replace(variant("b", predictions[few]), images=few)
    for pair in ((variant("a", predictions), some), (some, variant("a", predictions)), (some, some)):
        step = compare(*pair, LIMITS, check_images, bisect=False)
        assert (step.count, step.max_abs_diff) == (4, 0)


def test_a_failure_names_the_images_on_which_it_shows_most(
    logits: NDArray[np.float64], check_images: CheckImages
) -> None:
    predictions = softmax(logits)
    moved = predictions.copy()
    moved[[7, 2, 4]] = moved[[7, 2, 4]] * 0.9 + np.array([[0.09], [0.05], [0.01]], np.float32) / 3
    with pytest.raises(ParityFailed) as caught:
        compare(variant("a", predictions), variant("b", moved), LIMITS, check_images, bisect=False)
    order = np.argsort(-np.abs(moved - predictions).max(1))[:3]
    names = [f"{i}.png" for i in order]
    assert {2, 4, 7} == set(order.tolist())
    assert str(caught.value).startswith("a → b: max |Δp| ")
    assert [str(caught.value).index(name) for name in names] == sorted(str(caught.value).index(n) for n in names)
    assert str(caught.value).endswith("; no bundle was written")


def test_a_confident_network_s_fault_shows_in_its_logits(
    logits: NDArray[np.float64], check_images: CheckImages
) -> None:
    sure = logits * 0 + np.eye(3)[np.arange(12) % 3] * 25
    off = sure + np.array([0, 0.01, 0.02])
    before, after = softmax(sure), softmax(off)
    assert np.abs(before - after).max() < 1e-9
    with pytest.raises(ParityFailed, match=r"a → b: logit error \S+ > 1e-05 on 12 images"):
        compare(variant("a", before), variant("b", after), LIMITS, check_images, bisect=False)


def test_predictions_that_are_not_finite_are_refused(logits: NDArray[np.float64], check_images: CheckImages) -> None:
    broken = softmax(logits)
    broken[3, 1] = np.nan
    with pytest.raises(ParityFailed, match=r"some probabilities are not finite .* worst: 3\.png \(\|Δp\| inf\)"):
        compare(variant("a", softmax(logits)), variant("b", broken), LIMITS, check_images, bisect=False)


def test_predictions_of_another_shape_are_refused(logits: NDArray[np.float64], check_images: CheckImages) -> None:
    predictions = softmax(logits)
    with pytest.raises(ExportError, match=r"a → b: predictions have shape \(12, 2\), expected \(12, 3\)"):
        compare(variant("a", predictions), variant("b", predictions[:, :2]), LIMITS, check_images, bisect=False)


def test_an_engine_that_shows_no_tensors_says_so(logits: NDArray[np.float64], check_images: CheckImages) -> None:
    predictions = softmax(logits)
    with pytest.raises(ParityFailed, match="its engine exposes no intermediate outputs"):
        compare(variant("a", predictions), variant("b", predictions[::-1]), LIMITS, check_images, bisect=True)


FEW = np.array([0, 3, 5, 8, 10, 11])


def judged(logits: NDArray[Any], rounding: float, observed: NDArray[Any], images: CheckImages) -> ParityStep:
    """The judgement of a float32 form of a network whose reference is so far from float64."""
    noise = np.random.default_rng(1).normal(0, rounding, logits.shape)
    reference, exact = softmax(logits + noise), softmax64(logits[FEW])
    again = softmax(logits - noise)[FEW]
    known = conditioning(reference[FEW], exact, lambda: again, FEW)
    return compare_float32(variant("a", reference), variant("b", softmax(observed)), known, images, bisect=False)


def softmax64(logits: NDArray[Any]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    exact: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return exact


@pytest.mark.parametrize("rounding", [1e-7, 1e-5, 1e-3])
def test_a_form_as_far_from_float64_as_the_reference_passes_whatever_the_network(
    logits: NDArray[np.float64], check_images: CheckImages, rounding: float
) -> None:
    noise = np.random.default_rng(2).normal(0, rounding, logits.shape)
    step = judged(logits, rounding, logits + noise, check_images)
    assert step.exact == "float64"
    assert step.error is not None
    assert step.reference_error is not None
    assert step.error.typical < 4 * max(step.reference_error.typical, 1e-7)


@pytest.mark.parametrize(("rounding", "fault"), [(1e-7, 1e-4), (1e-5, 1e-3), (1e-3, 0.1)])
def test_a_form_much_farther_from_float64_than_the_reference_fails_however_badly_conditioned(
    logits: NDArray[np.float64], check_images: CheckImages, rounding: float, fault: float
) -> None:
    noise = np.random.default_rng(2).normal(0, fault, logits.shape)
    with pytest.raises(ParityFailed, match=r"a → b: logit error \S+ from float64 > \S+ \(float32 Keras: "):
        judged(logits, rounding, logits + noise, check_images)


def test_a_fault_on_one_image_shows_though_the_others_are_right(
    logits: NDArray[np.float64], check_images: CheckImages
) -> None:
    off = logits.copy()
    off[5] += [0, 1e-3, 0]
    with pytest.raises(ParityFailed, match="a → b: logit error of the worst image "):
        judged(logits, 1e-7, off, check_images)


def test_one_image_that_float32_cannot_hold_is_no_free_pass_for_the_others(
    logits: NDArray[np.float64], check_images: CheckImages
) -> None:
    reference, few = softmax(logits), FEW
    reference[5] = softmax(logits[5:6] + np.array([0, 0.5, 0]))[0]
    known = conditioning(reference[few], softmax64(logits[few]), lambda: reference[few], few)
    after = variant("b", softmax(logits + np.random.default_rng(2).normal(0, 1e-3, logits.shape)))
    with pytest.raises(ParityFailed, match="a → b: logit error "):
        compare_float32(variant("a", reference), after, known, check_images, bisect=False)


def test_an_image_outside_the_few_counts_too(logits: NDArray[np.float64], check_images: CheckImages) -> None:
    off = logits.copy()
    off[7] += [0, 0.3, 0]
    assert 7 not in FEW
    with pytest.raises(ParityFailed, match=r"max \|Δp\| .* worst: 7\.png"):
        judged(logits, 1e-7, off, check_images)


def test_float64_that_other_rounding_does_not_confirm_is_not_believed(logits: NDArray[np.float64]) -> None:
    reference, wrong = softmax(logits), softmax64(logits + np.array([0, 0.3, 0]))
    known = conditioning(reference, wrong, lambda: softmax(logits + 1e-7), np.arange(12))
    assert known.method == "rounding"
    assert known.limit.typical <= 1e-5
    confirmed = conditioning(reference, wrong, lambda: softmax(logits + np.array([0, 0.1, 0])), np.arange(12))
    assert confirmed.method == "float64"


def test_without_float64_another_rounding_of_the_reference_shows_what_float32_holds(
    logits: NDArray[np.float64],
) -> None:
    reference = softmax(logits)
    known = conditioning(reference, None, lambda: softmax(logits * (1 + 1e-5)), np.arange(12))
    assert known.method == "rounding"
    assert 1e-6 < known.reference.typical < 1e-4
    assert not known.violations(softmax(logits * (1 - 2e-5)))
    assert known.violations(softmax(logits * (1 - 2e-4)))


def test_a_network_without_an_answer_is_refused_with_the_layer(check_images: CheckImages) -> None:
    predictions = np.full((12, 3), 1 / 3, np.float32)
    require_finite_predictions(variant("float32 Keras", predictions), [], check_images)
    predictions[4:6, 1] = np.nan
    broken = variant("float32 Keras", predictions)
    bad = [("fine", np.zeros(3)), ("stem", np.array([1, np.nan]))]
    with pytest.raises(ExportError, match=r"answers 2 of 12 images with NaN \(4\.png\): layer 'stem' has weights"):
        require_finite_predictions(broken, bad, check_images)
    outputs = [
        LayerOutput("a", (), np.ones(3, np.float32)),
        LayerOutput("b", ("a",), np.array([1, np.inf], np.float32)),
    ]
    overflowing = dataclasses.replace(broken, layers=lambda image: outputs)
    with pytest.raises(ExportError, match="its values leave float32 at layer 'b'"):
        require_finite_predictions(overflowing, [], check_images)
    with pytest.raises(ExportError, match="some value leaves float32 on the way"):
        require_finite_predictions(broken, [], check_images)


def trained(confusion: list[list[int]]) -> TestMetrics:
    counts = np.array(confusion)
    right = float(np.trace(counts) / counts.sum())
    rows = tuple(tuple(row) for row in confusion)
    return TestMetrics(
        count=int(counts.sum()), accuracy=right, accuracy_ci95=(0, 1), macro_f1=0, ece=0, recall={}, confusion=rows
    )


def test_the_accuracy_of_training_must_come_out_again() -> None:
    labels = np.arange(200) % 2
    predictions = np.eye(2, dtype=np.float32)[labels]
    require_trained_accuracy("x", trained([[98, 2], [1, 99]]), labels, predictions)  # three images in 200: rounding
    with pytest.raises(ParityFailed, match=r"training → x: accuracy 100\.00% on the test part, but 90\.00% when it"):
        require_trained_accuracy("x", trained([[90, 10], [10, 90]]), labels, predictions)
    with pytest.raises(ParityFailed, match="at least 200 of 200 images"):
        require_trained_accuracy("x", trained([[100, 0], [0, 100]]), labels, predictions[:, ::-1])
    with pytest.raises(ParityFailed, match="at least 200 of 200 images"):
        require_trained_accuracy("x", trained([[100, 0, 0], [0, 50, 0], [0, 0, 50]]), labels, predictions)


def test_labels_must_name_what_the_reference_decides(check_images: CheckImages) -> None:
    predictions = np.eye(3, dtype=np.float32)[check_images.labels]
    right = variant("onnx fp32", predictions)
    require_names(right, ("ant", "bee", "cat"), right, check_images)
    with pytest.raises(ParityFailed, match=r"onnx fp32 → labels: read by its labels it is right on 33\.33% of 12"):
        require_names(right, ("bee", "ant", "cat"), right, check_images)


def test_images_that_an_artifact_decides_otherwise_are_no_fault_of_the_labels(check_images: CheckImages) -> None:
    predictions = np.eye(3, dtype=np.float32)[check_images.labels]
    other = predictions.copy()
    other[:3] = np.roll(other[:3], 1, axis=1)
    require_names(variant("x", other), ("ant", "bee", "cat"), variant("reference", predictions), check_images)
