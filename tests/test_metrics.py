"""Measures against examples worked by hand, and against scipy where it has them."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse, stats

from bctoolkit.documents.formats import Tolerance
from bctoolkit.statistics import metrics

LABELS = np.array([0, 0, 0, 1, 1, 2])
ANSWERS = np.array(
    [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.9, 0.0], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7]], np.float32
)
"""Predicted 0 0 1 1 0 2: four of six right."""
COUNTS = np.array([[2, 1, 0], [1, 1, 0], [0, 0, 1]])


def probabilities(count: int, classes: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), count).astype(np.float32)


predictions = st.builds(probabilities, st.integers(1, 40), st.integers(2, 8), st.integers(0, 10_000))


def labels_for(answers: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.random.default_rng(len(answers)).integers(0, answers.shape[1], len(answers))


def test_accuracy_by_hand() -> None:
    assert metrics.accuracy(LABELS, ANSWERS) == pytest.approx(4 / 6)


def test_confusion_by_hand_has_the_true_class_in_rows() -> None:
    assert np.array_equal(metrics.confusion(LABELS, ANSWERS), COUNTS)


def test_recall_by_hand() -> None:
    assert metrics.recall(COUNTS).tolist() == pytest.approx([2 / 3, 1 / 2, 1])


def test_precision_and_f1_by_hand() -> None:
    """Predicted 0 0 1 1 0 2: of three zeros two are right, of two ones one, of one two one."""
    assert metrics.precision(COUNTS).tolist() == pytest.approx([2 / 3, 1 / 2, 1])
    assert metrics.f1(COUNTS).tolist() == pytest.approx([4 / 6, 2 / 4, 1])


def test_a_class_that_is_never_predicted_has_no_precision_but_an_f1() -> None:
    counts = np.array([[3, 0, 0], [2, 0, 0], [0, 0, 0]])
    assert np.isnan(metrics.precision(counts)).tolist() == [False, True, True]
    assert metrics.by_class(metrics.f1(counts), ("a", "b", "c")) == {"a": pytest.approx(6 / 8), "b": 0, "c": None}


@given(predictions)
def test_f1_is_the_harmonic_mean_of_precision_and_recall(answers: NDArray[np.float32]) -> None:
    counts = metrics.confusion(labels_for(answers), answers)
    precision, recall, f1 = metrics.precision(counts), metrics.recall(counts), metrics.f1(counts)
    both = (np.nan_to_num(precision) > 0) & (np.nan_to_num(recall) > 0)
    assert f1[both] == pytest.approx(2 / (1 / precision[both] + 1 / recall[both]))


@given(predictions, st.integers(1, 20))
def test_the_bins_hold_every_image_and_give_the_calibration_error(answers: NDArray[np.float32], bins: int) -> None:
    labels = labels_for(answers)
    found = metrics.reliability(labels, answers, bins)
    assert len(found) == bins
    assert sum(part.count for part in found) == len(answers)
    gap = 0.0
    for part in found:
        if part.confidence is not None and part.accuracy is not None:
            assert part.low - 1e-6 <= part.confidence <= part.high + 1e-6
            gap += part.count * abs(part.accuracy - part.confidence) / len(answers)
    assert gap == pytest.approx(metrics.expected_calibration_error(labels, answers, bins))
    assert all(part.confidence is part.accuracy is None for part in found if not part.count)


def test_macro_f1_by_hand() -> None:
    """F1 is 2·2/(4+1+1), 2·1/(2+1+1) and 1."""
    assert metrics.macro_f1(COUNTS) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


def test_calibration_error_by_hand() -> None:
    """Two bins: (0, 0.5) holds one image, wrong, at 0.4; [0.5, 1] holds 0.9 right, 0.8 right, 0.6 wrong."""
    labels = np.array([1, 0, 0, 1])
    answers = np.array([[0.4, 0.3, 0.3], [0.9, 0.1, 0], [0.8, 0.1, 0.1], [0.6, 0.4, 0]], np.float32)
    by_hand = 1 / 4 * abs(0 - 0.4) + 3 / 4 * abs(2 / 3 - (0.9 + 0.8 + 0.6) / 3)
    assert metrics.expected_calibration_error(labels, answers, bins=2) == pytest.approx(by_hand)


def test_a_class_without_images_has_no_recall() -> None:
    counts = np.array([[3, 0], [0, 0]])
    assert metrics.recall(counts)[0] == 1
    assert np.isnan(metrics.recall(counts)[1])


def test_a_class_that_is_never_seen_counts_nothing_towards_macro_f1() -> None:
    assert metrics.macro_f1(np.array([[3, 0], [0, 0]])) == pytest.approx(0.5)


def test_certain_and_right_is_perfectly_calibrated() -> None:
    assert metrics.expected_calibration_error(np.array([0, 1]), np.eye(2, dtype=np.float32)) == 0


def test_certain_and_wrong_is_as_badly_calibrated_as_can_be() -> None:
    assert metrics.expected_calibration_error(np.array([1, 0]), np.eye(2, dtype=np.float32)) == 1


@given(answers=predictions)
def test_the_confusion_matrix_is_scipy_s_and_counts_every_image_once(answers: NDArray[np.float32]) -> None:
    labels, classes = labels_for(answers), answers.shape[1]
    counts = metrics.confusion(labels, answers)
    ones = np.ones(len(labels), np.int64)
    assert np.array_equal(counts, sparse.coo_matrix((ones, (labels, answers.argmax(1))), (classes, classes)).toarray())
    assert counts.sum() == len(labels)
    assert np.trace(counts) / len(labels) == pytest.approx(metrics.accuracy(labels, answers))


@given(answers=predictions, bins=st.integers(1, 30))
def test_calibration_error_agrees_with_scipy_s_binned_means(answers: NDArray[np.float32], bins: int) -> None:
    labels = labels_for(answers)
    confidence, right = answers.max(1).astype(np.float64), (answers.argmax(1) == labels).astype(np.float64)
    assume(not np.any(np.isclose(confidence * bins % 1, [[0], [1]], atol=1e-9)))
    gaps, _, _ = stats.binned_statistic(confidence, right - confidence, "sum", bins, (0, 1))
    assert metrics.expected_calibration_error(labels, answers, bins) == pytest.approx(
        np.abs(gaps).sum() / len(labels), abs=1e-9
    )


@given(answers=predictions)
def test_shares_lie_between_0_and_1(answers: NDArray[np.float32]) -> None:
    labels = labels_for(answers)
    counts = metrics.confusion(labels, answers)
    recall = metrics.recall(counts)
    assert 0 <= metrics.macro_f1(counts) <= 1
    assert 0 <= metrics.expected_calibration_error(labels, answers) <= 1
    assert np.all((recall[~np.isnan(recall)] >= 0) & (recall[~np.isnan(recall)] <= 1))


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [(0, 10, 0, 0.3085), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1), (81, 263, 0.2527, 0.3676)],
)
def test_the_exact_interval_of_published_examples(successes: int, count: int, low: float, high: float) -> None:
    assert metrics.exact_interval(successes, count) == pytest.approx((low, high), abs=1e-4)


@given(count=st.integers(1, 500), share=st.floats(0, 1), level=st.floats(0.5, 0.99))
def test_the_exact_interval_is_made_of_beta_quantiles(count: int, share: float, level: float) -> None:
    k, tail = round(share * count), (1 - level) / 2
    low, high = metrics.exact_interval(k, count, level)
    assert low == pytest.approx(stats.beta.ppf(tail, k, count - k + 1) if k else 0, abs=1e-9)
    assert high == pytest.approx(stats.beta.ppf(1 - tail, k + 1, count - k) if k < count else 1, abs=1e-9)
    assert low <= k / count <= high


def test_parity_by_hand() -> None:
    reference = np.array([[0.6, 0.4], [0.3, 0.7]], np.float32)
    observed = np.array([[0.5, 0.5], [0.6, 0.4]], np.float32)
    found = metrics.parity(reference, observed)
    assert (found.count, found.top1_agreement) == (2, 0.5)
    assert found.max_abs_diff == pytest.approx(0.3, abs=1e-6)
    assert found.mean_abs_diff == pytest.approx((0.1 + 0.1 + 0.3 + 0.3) / 4, abs=1e-6)


LIMITS = Tolerance(0.35, 0.02, 0.98)
SEALED = metrics.Parity(32, 1.0, 6e-3, 3e-4)


@pytest.mark.parametrize(
    ("largest", "mean", "drifts"),
    [
        (6e-3, 3e-4, False),
        (7.2e-3, 3.6e-4, False),  # another order of adding
        (0.026, 3e-4, False),  # 1.5 · 0.006 + 0.05 · 0.35 = 0.0265
        (0.027, 3e-4, True),
        (6e-3, 1.4e-3, False),  # 1.5 · 0.0003 + 0.05 · 0.02 = 0.00145
        (6e-3, 1.5e-3, True),
        (0.0, 0.0, False),
    ],
)
def test_a_machine_drifts_that_answers_clearly_further_from_the_reference(
    largest: float, mean: float, drifts: bool
) -> None:
    assert metrics.drifted(metrics.Parity(32, 1.0, largest, mean), SEALED, LIMITS) == drifts


def test_margin_by_hand() -> None:
    np.testing.assert_allclose(metrics.margin(ANSWERS), [0.7, 0.3, 0.2, 0.8, 0.5, 0.5], atol=1e-6)


@given(answers=predictions)
def test_anything_is_in_full_parity_with_itself(answers: NDArray[np.float32]) -> None:
    assert metrics.parity(answers, answers.copy()) == metrics.Parity(len(answers), 1.0, 0.0, 0.0)
    assert metrics.limit_violations(answers, answers.copy(), Tolerance(0, 0, 1)) == []


@given(answers=predictions, seed=st.integers(0, 1000))
def test_parity_is_symmetric(answers: NDArray[np.float32], seed: int) -> None:
    other = probabilities(len(answers), answers.shape[1], seed)
    assert metrics.parity(answers, other) == metrics.parity(other, answers)


@given(gap=st.floats(0, 0.5), allowed=st.floats(0.001, 0.5))
def test_another_class_counts_as_agreeing_only_within_the_allowed_difference(gap: float, allowed: float) -> None:
    """The reference prefers class 0 by `gap`; the artifact answers class 1."""
    assume(abs(gap - allowed) > 1e-4)
    reference = np.array([[0.5 + gap / 2, 0.5 - gap / 2]])
    observed = np.array([[0.4, 0.6]])
    broken = metrics.limit_violations(reference, observed, Tolerance(allowed, 1, 1.0))
    assert any("top-1 agreement" in line for line in broken) == (gap > allowed)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Tolerance(0.2, 1, 0), ["max |Δp| 3.00e-01 > 0.2"]),
        (Tolerance(1, 0.1, 0), ["mean |Δp| 2.00e-01 > 0.1"]),
        (Tolerance(0.29, 1, 0.75), ["max |Δp| 3.00e-01 > 0.29", "top-1 agreement 50.00% < 75.00%"]),
        (Tolerance(0.31, 0.21, 0.5), []),
    ],
)
def test_each_broken_limit_is_told_with_what_was_found(limits: Tolerance, words: list[str]) -> None:
    reference = np.array([[0.6, 0.4], [0.35, 0.65]])
    observed = np.array([[0.5, 0.5], [0.65, 0.35]])
    assert metrics.limit_violations(reference, observed, limits) == words


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_probabilities_that_are_not_finite_break_every_tolerance(value: float) -> None:
    observed = np.array([[0.5, value]], np.float32)
    broken = metrics.limit_violations(np.array([[0.5, 0.5]], np.float32), observed, Tolerance(1e9, 1e9, 0))
    assert broken == ["some probabilities are not finite"]


def test_differences_are_taken_in_float64() -> None:
    reference = np.array([[1, 0]], np.float32)
    observed = np.array([[np.nextafter(np.float32(1), np.float32(0)), 0]], np.float32)
    assert metrics.parity(reference, observed).max_abs_diff == pytest.approx(2.0**-24, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_of_any_whole_type_do(dtype: type) -> None:
    wide = np.zeros((3, 20), np.float32)
    wide[:, 19] = 1
    counts = metrics.confusion(np.array([19, 0, 19], dtype), wide)
    assert (counts[19, 19], counts[0, 19], counts.sum()) == (2, 1, 3)


def test_the_logit_error_sees_what_probabilities_near_one_hide() -> None:
    logits = np.eye(3)[np.arange(12) % 3] * 20
    sure, off = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (logits, logits * 1.01))
    assert np.abs(sure - off).max() < 1e-8
    assert metrics.logit_error(sure, off) == pytest.approx(0.01, rel=1e-3)


@given(predictions)
def test_equal_answers_have_no_logit_error(answers: NDArray[np.float32]) -> None:
    assert metrics.logit_error(answers, answers) == 0


def test_what_an_eight_bit_output_cannot_tell_from_zero_is_no_logit_error() -> None:
    fine = np.array([[1 - 1e-5, 1e-5], [0.25, 0.75]], np.float32)
    assert metrics.logit_error(fine, (np.round(fine * 256) / 256).astype(np.float32)) < 1e-4
