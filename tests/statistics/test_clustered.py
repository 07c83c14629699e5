"""The interval of a share over groups: how often it holds the truth, and what it says at the edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bctoolkit.statistics.clustered import clustered_interval
from bctoolkit.statistics.metrics import accuracy_interval, exact_interval, share_interval


def drawn(
    rng: np.random.Generator, share: float, groups: int, size: int, alike: float
) -> tuple[NDArray[np.bool_], NDArray[np.object_]]:
    """Images of which each group has a share of its own (beta), so that two of a group correlate by `alike`."""
    strength = (1 - alike) / alike
    own = rng.beta(share * strength, (1 - share) * strength, groups)
    sizes = rng.integers(max(size // 2, 1), size * 3 // 2 + 1, groups)
    right = rng.random(int(sizes.sum())) < np.repeat(own, sizes)
    return right, np.repeat(np.arange(groups).astype(str).astype(object), sizes)


@pytest.mark.parametrize(
    ("share", "groups", "size", "alike"),
    [(0.9, 20, 30, 0.1), (0.95, 40, 20, 0.05), (0.8, 12, 50, 0.2), (0.97, 60, 40, 0.02), (0.9, 100, 5, 0.3)],
)
def test_it_holds_the_truth_as_often_as_it_says(share: float, groups: int, size: int, alike: float) -> None:
    rng = np.random.default_rng(groups)
    naive = held = 0
    for _ in range(600):
        right, names = drawn(rng, share, groups, size, alike)
        low, high = clustered_interval(right, names)
        held += low <= share <= high
        low, high = exact_interval(int(right.sum()), len(right))
        naive += low <= share <= high
    assert 0.925 <= held / 600 <= 0.995
    assert naive < held


@given(st.lists(st.booleans(), min_size=20, max_size=200), st.integers(2, 10))
def test_it_holds_the_share_itself_and_lies_within_0_and_1(answers: list[bool], groups: int) -> None:
    right = np.array(answers)
    names = np.array([f"g{i % groups}" for i in range(len(right))], object)
    low, high = clustered_interval(right, names)
    assert 0 <= low <= right.mean() <= high <= 1
    order = np.random.default_rng(0).permutation(len(right))
    assert clustered_interval(right[order], names[order]) == pytest.approx((low, high), abs=1e-9)


def test_where_all_are_right_each_group_counts_as_one() -> None:
    names = np.repeat(np.array(["a", "b", "c", "d"], object), 50)
    assert clustered_interval(np.ones(200, bool), names) == pytest.approx(exact_interval(4, 4))


def test_one_group_alone_says_nothing() -> None:
    assert clustered_interval(np.array([True, False]), np.array(["a", "a"], object)) == (0.0, 1.0)


def test_images_that_are_their_own_groups_give_about_the_exact_interval() -> None:
    right = np.random.default_rng(0).random(400) < 0.9
    names = np.arange(400).astype(str).astype(object)
    assert clustered_interval(right, names) == pytest.approx(exact_interval(int(right.sum()), 400), abs=0.004)


def test_an_accuracy_has_the_interval_of_its_images_or_of_their_groups() -> None:
    labels, names = np.arange(60) % 3, np.repeat(np.array(["a", "b", "c"], object), 20)
    probabilities = np.eye(3, dtype=np.float32)[np.where(np.arange(60) % 7 == 0, 0, labels)]
    right = probabilities.argmax(1) == labels
    assert accuracy_interval(labels, probabilities) == share_interval(right) == exact_interval(int(right.sum()), 60)
    assert accuracy_interval(labels, probabilities, names) == share_interval(right, names)
    assert share_interval(right, names) == clustered_interval(right, names)
