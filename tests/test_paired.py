"""Statistics of paired decisions: equal to their plain definitions, and intervals that hold what they promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from bctoolkit.paired import drop_interval, mcnemar


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
    assert mcnemar(reference, observed) == pytest.approx(min(1.0, 2 * one_tail))
    assert mcnemar(observed, reference) == pytest.approx(mcnemar(reference, observed))


def test_drop_interval_equals_a_plain_paired_bootstrap() -> None:
    reference, observed = decisions(240, 30, 12, 18)
    difference = reference.astype(int) - observed.astype(int)
    rng = np.random.default_rng(5)
    count = len(difference)
    plain = np.concatenate([difference[rng.integers(count, size=(2_000, count))].mean(1) for _ in range(10)])
    low, high = np.percentile(plain, (2.5, 97.5))
    found = drop_interval(reference, observed)
    assert found == pytest.approx((low, high), abs=1.5 / count)


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


@pytest.mark.parametrize(("count", "loss", "gain"), [(400, 0.06, 0.04), (1000, 0.03, 0.0), (150, 0.1, 0.1)])
def test_drop_interval_holds_the_true_drop_about_as_often_as_it_says(count: int, loss: float, gain: float) -> None:
    rng = np.random.default_rng(7)
    covered = []
    for seed in range(300):
        losses, gains, rest = rng.multinomial(count, [loss, gain, 1 - loss - gain])
        low, high = drop_interval(*decisions(rest, losses, gains, 0), seed=seed)
        covered.append(low <= loss - gain <= high)
    assert 0.90 <= np.mean(covered) <= 0.99
