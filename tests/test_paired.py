"""Statistics of paired decisions: equal to their plain definitions, and intervals that hold what they promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize
from scipy import stats as scipy_stats

from bctoolkit.statistics.paired import (
    PairedChange,
    drop_interval,
    images_needed,
    mcnemar,
    paired_change,
    regressed_classes,
    score_interval,
)


def decisions(both: int, losses: int, gains: int, neither: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Paired right/wrong decisions with these counts; a loss is where only the reference is right."""
    counts = [both, losses, gains, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def test_mcnemar_by_hand() -> None:
    """Ten losses, two gains: 2 × (1 + 12 + 66) / 2¹²."""
    assert mcnemar(*decisions(50, 10, 2, 5)) == pytest.approx(158 / 4096)
    assert mcnemar(*decisions(0, 6, 1, 0)) == pytest.approx(16 / 128)


def test_mcnemar_on_a_published_table() -> None:
    """Agresti, Categorical Data Analysis, table 10.1: 150 against 86 changed their mind; z² = 17.36, p = 3e-5."""
    assert mcnemar(*decisions(794, 150, 86, 570)) == pytest.approx(scipy_stats.chi2.sf(17.36, 1), rel=0.5)


@given(both=st.integers(0, 30), losses=st.integers(0, 40), gains=st.integers(0, 40), neither=st.integers(0, 30))
def test_mcnemar_is_the_exact_binomial_test(both: int, losses: int, gains: int, neither: int) -> None:
    reference, observed = decisions(both, losses, gains, neither)
    count, least = losses + gains, min(losses, gains)
    one_tail = sum(math.comb(count, k) for k in range(least + 1)) / 2**count
    assert mcnemar(reference, observed) == pytest.approx(min(1.0, 2 * one_tail), abs=1e-9)
    assert mcnemar(observed, reference) == pytest.approx(mcnemar(reference, observed))


def likelihood_score(losses: int, gains: int, count: int, drop: float) -> float:
    """The score at `drop`, its nuisance share of gains found by maximizing the trinomial likelihood numerically."""

    def surprise(gain: float) -> float:
        shares = np.array([gain + drop, gain, 1 - 2 * gain - drop])
        return -float(np.sum(np.array([losses, gains, count - losses - gains]) * np.log(np.maximum(shares, 1e-300))))

    bounds = (max(0.0, -drop), (1 - drop) / 2)
    gain = optimize.minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x
    return float((losses - gains - count * drop) / np.sqrt(count * (2 * gain + drop - drop**2)))


@pytest.mark.parametrize("counts", [(30, 12, 300), (5, 4, 200), (4, 1, 400), (1, 7, 50), (60, 80, 200)])
def test_drop_interval_ends_where_the_score_test_refuses(counts: tuple[int, int, int]) -> None:
    """Tango's interval by its definition; its closed form is checked against a numerical likelihood."""
    low, high = score_interval(*counts)
    assert likelihood_score(*counts, low) == pytest.approx(scipy_stats.norm.ppf(0.975), abs=1e-4)
    assert likelihood_score(*counts, high) == pytest.approx(scipy_stats.norm.ppf(0.025), abs=1e-4)


@given(losses=st.integers(0, 40), gains=st.integers(0, 40), rest=st.integers(1, 400))
def test_drop_interval_lies_above_nought_where_mcnemar_s_statistic_refuses(losses: int, gains: int, rest: int) -> None:
    low, high = score_interval(losses, gains, losses + gains + rest)
    statistic = (losses - gains) / math.sqrt(losses + gains) if losses + gains else 0.0
    assert (low > 1e-9) == (statistic > 1.9599639845 + 1e-9)
    assert (high < -1e-9) == (statistic < -1.9599639845 - 1e-9)


@pytest.mark.parametrize("count", [1, 20, 400, 100_000])
def test_drop_interval_without_any_difference_has_a_closed_form(count: int) -> None:
    square = scipy_stats.norm.ppf(0.975) ** 2
    bound = square / (count + square)
    assert score_interval(0, 0, count) == pytest.approx((-bound, bound), abs=1e-9)


def test_a_loss_is_counted_by_hand() -> None:
    found = paired_change(*decisions(70, 10, 4, 16))
    assert (found.count, found.regressed, found.improved, found.drop) == (100, 10, 4, 0.06)
    assert found.ci95 == drop_interval(*decisions(70, 10, 4, 16)) == score_interval(10, 4, 100)


def classes(*counts: tuple[int, int]) -> dict[str, PairedChange]:
    """Classes a, b, c … of 300 images with these losses and gains."""
    return {
        name: PairedChange(300, losses, gains, (losses - gains) / 300, score_interval(losses, gains, 300))
        for name, (losses, gains) in zip("abcdefgh", counts, strict=False)
    }


@pytest.mark.parametrize(
    ("counts", "named"),
    [
        ([(0, 0), (0, 0)], ()),
        ([(3, 0), (0, 0)], ()),
        ([(4, 0), (0, 0)], ("a",)),
        ([(0, 4), (0, 0)], ()),
        ([(4, 0), (1, 1), (0, 3)], ("a",)),  # of the others too few differ to be named at all
        ([(4, 0), (2, 3), (4, 4)], ()),  # one of three may well be so by chance
        ([(9, 0), (2, 3), (4, 4)], ("a",)),
        ([(9, 0), (12, 1), (0, 0)], ("a", "b")),
    ],
)
def test_classes_that_lose_beyond_chance(counts: list[tuple[int, int]], named: tuple[str, ...]) -> None:
    assert regressed_classes(classes(*counts)) == named


def test_no_class_no_loss() -> None:
    assert regressed_classes({}) == ()


def test_images_needed_is_the_least_number_that_decides() -> None:
    assert images_needed(lambda count: count >= 777, 64) == pytest.approx(777, rel=0.011)
    assert images_needed(lambda count: count >= 777, 64) >= 777  # type: ignore[operator]
    assert images_needed(lambda count: False, 64) is None


def test_drop_interval_does_not_depend_on_the_order_of_images() -> None:
    reference, observed = decisions(100, 12, 5, 9)
    order = np.random.default_rng(0).permutation(len(reference))
    assert drop_interval(reference[order], observed[order]) == drop_interval(reference, observed)


def test_drop_interval_changes_sign_with_the_roles() -> None:
    reference, observed = decisions(500, 40, 10, 50)
    low, high = drop_interval(reference, observed)
    assert 0 < low < 0.05 < high
    assert drop_interval(observed, reference) == pytest.approx((-high, -low), abs=2 / 600)


@pytest.mark.parametrize("counts", [(40, 0, 0, 10), (0, 50, 0, 0), (0, 0, 50, 0), (0, 3, 0, 0)])
def test_drop_interval_of_extremes_stays_in_range(counts: tuple[int, int, int, int]) -> None:
    low, high = drop_interval(*decisions(*counts))
    drop = (counts[1] - counts[2]) / sum(counts)
    assert -1 <= low <= drop <= high <= 1


SHARES = [(200, 0.02, 0.01), (400, 0.06, 0.04), (500, 0.006, 0.004), (1000, 0.03, 0.0), (2500, 0.004, 0.001)]


@pytest.mark.parametrize(("count", "loss", "gain"), SHARES)
def test_drop_interval_holds_the_true_drop_as_often_as_it_says(count: int, loss: float, gain: float) -> None:
    """Four thousand sets drawn, each pair of counts judged once: 95 % ± 1.5."""
    draws = np.random.default_rng(7).multinomial(count, [loss, gain, 1 - loss - gain], size=4_000)
    found, times = np.unique(draws[:, :2], axis=0, return_counts=True)
    intervals = [score_interval(losses, gains, count) for losses, gains in found]
    covered = np.average([low <= loss - gain <= high for low, high in intervals], weights=times)
    assert abs(covered - 0.95) <= 0.015
