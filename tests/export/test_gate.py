"""The gate: what passes, what fails, and what too few images cannot decide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bctoolkit.documents.quantization import Gate, GateResult
from bctoolkit.export.checks.gate import check_gate, fewest
from bctoolkit.statistics.paired import drop_interval

GATE = Gate()
Counts = tuple[int, int, int, int]
"""Of one class: images that both decide rightly, only the reference, only the artifact, neither."""


def one_hot(decided: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    return np.eye(classes, dtype=np.float32)[decided]


def judged(*counts: Counts, gate: Gate = GATE, seed: int | None = None) -> GateResult:
    """Judge an artifact that decides the images of each class as counted."""
    labels, reference, observed = [], [], []
    for index, group in enumerate(counts):
        right, wrong = index, (index + 1) % len(counts)
        labels += [index] * sum(group)
        reference += np.repeat([right, right, wrong, wrong], group).tolist()
        observed += np.repeat([right, wrong, right, wrong], group).tolist()
    order = np.arange(len(labels)) if seed is None else np.random.default_rng(seed).permutation(len(labels))
    names = tuple("abcdefgh"[: len(counts)])
    before, after = (one_hot(np.array(decided)[order], len(counts)) for decided in (reference, observed))
    return check_gate(np.array(labels)[order], before, after, names, gate)


def test_an_artifact_that_decides_all_alike_passes() -> None:
    result = judged((900, 0, 0, 30), (600, 0, 0, 10))
    assert (result.outcome, result.reasons, result.accuracy_drop) == ("passed", (), 0.0)
    assert result.recall_drop == {"a": 0.0, "b": 0.0}
    assert result.count == 1540
    assert result.accuracy == pytest.approx(1500 / 1540)


@pytest.mark.parametrize("limit", [0.001, 0.005, 0.02, 0.5])
def test_the_fewest_images_are_those_at_which_the_interval_first_fits(limit: float) -> None:
    for count, fits in ((fewest(limit), True), (fewest(limit) - 1, False)):
        alike = np.ones(count, np.bool_)
        assert (drop_interval(alike, alike)[1] <= limit) == fits


def test_the_boundary_of_too_few_images() -> None:
    needed = fewest(GATE.max_accuracy_drop)
    assert judged((needed - 10, 0, 0, 0), (10, 0, 0, 0)).outcome == "passed"
    few = judged((needed - 11, 0, 0, 0), (10, 0, 0, 0))
    assert few.outcome == "undecided"
    assert few.reasons == (
        f"{needed - 1} labelled validation images are too few to show that accuracy drops by at most 0.50%; "
        f"that takes {needed} or more",
    )


def test_few_images_still_show_a_great_loss() -> None:
    result = judged((80, 20, 0, 0), (100, 0, 0, 0))
    assert result.outcome == "failed"
    assert "accuracy drop is at least" in result.reasons[0]
    assert "class 'a': recall drop 20.00% on 100 images; limit 2.00%" in result.reasons[1]


def test_an_upper_end_above_the_limit_fails_though_the_drop_is_below() -> None:
    result = judged((990, 10, 6, 0), (1000, 0, 0, 0))
    assert result.accuracy_drop < GATE.max_accuracy_drop < result.accuracy_drop_ci95[1]
    assert result.outcome == "failed"
    assert "(upper 95 % bound); limit 0.50%" in result.reasons[0]


def test_a_limit_is_kept_when_it_is_met_exactly() -> None:
    limit = judged((990, 10, 6, 0), (1000, 0, 0, 0)).accuracy_drop_ci95[1]
    assert judged((990, 10, 6, 0), (1000, 0, 0, 0), gate=Gate(max_accuracy_drop=limit)).outcome == "passed"
    recall = Gate(max_accuracy_drop=0.5, max_recall_drop=0.04)
    assert judged((240, 10, 0, 0), (250, 0, 0, 0), gate=recall).outcome == "passed"
    assert judged((239, 11, 0, 0), (250, 0, 0, 0), gate=recall).outcome == "failed"


@pytest.mark.parametrize(("lost", "outcome"), [(0, "passed"), (1, "passed"), (3, "passed"), (4, "failed")])
def test_a_small_class_may_lose_three_images_by_chance(lost: int, outcome: str) -> None:
    result = judged((30 - lost, lost, 0, 0), (5000, 0, 0, 0))
    assert result.outcome == outcome
    assert result.worst_class == "a"
    assert result.worst_recall_drop == pytest.approx(lost / 30)
    assert any("not significant" in reason for reason in result.reasons) == (0 < lost < 4)


def test_gains_of_a_class_are_set_against_its_losses() -> None:
    assert judged((80, 10, 10, 0), (5000, 0, 0, 0)).worst_recall_drop == 0
    assert judged((80, 10, 4, 6), (5000, 0, 0, 0)).outcome == "passed"
    assert judged((80, 10, 0, 10), (5000, 0, 0, 0)).outcome == "failed"


def test_a_class_without_images_says_nothing() -> None:
    result = judged((1000, 0, 0, 0), (0, 0, 0, 0))
    assert result.recall_drop == {"a": 0.0, "b": None}
    assert result.outcome == "passed"


def test_an_artifact_that_is_better_passes() -> None:
    result = judged((900, 0, 60, 40), (1000, 0, 0, 0))
    assert result.outcome == "passed"
    assert result.accuracy_drop < 0
    assert result.worst_recall_drop == 0


groups = st.lists(st.tuples(*[st.integers(0, 400)] * 2, st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=4)


@given(counts=groups.filter(lambda classes: any(map(sum, classes))), seed=st.integers(0, 3))
def test_a_judgement_does_not_depend_on_the_order_of_images_and_is_consistent(counts: list[Counts], seed: int) -> None:
    result = judged(*counts)
    assert judged(*counts, seed=seed) == result
    low, high = result.accuracy_drop_ci95
    assert low <= result.accuracy_drop <= high or result.accuracy_drop == 0
    assert result.worst_recall_drop == max(drop for drop in result.recall_drop.values() if drop is not None)
    if result.outcome == "passed":
        assert high <= GATE.max_accuracy_drop
    if result.outcome == "undecided":
        assert result.count < fewest(GATE.max_accuracy_drop)
    if result.outcome != "passed":
        assert result.reasons


@given(counts=groups.filter(lambda classes: all(group[0] for group in classes)), more=st.integers(1, 50))
def test_losing_more_never_helps(counts: list[Counts], more: int) -> None:
    both, losses, gains, neither = counts[0]
    worse = (both - min(both, more), losses + min(both, more), gains, neither)
    assert judged(worse, *counts[1:]).outcome.severity >= judged(*counts).outcome.severity


@pytest.mark.parametrize("classes", [("a",), ("a", "b", "c")])
def test_shapes_that_do_not_belong_together_are_refused(classes: tuple[str, ...]) -> None:
    answers = np.ones((4, 2), np.float32)
    with pytest.raises(ValueError, match="4 labels"):
        check_gate(np.zeros(4, np.int64), answers, answers, classes, GATE)
    with pytest.raises(ValueError, match="0 labels"):
        check_gate(np.zeros(0, np.int64), answers[:0], answers[:0], ("a", "b"), GATE)


def paired(lost: int, size: int = 50, groups: int = 20, *, spread: bool = False) -> GateResult:
    """Judge an artifact that loses some images, of as few groups as may be or one of each in turn."""
    count = size * groups
    labels, patients = np.zeros(count, np.int64), np.array([f"patient {i // size}" for i in range(count)], object)
    after = labels.copy()
    after[np.arange(lost) * size if spread else np.arange(lost)] = 1
    return check_gate(labels, one_hot(labels, 2), one_hot(after, 2), ("a", "b"), GATE, patients)


def test_images_of_one_patient_do_not_count_as_independent_ones() -> None:
    apart, together = paired(4, size=200, spread=True), paired(4, size=200)
    assert (apart.outcome, apart.groups) == ("passed", 20)
    assert apart.accuracy_drop == together.accuracy_drop
    assert (together.outcome, together.groups) == ("undecided", 20)
    assert together.reasons == (
        "4000 labelled validation images are too few to show that accuracy drops by at most 0.50%: over 20 groups they "
        "say as much as 20 independent ones; that takes 765 or more",
    )


def test_what_is_lost_of_one_patient_fails_where_it_is_more_than_the_limit() -> None:
    assert paired(19, size=200).outcome == "undecided"
    result = paired(21, size=200)
    assert result.outcome == "failed"
    assert "could be up to 16.98%" in result.reasons[0]


def test_a_failure_says_over_how_many_groups_its_bound_is() -> None:
    result = paired(20, size=100, spread=True)
    assert result.outcome == "failed"
    assert "(upper 95 % bound, over 20 groups); limit 0.50%" in result.reasons[0]


def test_a_class_that_one_patient_s_images_lose_has_not_failed() -> None:
    labels, observed = np.repeat([0, 1], [300, 9000]), np.repeat([1, 0, 1], [12, 288, 9000])
    answers = labels, one_hot(labels, 2), one_hot(observed, 2), ("a", "b"), GATE
    assert "class 'a': recall drop 4.00%" in check_gate(*answers).reasons[0]
    grouped = check_gate(*answers, np.arange(9300) // 30)
    assert grouped.outcome == "undecided"
    assert grouped.reasons[1].endswith("not significant with this few images")


@given(counts=groups.filter(lambda classes: any(map(sum, classes))))
def test_images_that_are_their_own_groups_are_judged_as_without_groups(counts: list[Counts]) -> None:
    sizes = [sum(group) for group in counts]
    labels = np.repeat(np.arange(len(counts)), sizes)
    names, rng = tuple("abcdefgh"[: len(counts)]), np.random.default_rng(0)
    before, after = (one_hot(rng.integers(0, len(counts), len(labels)), len(counts)) for _ in range(2))
    alone = check_gate(labels, before, after, names, GATE)
    own = check_gate(labels, before, after, names, GATE, rng.permutation(len(labels)))
    assert (own.outcome, own.accuracy_drop_ci95) == (alone.outcome, alone.accuracy_drop_ci95)
