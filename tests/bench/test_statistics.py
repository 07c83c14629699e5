"""Statistics: equal to their plain definitions, and intervals that hold what they promise."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from bctoolkit.bench.analysis.statistics import latency, mean_interval, ratio
from bctoolkit.bench.documents.measurements import TimingWarning

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
    figures = latency(sessions)
    assert figures.samples == len(together)
    assert figures.p50 == pytest.approx(np.percentile(together, 50))
    assert figures.p90 == pytest.approx(np.percentile(together, 90))
    assert figures.mean == pytest.approx(together.mean())
    assert (figures.min, figures.max) == (together.min(), together.max())
    assert figures.ci95_p50[0] <= figures.ci95_p50[1]


def test_an_outlier_is_never_left_out() -> None:
    sessions = sessions_of(50, 50)
    sessions[1][7] = 5_000.0
    figures = latency(sessions)
    assert figures.max == 5_000.0
    assert figures.mean == pytest.approx(np.concatenate(sessions).mean())


@pytest.mark.parametrize(
    ("sizes", "has_p99"), [((999,), False), ((1000,), True), ((500, 499), False), ((400, 600), True)]
)
def test_p99_needs_a_thousand_samples_in_all(sizes: tuple[int, ...], has_p99: bool) -> None:
    sessions = sessions_of(*sizes)
    figures = latency(sessions)
    if has_p99:
        assert figures.p99 == pytest.approx(np.percentile(np.concatenate(sessions), 99))
    else:
        assert figures.p99 is None


@pytest.mark.parametrize(
    ("medians", "spread", "stable"),
    [((10.0, 10.0, 10.9), 0.09, True), ((10.0, 10.0, 11.1), 0.11, False), ((9.0, 10.0, 10.5), 0.15, False)],
)
def test_spread_means_session_medians_more_than_ten_percent_apart(
    medians: tuple[float, ...], spread: float, stable: bool
) -> None:
    figures = latency([np.repeat([median - 1, median, median + 1], 40) for median in medians])
    assert figures.spread == pytest.approx(spread)
    assert figures.stable is stable
    assert figures.warnings == (() if stable else (TimingWarning.SPREAD,))


@pytest.mark.parametrize(("sizes", "few"), [((40, 40, 40), False), ((33, 33, 33), True), ((500, 500), True)])
def test_two_sessions_or_ninety_nine_runs_are_too_few(sizes: tuple[int, ...], few: bool) -> None:
    figures = latency([np.full(size, 10.0) for size in sizes])
    assert figures.warnings == ((TimingWarning.FEW,) if few else ())
    assert figures.stable is not few


def test_known_disturbances_make_it_unstable() -> None:
    figures = latency([np.full(50, 10.0)] * 3, (TimingWarning.THROTTLING,))
    assert (figures.stable, figures.warnings) == (False, (TimingWarning.THROTTLING,))


def test_one_session_is_judged_by_its_blocks() -> None:
    """It cannot tell what differs between processes, but it is not bare of an interval either."""
    (session,) = sessions_of(400)
    low, high = latency([session]).ci95_p50
    assert low < float(np.median(session)) < high


def test_interval_scales_with_the_unit() -> None:
    sessions = sessions_of(100, 100)
    low, high = latency(sessions).ci95_p50
    scaled = latency([session * 1000 for session in sessions]).ci95_p50
    assert scaled == pytest.approx((low * 1000, high * 1000))


def test_interval_narrows_with_more_samples() -> None:
    widths = []
    for size in (40, 4000):
        intervals = [latency(sessions_of(size, size, size, seed=seed)).ci95_p50 for seed in range(20)]
        widths.append(np.median([high - low for low, high in intervals]))
    assert widths[1] < widths[0] / 4


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
    return [10 + rng.exponential(1 / math.log(2), 50) - 1 for _ in range(3)]


def drifting(rng: np.random.Generator) -> list[Samples]:
    return [rng.normal(10, 0.3) + rng.normal(0, 1, 100) for _ in range(5)]


def bursts(rng: np.random.Generator) -> list[Samples]:
    """Slow runs come in rows of ten, as when another program wakes up."""
    return [np.repeat(rng.exponential(1, 60), 10) for _ in range(5)]


@pytest.mark.parametrize("draw", [normal, skewed, skewed_and_few, drifting])
def test_interval_holds_the_true_median_as_often_as_it_says(draw: Draw) -> None:
    rng = np.random.default_rng(1)
    intervals = [latency(draw(rng)).ci95_p50 for _ in range(1500)]
    covered = np.mean([low <= 10 <= high for low, high in intervals])
    assert abs(covered - 0.95) <= 0.015


def test_interval_holds_the_true_p99_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    figures = [latency([rng.exponential(1, 600) for _ in range(3)]).ci95_p99 for _ in range(1500)]
    covered = np.mean([interval is not None and interval[0] <= -math.log(0.01) <= interval[1] for interval in figures])
    assert abs(covered - 0.95) <= 0.015


def test_interval_of_p99_knows_that_slow_runs_come_in_rows() -> None:
    """Runs that are alike are not ten times the evidence."""
    rng = np.random.default_rng(1)
    figures = [latency(bursts(rng)).ci95_p99 for _ in range(400)]
    covered = np.mean([interval is not None and interval[0] <= -math.log(0.01) <= interval[1] for interval in figures])
    assert covered > 0.85


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("sessions", [3, 5, 10])
def test_interval_of_a_ratio_holds_the_true_one_as_often_as_it_says(paired: bool, sessions: int) -> None:
    """Paired sessions share the state of the machine in their turn, which then cancels."""
    rng = np.random.default_rng(sessions)
    covered = []
    for _ in range(2000):
        turn = rng.normal(0, 0.1, sessions) if paired else 0.0
        old, new = (np.exp(level + turn + rng.normal(0, 0.02, sessions)) for level in (2.3, 2.4))
        figures = ratio(old, new, paired=paired)
        covered.append(figures.low <= math.exp(0.1) <= figures.high)
    assert abs(np.mean(covered) - 0.95) <= 0.015


@given(st.lists(st.floats(1.0, 1e3), min_size=3, max_size=8), st.floats(0.1, 10))
def test_a_ratio_turns_over_with_its_sides_and_forgets_the_unit(values: list[float], factor: float) -> None:
    old = np.array(values)
    new = np.roll(old, 1) * factor
    for paired in (True, False):
        figures, turned = ratio(old, new, paired=paired), ratio(new, old, paired=paired)
        assert (turned.value, turned.low, turned.high) == pytest.approx(
            (1 / figures.value, 1 / figures.high, 1 / figures.low), rel=1e-6
        )
        assert figures.value == pytest.approx(ratio(old * 7, new * 7, paired=paired).value)
        assert figures.low <= figures.value <= figures.high


def test_intervals_equal_scipy_s() -> None:
    rng = np.random.default_rng(3)
    old, new = np.exp(rng.normal(2, 0.1, 7)), np.exp(rng.normal(2.1, 0.2, 7))
    one = scipy_stats.ttest_1samp(np.log(new), 0).confidence_interval()
    assert np.log(mean_interval(new)) == pytest.approx((one.low, one.high), abs=1e-9)
    paired = scipy_stats.ttest_rel(np.log(new), np.log(old)).confidence_interval()
    assert np.log(ratio(old, new, paired=True)[1:]) == pytest.approx((paired.low, paired.high), abs=1e-9)
    welch = scipy_stats.ttest_ind(np.log(new), np.log(old), equal_var=False).confidence_interval()
    assert np.log(ratio(old, new, paired=False)[1:]) == pytest.approx((welch.low, welch.high), abs=1e-9)


def test_the_same_sessions_have_the_ratio_one() -> None:
    assert ratio([5.0, 6.0, 7.0], [5.0, 6.0, 7.0], paired=True) == pytest.approx((1, 1, 1))
    assert ratio([5.0, 5.0], [5.0, 5.0], paired=False) == pytest.approx((1, 1, 1))


def test_too_few_sessions_give_no_ratio() -> None:
    with pytest.raises(ValueError, match="1 and 3 sessions"):
        ratio([5.0], [5.0, 6.0, 7.0], paired=False)
    with pytest.raises(ValueError, match="2 and 3 sessions"):
        ratio([5.0, 5.0], [5.0, 6.0, 7.0], paired=True)


def test_interval_is_not_wide_for_safety() -> None:
    """Three sessions of 200: about as wide as the exact binomial interval of the same samples."""
    rng = np.random.default_rng(2)
    ratios = []
    for _ in range(100):
        sessions = normal(rng)
        together = np.sort(np.concatenate(sessions))
        low, high = scipy_stats.binom.ppf([0.025, 0.975], len(together), 0.5).astype(int)
        figures = latency(sessions).ci95_p50
        ratios.append((figures[1] - figures[0]) / (together[high] - together[low]))
    assert 0.7 < float(np.median(ratios)) < 2.5
