"""Every test and interval a report states, against scipy's and statsmodels' to 1e-9, and against published examples."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize
from scipy import stats as scipy_stats
from statsmodels.stats import contingency_tables, proportion, weightstats

from bctoolkit.bench.analysis.statistics import latency, mean_interval, ratio
from bctoolkit.statistics.metrics import exact_interval
from bctoolkit.statistics.paired import _score, mcnemar, paired_mean_interval, score_interval

COUNTS = [
    (30, 12, 300),
    (5, 4, 200),
    (4, 1, 400),
    (1, 7, 50),
    (60, 80, 200),
    (1, 0, 1815),
    (0, 0, 64),
    (9, 3, 32),
    (40, 20, 160),
]


def decisions(both: int, losses: int, gains: int, neither: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    counts = [both, losses, gains, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(("losses", "gains"), list(product((0, 1, 2, 7, 40, 150), (0, 1, 3, 12, 86))))
def test_mcnemar_is_statsmodels_exact_one(losses: int, gains: int) -> None:
    theirs = contingency_tables.mcnemar([[50, losses], [gains, 5]], exact=True).pvalue
    assert mcnemar(*decisions(50, losses, gains, 5)) == pytest.approx(theirs, abs=1e-9)


@given(count=st.integers(1, 3000), share=st.floats(0, 1))
def test_exact_binomial_interval_is_statsmodels(count: int, share: float) -> None:
    successes = round(share * count)
    theirs = proportion.proportion_confint(successes, count, method="beta")
    assert exact_interval(successes, count) == pytest.approx(np.nan_to_num(theirs, nan=successes / count), abs=1e-9)


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)],
)
def test_exact_binomial_interval_on_published_examples(successes: int, count: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17:857–872, table I, method 5."""
    assert exact_interval(successes, count) == pytest.approx((low, high), abs=5.1e-5)


def brute_force_limits(losses: int, gains: int, count: int) -> tuple[float, float]:
    """Tango's interval by its definition alone: the drops that a score test with the likeliest nuisance refuses not."""
    normal = scipy_stats.norm.ppf(0.975)

    def statistic(drop: float) -> float:
        low, high = max(0.0, -drop), (1 - drop) / 2

        def slope(gain: float) -> float:
            """Of the trinomial log likelihood in the probability of a gain."""
            rest = count - losses - gains
            up = (losses / (gain + drop) if losses else 0.0) + (gains / gain if gains else 0.0)
            return up - 2 * rest / (1 - 2 * gain - drop)

        edge = 1e-15
        if slope(low + edge) <= 0:
            gain = low
        else:
            gain = optimize.brentq(slope, low + edge, high - edge, xtol=1e-16, rtol=1e-15)
        return float((losses - gains - count * drop) / math.sqrt(count * (2 * gain + drop - drop**2)))

    middle = (losses - gains) / count
    found = [
        optimize.brentq(lambda drop, z=z: statistic(drop) - z, *sides, xtol=1e-14, rtol=1e-14)
        for z, sides in ((normal, (-0.999, middle - 1e-9)), (-normal, (middle + 1e-9, 0.999)))
    ]
    return found[0], found[1]


@pytest.mark.parametrize("counts", COUNTS)
def test_drop_interval_is_the_score_test_inverted_by_brute_force(counts: tuple[int, int, int]) -> None:
    assert score_interval(*counts) == pytest.approx(brute_force_limits(*counts), abs=1e-9)


@pytest.mark.parametrize(
    ("losses", "gains", "count", "low", "high", "digits"),
    [
        (
            9,
            3,
            32,
            -0.027,
            0.390,
            3,
        ),  # Tango 1998, Statistics in Medicine 17:891–908, section 6.2: sleeping difficulties
        (1, 7, 21, -0.517, -0.026, 3),  # Fagerland, Lydersen & Laake 2014, Stat Med 33:2850–2875: airway (Bentur 2009)
    ],
)
def test_drop_interval_on_published_examples(
    losses: int, gains: int, count: int, low: float, high: float, digits: int
) -> None:
    assert score_interval(losses, gains, count) == pytest.approx((low, high), abs=0.51 * 10**-digits)


def test_score_on_tango_s_contact_lenses() -> None:
    """Tango 1998, section 6.1: 44 pairs, none lost, one gained: Z(0.1) = 1.709, the 90 % interval from -0.096."""
    assert _score(0, 1, 44, -0.1) == pytest.approx(1.709, abs=5e-4)
    assert _score(0, 1, 44, -0.096) == pytest.approx(scipy_stats.norm.ppf(0.95), abs=0.01)  # the 90 % interval's end


def test_approval_ratings() -> None:
    """Agresti 1990, Categorical Data Analysis, section 10.1: 1,600 voters asked twice about a prime minister.

    944 approve first, 880 later; z² = 17.36, and the difference 0.04 has the 95 % interval 0.02 to 0.06.
    """
    assert mcnemar(*decisions(794, 150, 86, 570)) == pytest.approx(scipy_stats.chi2.sf(17.36, 1), rel=0.3)
    low, high = score_interval(150, 86, 1600)
    assert (round(low, 2), round(high, 2)) == (0.02, 0.06)


@pytest.mark.parametrize("sessions", [2, 3, 5, 10])
def test_student_s_and_welch_s_intervals_are_scipy_s_and_statsmodels(sessions: int) -> None:
    rng = np.random.default_rng(sessions)
    old, new = np.exp(rng.normal(2, 0.1, sessions)), np.exp(rng.normal(2.1, 0.2, sessions))
    one = scipy_stats.ttest_1samp(np.log(new), 0).confidence_interval()
    assert np.log(mean_interval(new)) == pytest.approx((one.low, one.high), abs=1e-9)
    assert np.log(mean_interval(new)) == pytest.approx(weightstats.DescrStatsW(np.log(new)).tconfint_mean(), abs=1e-9)
    turns = scipy_stats.ttest_rel(np.log(new), np.log(old)).confidence_interval()
    assert np.log(ratio(old, new, paired=True)[1:]) == pytest.approx((turns.low, turns.high), abs=1e-9)
    welch = scipy_stats.ttest_ind(np.log(new), np.log(old), equal_var=False).confidence_interval()
    found = np.log(ratio(old, new, paired=False)[1:])
    assert found == pytest.approx((welch.low, welch.high), abs=1e-9)
    means = weightstats.CompareMeans(weightstats.DescrStatsW(np.log(new)), weightstats.DescrStatsW(np.log(old)))
    assert found == pytest.approx(means.tconfint_diff(usevar="unequal"), abs=1e-9)


def woodruff(sessions: list[list[float]]) -> tuple[float, float]:
    """The interval of p99 from its description: plain loops, statsmodels' Jeffreys interval, ranks by hand."""
    ordered = sorted(run for session in sessions for run in session)
    count = len(ordered)
    limit = float(np.percentile(ordered, 99))
    over, sizes = [], []
    for session in sessions:
        pieces = min(20, max(1, len(session) // 10))
        for piece in range(pieces):
            longer, rest = divmod(len(session), pieces)
            start = piece * longer + min(piece, rest)
            block = session[start : start + longer + (piece < rest)]
            over.append(sum(run > limit for run in block) / len(block))
            sizes.append(len(block))
    mean = sum(over) / len(over)
    seen = sum((share - mean) ** 2 for share in over) / (len(over) - 1)
    independent = 0.99 * 0.01 * sum(1 / size for size in sizes) / len(sizes)
    worth = count / max(1.0, seen / independent)
    ends = []
    for share in proportion.proportion_confint(0.99 * worth, worth, method="jeffreys"):
        rank = min(max(share * (count + 1), 1.0), float(count))
        below = min(int(rank), count - 1)
        ends.append(ordered[below - 1] + (rank - below) * (ordered[below] - ordered[below - 1]))
    return ends[0], ends[1]


@pytest.mark.parametrize("sizes", [(400, 400, 400), (1000, 350, 777), (5000,) * 5])
def test_interval_of_p99_is_that_of_an_independent_computation(sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    sessions = [10 + np.repeat(rng.exponential(1, size), 3)[:size] for size in sizes]
    found = latency(sessions).ci95_p99
    assert found == pytest.approx(woodruff([session.tolist() for session in sessions]), abs=1e-9)


@pytest.mark.parametrize("step", [1.0, 1 / 57])
def test_interval_of_a_mean_is_statsmodels_with_two_halves_added(step: float) -> None:
    values = np.random.default_rng(0).choice([0.0, 0.0, 0.0, 0.1, -0.05], 300)
    weighted = weightstats.DescrStatsW(np.append(values, [step, -step]), np.append(np.ones(300), [0.5, 0.5]))
    assert paired_mean_interval(values, step) == pytest.approx(weighted.tconfint_mean(), abs=1e-9)
