"""The histogram behind calibrated ranges: what it holds depends on the values alone, and is bounded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bctoolkit.export.calibration.histogram import BINS, Histogram

Values = NDArray[np.float32]
finite = st.one_of([st.floats(-(2.0**e), 2.0**e, width=32) for e in (-100, 2, 100)])
values = hnp.arrays(np.float32, st.integers(1, 60), elements=finite)


def histogram(*batches: Values) -> Histogram:
    filled = Histogram()
    for batch in batches:
        filled.add(batch)
    return filled


def state(filled: Histogram) -> tuple[float, int, list[int]]:
    width, zero, counts = filled.around_zero()
    return width, zero, counts.tolist()


@given(batch=values)
def test_every_value_is_counted_in_its_bin(batch: Values) -> None:
    width, zero, counts = histogram(batch).around_zero()
    assert counts.size <= BINS
    expected = np.zeros(counts.size, np.int64)
    np.add.at(expected, np.floor(batch / np.float64(width)).astype(int) + zero, 1)
    np.testing.assert_array_equal(counts, expected)


@given(batch=values, cuts=st.lists(st.integers(1, 59), max_size=3), seed=st.integers(0, 9))
def test_order_and_batches_do_not_matter(batch: Values, cuts: list[int], seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(batch)
    batches = [part for part in np.split(shuffled, sorted(cuts)) if part.size]
    assert state(histogram(*batches)) == state(histogram(batch))


@given(batch=values, share=st.floats(0, 1))
def test_a_quantile_is_numpys_to_within_one_bin(batch: Values, share: float) -> None:
    filled = histogram(batch)
    exact = float(np.quantile(batch.astype(np.float64), share))
    assert abs(filled.quantile(share) - exact) <= filled.width * (1 + 1e-9)
    assert filled.low <= filled.quantile(share) <= filled.high


@pytest.mark.parametrize("spread", [1e-6, 1.0, 1e30])
def test_the_bins_are_fine_enough_for_int8(spread: float) -> None:
    sample = (np.random.default_rng(0).normal(size=1000) * spread).astype(np.float32)
    filled = histogram(sample)
    assert (filled.high - filled.low) / filled.width > BINS / 2 - 2


def test_a_range_that_grows_merges_bins_and_loses_no_count() -> None:
    filled = histogram(np.linspace(0, 1, 1000, dtype=np.float32))
    fine = filled.width
    filled.add(np.array([-700.0], np.float32))
    assert filled.width > 500 * fine
    assert filled.around_zero()[2].sum() == 1001
