"""Intervals of shares of independent samples: how often they hold the truth, and what is known by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple

from bctoolkit.statistics.independent import Estimate, difference, mean_share, share

SETS = 2000


def estimates(rng: np.random.Generator, truth: float, count: int) -> list[Estimate]:
    return [share(int(hits), count) for hits in rng.binomial(count, truth, SETS)]


@pytest.mark.parametrize(("truth", "count"), [(0.5, 20), (0.9, 60), (0.97, 300), (0.6, 1800)])
def test_the_interval_of_one_share(truth: float, count: int) -> None:
    held = [each.low <= truth <= each.high for each in estimates(np.random.default_rng(0), truth, count)]
    assert 0.925 <= np.mean(held) <= 0.992


@pytest.mark.parametrize(
    "parts", [[(0.9, 40)] * 5, [(0.95, 300), (0.6, 12), (0.8, 80)], [(0.99, 200)] * 8, [(0.995, 100)] * 5]
)
def test_the_interval_of_a_mean_of_shares(parts: list[tuple[float, int]]) -> None:
    rng = np.random.default_rng(1)
    truth = float(np.mean([part for part, _ in parts]))
    drawn = zip(*(estimates(rng, *part) for part in parts), strict=True)
    held = [each.low <= truth <= each.high for each in map(mean_share, drawn)]
    assert 0.925 <= np.mean(held) <= 0.992


@pytest.mark.parametrize(("old", "new"), [((0.98, 1815), (0.7, 300)), ((0.9, 60), (0.9, 40)), ((0.97, 300), (0.5, 12))])
def test_the_interval_of_a_difference(old: tuple[float, int], new: tuple[float, int]) -> None:
    rng = np.random.default_rng(2)
    pairs = zip(estimates(rng, *new), estimates(rng, *old), strict=True)
    held = [each.low <= new[0] - old[0] <= each.high for each in (difference(*pair) for pair in pairs)]
    assert 0.925 <= np.mean(held) <= 0.992


@given(st.integers(1, 400), st.data())
def test_an_interval_holds_its_value_and_lies_within_bounds(count: int, data: st.DataObject) -> None:
    one, other = (share(data.draw(st.integers(0, count)), count) for _ in range(2))
    assert 0 <= one.low <= one.value <= one.high <= 1
    both = mean_share([one, other])
    assert 0 <= both.low <= both.value <= both.high <= 1
    apart = difference(one, other)
    assert -1 <= apart.low <= apart.value <= apart.high <= 1
    back = difference(other, one)
    assert (back.value, back.low, back.high) == pytest.approx((-apart.value, -apart.high, -apart.low))
    assert astuple(mean_share([one])) == pytest.approx(astuple(one))
