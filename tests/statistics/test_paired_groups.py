"""Paired decisions on images that come in groups: how often the bounds hold, and what they say at the edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bctoolkit.statistics.clustered import design_effect
from bctoolkit.statistics.paired import (
    PairedChange,
    drop_interval,
    mcnemar,
    paired_change,
    paired_mean_interval,
    regressed_classes,
    score_interval,
)

Decisions = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]
"""Of the reference, of the artifact, and the group of each image."""


def drawn(rng: np.random.Generator, lost: float, gained: float, groups: int, size: int, alike: float) -> Decisions:
    """Decisions of which each group has shares of its own (Dirichlet): two of its images correlate by `alike`."""
    rates = np.array([lost, gained, 1 - lost - gained])
    own = np.tile(rates, (groups, 1)) if alike == 0 else rng.dirichlet(rates * (1 - alike) / alike, groups)
    sizes = rng.integers(max(size // 2, 1), size * 3 // 2 + 1, groups)
    member = np.repeat(np.arange(groups), sizes)
    drawn = (rng.random((len(member), 1)) > own[member].cumsum(1)[:, :2]).sum(1)  # 0 lost, 1 gained, 2 alike
    return drawn != 1, drawn != 0, member


@pytest.mark.parametrize("groups", [10, 30, 100])
@pytest.mark.parametrize("alike", [0.0, 0.1, 0.5])
def test_a_one_sided_bound_holds_the_truth_as_often_as_it_says(groups: int, alike: float) -> None:
    rng, lost, gained, times = np.random.default_rng(groups), 0.03, 0.01, 200
    held = naive = 0
    for _ in range(times):
        before, after, member = drawn(rng, lost, gained, groups, 20, alike)
        low, high = drop_interval(before, after, member)
        held += (lost - gained <= high) + (low <= lost - gained)
        low, high = drop_interval(before, after)
        naive += (lost - gained <= high) + (low <= lost - gained)
    assert held / (2 * times) >= 0.96  # of 97.5 %, two and a half standard errors of 400 trials below
    assert alike < 0.5 or naive / (2 * times) < 0.92


decided = st.lists(st.sampled_from([(True, True), (True, False), (False, True), (False, False)]), min_size=1)


@given(decided, st.randoms(use_true_random=False))
def test_images_that_are_their_own_groups_are_as_images_without_groups(
    pairs: list[tuple[bool, bool]], random: object
) -> None:
    before, after = np.array(pairs).T
    names = np.array([f"patient {each}" for each in range(len(pairs))], object)
    random.shuffle(names)  # type: ignore[attr-defined]
    assert paired_change(before, after, names) == paired_change(before, after)
    assert mcnemar(before, after, names) == mcnemar(before, after)
    values = before.astype(np.float64) - after
    assert paired_mean_interval(values, 1.0, names) == paired_mean_interval(values, 1.0)


@given(decided, st.integers(1, 12), st.integers(0, 99))
def test_the_order_of_images_and_the_names_of_groups_do_not_matter(
    pairs: list[tuple[bool, bool]], groups: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    before, after = np.array(pairs).T
    member = rng.integers(0, groups, len(pairs))
    change, order = paired_change(before, after, member), rng.permutation(len(pairs))
    renamed = rng.permutation(groups)[member].astype(str).astype(object)
    assert paired_change(before[order], after[order], renamed[order]) == change
    assert mcnemar(before[order], after[order], renamed[order]) == mcnemar(before, after, member)
    assert change.design_effect >= 1
    low, high = change.ci95
    assert -1 <= low <= change.drop <= high <= 1 or change.drop == pytest.approx((low, high)[change.drop > 0])


def test_a_group_of_equal_images_counts_about_as_one() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.random(400) < 0.9, rng.random(400) < 0.85
    repeated = paired_change(before.repeat(10), after.repeat(10), np.arange(400).repeat(10))
    assert repeated.design_effect == pytest.approx(10, rel=0.05)
    assert repeated.ci95 == pytest.approx(drop_interval(before, after), abs=0.004)


@pytest.mark.parametrize("lost", [0, 1, 30])
def test_where_fewer_than_two_groups_differ_each_group_counts_as_one_image_at_most(lost: int) -> None:
    member, before = np.arange(40).repeat(25), np.ones(1000, np.bool_)
    change = paired_change(before, np.arange(1000) >= lost, member)
    assert change.design_effect >= 25
    assert change.ci95[1] >= score_interval(lost / 25, 0, 40)[1]


def test_one_group_alone_says_nothing() -> None:
    before, after = np.ones(50, np.bool_), np.arange(50) > 3
    assert drop_interval(before, after, np.zeros(50)) == (-1.0, 1.0)
    assert design_effect(np.ones(50), np.zeros(50)) == 50


def test_a_class_that_one_patient_s_images_lose_has_not_regressed_beyond_chance() -> None:
    before, after, patient = np.ones(600, np.bool_), np.arange(600) >= 12, np.arange(600) // 30
    changes = {"alone": paired_change(before, after), "in groups": paired_change(before, after, patient)}
    assert regressed_classes({"alone": changes["alone"]}) == ("alone",)
    assert regressed_classes({"in groups": changes["in groups"]}) == ()
    assert mcnemar(before, after) < 0.001 < mcnemar(before, after, patient) == 1


def test_twice_the_images_in_groups_like_these_narrow_the_interval_as_twice_the_independent_ones() -> None:
    change = PairedChange(1000, 40, 20, 0.02, (0.0, 0.0), design_effect=4.0)
    assert change.interval(1000) == score_interval(10, 5, 250)
    assert change.interval(2000) == score_interval(20, 10, 500)


def test_a_mean_over_groups_holds_the_truth_where_that_of_images_does_not() -> None:
    rng, held, naive = np.random.default_rng(0), 0, 0
    for _ in range(200):
        before, after, member = drawn(rng, 0.05, 0.02, 30, 10, 0.5)
        values = before.astype(np.float64) - after
        held += paired_mean_interval(values, 1.0, member)[1] >= 0.03
        naive += paired_mean_interval(values, 1.0)[1] >= 0.03
    assert naive < 170 < 190 <= held
