"""Selective classification: what the thresholds promise on the images they were fitted to, and what a curve is."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bctoolkit.statistics.metrics import temperature, tempered
from bctoolkit.statistics.selective import (
    accepted_answers,
    choose_thresholds,
    foreign_pictures,
    risk_coverage,
)

SEEDS = st.integers(0, 2**32 - 1)


def scores(seed: int, count: int, levels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Confidences and distances; few levels make ties."""
    rng = np.random.default_rng(seed)
    confidence, distance = rng.random(count), rng.exponential(size=count)
    return np.ceil(confidence * levels) / levels, np.ceil(distance * levels) / levels


def accepted(seed: int, count: int, levels: int, coverage: float) -> NDArray[np.bool_]:
    confidence, distance = scores(seed, count, levels)
    limits = choose_thresholds(confidence, distance, coverage)
    return (confidence >= limits.confidence) & (distance <= limits.distance)


@given(SEEDS, st.integers(4, 300), st.sampled_from([2, 5, 10**9]), st.floats(0.01, 0.99))
def test_thresholds_reach_the_coverage_on_what_they_were_fitted_to(
    seed: int, count: int, levels: int, coverage: float
) -> None:
    kept = int(accepted(seed, count, levels, coverage).sum())
    needed = min(count, math.ceil(coverage * (count + 1)))
    assert kept >= needed
    if levels == 10**9:  # without ties at most one image more, that the other score's threshold lets through
        assert kept <= needed + 1


@given(SEEDS, st.integers(4, 100), st.sampled_from([3, 10**9]), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_larger_coverage_accepts_all_that_a_smaller_one_does(
    seed: int, count: int, levels: int, one: float, other: float
) -> None:
    few, many = (accepted(seed, count, levels, coverage) for coverage in sorted((one, other)))
    assert not (few & ~many).any()


def test_new_images_like_those_are_accepted_as_often_as_stated_on_average() -> None:
    shares = []
    for seed in range(300):
        confidence, distance = scores(seed, 700, 10**9)
        limits = choose_thresholds(confidence[:200], distance[:200], 0.9)
        shares.append(((confidence[200:] >= limits.confidence) & (distance[200:] <= limits.distance)).mean())
    assert np.mean(shares) == pytest.approx(0.9, abs=0.006)


@given(SEEDS, st.floats(0.05, 20), st.integers(2, 9))
def test_a_temperature_keeps_the_order_of_the_classes(seed: int, degrees: float, classes: int) -> None:
    before = np.random.default_rng(seed).dirichlet(np.ones(classes), 20).astype(np.float32)
    after = tempered(before, degrees)
    order = np.argsort(before, axis=1, kind="stable")
    assert (np.diff(np.take_along_axis(after, order, 1), axis=1) >= 0).all()
    assert np.array_equal(before.argmax(1), after.argmax(1))


def test_an_artifact_that_is_right_on_all_is_not_made_certain_of_everything() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet((30, 1, 1), 400).astype(np.float32)
    labels = probabilities.argmax(1)
    assert temperature(labels, probabilities) == pytest.approx(0.05, abs=1e-3)  # as certain as it may be
    smoothed = temperature(labels, probabilities, smoothing=0.5 / 400.5)
    assert smoothed > 0.1
    assert tempered(probabilities, smoothed).max(1).mean() < 0.9999


def test_smoothing_moves_the_temperature_of_an_artifact_with_errors_little() -> None:
    rng = np.random.default_rng(1)
    logits = 6 * rng.normal(size=(2000, 5))
    labels = np.array(
        [rng.choice(5, p=row) for row in tempered(np.exp(logits / 9) / np.exp(logits / 9).sum(1)[:, None], 0.5)]
    )
    probabilities = (np.exp(logits / 3) / np.exp(logits / 3).sum(1)[:, None]).astype(np.float32)
    plain, smoothed = temperature(labels, probabilities), temperature(labels, probabilities, smoothing=0.5 / 2000.5)
    assert plain == pytest.approx(1.5, rel=0.1)
    assert smoothed == pytest.approx(plain, rel=0.02)


def test_the_curve_of_a_perfect_ranking() -> None:
    confidence = np.linspace(1, 0, 100)
    right = np.arange(100) < 80
    curve = risk_coverage(confidence, right)
    assert curve.coverage[-1] == 1
    assert curve.risk[-1] == pytest.approx(0.2)
    assert curve.at(0.8) == 0
    assert curve.area == pytest.approx(np.mean(np.maximum(np.arange(1, 101) - 80, 0) / np.arange(1, 101)))


@given(SEEDS, st.integers(1, 80), st.integers(1, 4))
def test_the_curve_does_not_depend_on_the_order_of_ties(seed: int, count: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    confidence, right = rng.integers(0, levels, count) / levels, rng.random(count) < 0.7
    order = rng.permutation(count)
    one, other = risk_coverage(confidence, right), risk_coverage(confidence[order], right[order])
    assert one.risk == pytest.approx(other.risk)
    assert one.area == pytest.approx(other.area)
    assert one.risk[-1] == pytest.approx(1 - right.mean())


def test_of_a_ranking_that_knows_nothing_the_risk_is_the_same_everywhere() -> None:
    curve = risk_coverage(np.full(1000, 0.7), np.arange(1000) % 10 > 0)
    assert np.ptp(curve.risk) < 1e-12
    assert curve.area == pytest.approx(0.1)


def test_what_is_accepted_is_counted() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]], np.float32)
    labels, kept = np.array([0, 1, 1, 1]), np.array([True, True, False, False])
    figures = accepted_answers(labels, probabilities, kept, (0.5, 2.0))
    assert (figures.coverage, figures.accuracy, figures.errors, figures.errors_refused) == (0.5, 0.5, 2, 1)
    assert figures.coverage_ci95[0] < 0.5 < figures.coverage_ci95[1]
    none = accepted_answers(labels, probabilities, np.zeros(4, np.bool_), (0.5, 2.0))
    assert (none.coverage, none.accuracy, none.accuracy_ci95) == (0, None, None)


def test_foreign_pictures_are_counted_by_kind() -> None:
    kept, kind = np.array([True, False, False, True, False]), np.array([0, 0, 0, 2, 2])
    figures = foreign_pictures("there", kept, kind, ("moon", "absent", "text"))
    assert (figures.count, figures.accepted, figures.share) == (5, 2, 0.4)
    assert {name: (each.count, each.accepted) for name, each in figures.kinds.items()} == {
        "moon": (3, 1),
        "text": (2, 1),
    }
    assert foreign_pictures("there", kept, np.zeros(5, np.int64), ("all",)).kinds == {}
