"""Whether two samples of images differ by more than is of interest, and what is said of few."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bctoolkit.documents import Outcome
from bctoolkit.statistics.site import FEWEST, LIMIT, check_site
from bctoolkit.statistics.two_samples import superiority


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60), st.floats(-3, 3), st.sampled_from([1, 9]))
def test_the_share_of_pairs_is_mann_whitney_s_statistic(
    seed: int, stored: int, new: int, shift: float, digits: int
) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=stored).round(digits), rng.normal(shift, 1, new).round(digits)
    measured = superiority(first, second, 1.96)
    assert measured.share == pytest.approx(stats.mannwhitneyu(second, first).statistic / stored / new)
    assert 0 <= measured.low <= measured.share <= measured.high <= 1
    mirrored = superiority(-first, -second, 1.96)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((measured.low, measured.high))


def test_the_interval_is_newcombe_s_and_does_not_vanish_where_the_samples_are_apart() -> None:
    """Ends solve |A − U/mn| = z · √V(A), V of Hanley & McNeil with the mean of the two numbers."""
    measured = superiority(np.arange(30.0), np.arange(12.0) + 22, 1.96)
    for end in (measured.low, measured.high):
        spread = 1 + (21 - 1) * ((1 - end) / (2 - end) + end / (1 + end))
        assert abs(end - measured.share) == pytest.approx(1.96 * np.sqrt(end * (1 - end) * spread / 360), abs=1e-9)
    apart = superiority(np.zeros(500), np.ones(FEWEST), 3.2905)
    assert (apart.share, apart.high) == (1, 1)
    assert LIMIT < apart.low < 0.95


def test_few_images_are_too_few() -> None:
    stored = np.arange(500.0), np.ones(500)
    check = check_site(stored, (np.arange(FEWEST - 1.0) + 1000, np.ones(FEWEST - 1)))
    assert (check.outcome, check.distance, check.doubt) == (Outcome.UNDECIDED, None, None)


@pytest.mark.parametrize("count", [FEWEST, 100, 2000])
def test_images_of_the_same_kind_raise_no_alarm(count: int) -> None:
    rng = np.random.default_rng(count)
    for _ in range(200):
        stored = rng.exponential(size=512), rng.random(512)
        assert check_site(stored, (rng.exponential(size=count), rng.random(count))).outcome is not Outcome.FAILED


@pytest.mark.parametrize(("distance", "confidence"), [(3.0, 0.0), (0.0, 3.0)])
def test_either_a_foreign_look_or_doubt_is_enough(distance: float, confidence: float) -> None:
    rng = np.random.default_rng(0)
    stored = rng.normal(size=512), rng.normal(size=512)
    check = check_site(stored, (rng.normal(distance, 1, FEWEST), rng.normal(-confidence, 1, FEWEST)))
    assert check.outcome is Outcome.FAILED


def test_a_small_difference_stays_small_however_many_images_show_it() -> None:
    rng = np.random.default_rng(0)
    stored = rng.normal(size=512), rng.normal(size=512)
    check = check_site(stored, (rng.normal(0.3, 1, 100_000), rng.normal(-0.3, 1, 100_000)))
    assert check.distance is not None
    assert check.distance.low > 0.5  # there is one
    assert check.outcome is Outcome.PASSED


def test_between_the_two_it_is_undecided() -> None:
    rng = np.random.default_rng(0)
    stored = rng.normal(size=512), rng.normal(size=512)
    check = check_site(stored, (rng.normal(0.7, 1, 60), rng.normal(size=60)))
    assert check.outcome is Outcome.UNDECIDED
