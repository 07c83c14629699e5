"""Statistics: equal to their plain definitions, and intervals that hold what they promise."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from bctoolkit.bench.stats import latency

Samples = NDArray[np.float64]
Draw = Callable[[np.random.Generator], list[Samples]]


def sessions_of(*sizes: int, seed: int = 0) -> list[Samples]:
    rng = np.random.default_rng(seed)
    return [10 + rng.exponential(1.0, size) for size in sizes]


@given(
    sizes=st.lists(st.integers(1, 80), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=30)
def test_figures_are_those_of_all_samples_together(sizes: list[int], seed: int) -> None:
    sessions = sessions_of(*sizes, seed=seed)
    together = np.concatenate(sessions)
    found = latency(sessions)
    assert found.n == len(together)
    assert found.p50 == pytest.approx(np.percentile(together, 50))
    assert found.p90 == pytest.approx(np.percentile(together, 90))
    assert found.mean == pytest.approx(together.mean())
    assert (found.min, found.max) == (together.min(), together.max())
    assert found.ci95_p50[0] <= found.ci95_p50[1]


def test_an_outlier_is_never_left_out() -> None:
    sessions = sessions_of(50, 50)
    sessions[1][7] = 5_000.0
    found = latency(sessions)
    assert found.max == 5_000.0
    assert found.mean == pytest.approx(np.concatenate(sessions).mean())


@pytest.mark.parametrize(
    ("sizes", "known"), [((999,), False), ((1000,), True), ((500, 499), False), ((400, 600), True)]
)
def test_p99_needs_a_thousand_samples_in_all(sizes: tuple[int, ...], known: bool) -> None:
    sessions = sessions_of(*sizes)
    found = latency(sessions)
    if known:
        assert found.p99 == pytest.approx(np.percentile(np.concatenate(sessions), 99))
    else:
        assert found.p99 is None


@pytest.mark.parametrize(
    ("medians", "spread", "stable"),
    [
        ((10.0,), 0.0, True),
        ((10.0, 10.0, 10.9), 0.09, True),
        ((10.0, 10.0, 11.1), 0.11, False),
        ((9.0, 10.0, 10.5), 0.15, False),
    ],
)
def test_stable_means_session_medians_within_ten_percent(
    medians: tuple[float, ...], spread: float, stable: bool
) -> None:
    found = latency([np.array([median - 1, median, median + 1]) for median in medians])
    assert found.spread == pytest.approx(spread)
    assert found.stable is stable


def test_same_seed_gives_the_same_interval() -> None:
    sessions = sessions_of(100, 100)
    assert latency(sessions, seed=3).ci95_p50 == latency(sessions, seed=3).ci95_p50


def test_interval_scales_with_the_unit() -> None:
    sessions = sessions_of(100, 100)
    low, high = latency(sessions).ci95_p50
    scaled = latency([session * 1000 for session in sessions]).ci95_p50
    assert scaled == pytest.approx((low * 1000, high * 1000))


def test_interval_narrows_with_more_samples() -> None:
    few, many = latency(sessions_of(40, 40, 40)).ci95_p50, latency(sessions_of(4000, 4000, 4000)).ci95_p50
    assert many[1] - many[0] < (few[1] - few[0]) / 4


def test_interval_of_sessions_that_differ_spans_them() -> None:
    """The machine's state differs between sessions; the interval must not pretend otherwise."""
    rng = np.random.default_rng(0)
    sessions = [level + rng.normal(0, 0.01, 400) for level in (10.0, 10.4, 10.8)]
    low, high = latency(sessions).ci95_p50
    assert low < 10.05
    assert high > 10.75


def normal(rng: np.random.Generator) -> list[Samples]:
    return [rng.normal(10, 1, 200) for _ in range(3)]


def skewed(rng: np.random.Generator) -> list[Samples]:
    return [10 + rng.exponential(1 / math.log(2), 300) - 1 for _ in range(3)]


def skewed_and_few(rng: np.random.Generator) -> list[Samples]:
    """As many runs as `bctk bench --quick` makes of a slow model."""
    return [10 + rng.exponential(1 / math.log(2), 50) - 1 for _ in range(2)]


def drifting(rng: np.random.Generator) -> list[Samples]:
    return [rng.normal(10, 0.3) + rng.normal(0, 1, 100) for _ in range(10)]


@pytest.mark.parametrize("draw", [normal, skewed, skewed_and_few, drifting])
def test_interval_holds_the_true_median_about_as_often_as_it_says(draw: Draw) -> None:
    rng = np.random.default_rng(1)
    intervals = [latency(draw(rng), seed=seed).ci95_p50 for seed in range(200)]
    covered = np.mean([low <= 10 <= high for low, high in intervals])
    assert covered >= 0.88, f"the 95 % interval held the true median in {covered:.0%} of the cases"


def test_interval_is_not_wide_for_safety() -> None:
    """Three sessions of 200: about as wide as the exact binomial interval of the same samples."""
    rng = np.random.default_rng(2)
    ratios = []
    for seed in range(100):
        sessions = normal(rng)
        together = np.sort(np.concatenate(sessions))
        low, high = scipy_stats.binom.ppf([0.025, 0.975], len(together), 0.5).astype(int)
        found = latency(sessions, seed=seed).ci95_p50
        ratios.append((found[1] - found[0]) / (together[high] - together[low]))
    assert 0.7 < float(np.median(ratios)) < 2.5
