"""The interval of ECE's drift: what it holds, and a planted drift. How often it holds the truth: test_coverage.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bctoolkit.bench.analysis.calibration_drift import drift_interval
from bctoolkit.statistics.metrics import calibration_gaps, expected_calibration_error, tempered

Answers = tuple[NDArray[np.int64], NDArray[np.float32]]


def answers(count: int = 1500, seed: int = 0) -> Answers:
    """Labels drawn as the probabilities say: calibrated but for chance."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([6.0, 0.3, 0.3], count).astype(np.float32)
    return (rng.random((count, 1)) > probabilities.cumsum(1)).sum(1).clip(0, 2), probabilities


def test_the_same_answers_have_not_drifted() -> None:
    labels, probabilities = answers()
    low, high = drift_interval(labels, probabilities, probabilities)
    assert low == pytest.approx(-high)
    assert 0 < high < 0.002


@pytest.mark.parametrize("temperature", [0.3, 3.0])
def test_a_planted_drift_lies_beyond_the_interval_of_none(temperature: float) -> None:
    labels, probabilities = answers()
    low, high = drift_interval(labels, tempered(probabilities, temperature).astype(np.float32), probabilities)
    assert 0.02 < low < high
    back = drift_interval(labels, probabilities, tempered(probabilities, temperature).astype(np.float32))
    assert back == pytest.approx((-high, -low), abs=1e-9)


@given(seed=st.integers(0, 1000), count=st.integers(2, 300), temperature=st.floats(0.5, 2))
def test_it_holds_what_was_seen(seed: int, count: int, temperature: float) -> None:
    labels, probabilities = answers(count, seed)
    other = tempered(probabilities, temperature).astype(np.float32)
    low, high = drift_interval(labels, other, probabilities)
    seen = expected_calibration_error(labels, other) - expected_calibration_error(labels, probabilities)
    assert low <= seen + 0.5 / count
    assert seen - 0.5 / count <= high


def test_ece_is_the_sum_of_the_gaps_of_its_bins() -> None:
    labels, probabilities = answers(200)
    gaps = calibration_gaps(labels, probabilities)
    assert gaps.shape == (200, 15)
    right = probabilities.argmax(1) == labels
    assert gaps.sum(1) == pytest.approx(right - probabilities.max(1), abs=1e-6)
    assert expected_calibration_error(labels, probabilities) == pytest.approx(np.abs(gaps.mean(0)).sum())


def test_the_order_of_images_does_not_matter() -> None:
    labels, probabilities = answers(300)
    other = tempered(probabilities, 1.5).astype(np.float32)
    order = np.random.default_rng(1).permutation(300)
    assert drift_interval(labels[order], other[order], probabilities[order]) == pytest.approx(
        drift_interval(labels, other, probabilities)
    )
