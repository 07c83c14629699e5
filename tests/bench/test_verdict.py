"""Budgets: each limit against an interval; what was not measured or is unstable is never decided."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from bctoolkit.bench.analysis.verdict import check_budget
from bctoolkit.bench.documents.judgements import Check, Labelled, ParityReport, Robustness
from bctoolkit.bench.documents.measurements import Latency, Ratio, Relative, Session, TimingWarning
from bctoolkit.bench.documents.report import Result
from bctoolkit.documents import Outcome
from bctoolkit.recipes import Budget
from bctoolkit.statistics.metrics import Parity
from bctoolkit.statistics.paired import PairedChange

INTERVALS = {
    "max_p50_ms": (12.25, 12.5),
    "max_p99_ms": (14.75, 15.75),
    "max_end_to_end_p50_ms": (13.75, 14.25),
    "max_load_ms": (78.0, 90.0),
    "max_first_ms": (20.0, 24.0),
    "max_cold_start_ms": (98.0, 114.0),
    "max_latency_ratio": (0.52, 0.61),
    "max_size_mb": (13.579246, 13.579246),
    "max_peak_rss_mb": (205.0, 215.0),
    "max_abs_diff": (3.2e-6, 3.2e-6),
    "min_top1_agreement": (0.9677, 0.9945),
    "min_accuracy": (0.9163, 0.9792),
    "max_accuracy_drop": (-0.0288, 0.0400),
    "max_worst_recall_drop": (0.0112, 0.1118),
    "max_corruption_excess": (0.004, 0.016),
}
"""What the made-up result holds for each limit, to four digits."""

EXACT = ("max_size_mb", "max_abs_diff")
NEEDS_LABELS = ("min_accuracy", "max_accuracy_drop", "max_worst_recall_drop", "max_corruption_excess")
NEEDS_REFERENCE = ("max_accuracy_drop", "max_worst_recall_drop")
LATENCY = ("max_p50_ms", "max_p99_ms")


def sessions(**figures: tuple[float, float]) -> tuple[Session, ...]:
    """Three sessions whose Student intervals are those of `INTERVALS`."""
    reach = 4.302652729911275 / np.sqrt(3)  # Student's 97.5 % point with two degrees of freedom
    spread = {name: np.log(high / low) / 2 / reach for name, (low, high) in figures.items()}
    made = []
    for step in (-1, 0, 1):
        values = {
            name: float(np.sqrt(low * high) * np.exp(step * spread[name])) for name, (low, high) in figures.items()
        }
        made.append(
            Session(p50_ms=12.0, end_to_end_p50_ms=14.0, steady_rss_bytes=1, **values)  # type: ignore[arg-type]
        )
    return tuple(made)


@pytest.fixture
def measured(
    make_result: Callable[..., Result],
    make_labelled: Callable[..., Labelled],
    make_latency: Callable[..., Latency],
    make_parity: Callable[..., ParityReport],
    make_change: Callable[[int, int, int], PairedChange],
) -> Result:
    by_class = {"left": make_change(5, 0, 100), "right": make_change(0, 4, 100)}
    robustness = Robustness(suite=1, count=400, baseline="cells-onnx-fp32", clean_accuracy=0.96, accuracy=0.9,
                            drop=0.01, clean_drop=0.0, relative_corruption_drop=0.01,
                            relative_corruption_drop_ci95=(0.004, 0.016), corruptions={})  # fmt: skip
    labelled = make_labelled(class_changes=by_class, change=make_change(5, 4, 200), robustness=robustness)
    ratio = Ratio(0.56, (0.52, 0.61))
    return make_result(
        quantization="int8-dynamic",
        relative=Relative(
            baseline="cells-onnx-fp32", latency=ratio, end_to_end=ratio, cold_start=ratio, peak_rss=ratio, size=ratio
        ),
        latency_ms=make_latency(ci95_p99=(14.75, 15.75)),
        parity=make_parity(Parity(50, 0.98, 3.2e-6, 2.1e-7), labelled),
        sessions=sessions(load_ms=(78.0, 90.0), first_ms=(20.0, 24.0), peak_rss_bytes=(205e6, 215e6)),
    )


def only_check(result: Result, **limits: Any) -> Check:
    verdict = check_budget(result, Budget(device="test", **limits))
    assert len(verdict.checks) == 1
    assert verdict.outcome is verdict.checks[0].outcome
    assert verdict.passed is verdict.checks[0].passed is (verdict.outcome is Outcome.PASSED)
    return verdict.checks[0]


def test_every_limit_a_budget_can_set_is_tested_here() -> None:
    assert set(INTERVALS) == set(Budget.__struct_fields__) - {"device", "why"}


@pytest.mark.parametrize("name", INTERVALS)
def test_the_interval_is_told_with_its_unfavourable_end(measured: Result, name: str) -> None:
    check = only_check(measured, **{name: 0.5})
    assert check.interval == pytest.approx(INTERVALS[name], rel=0.02, abs=1e-4)
    assert check.interval is not None
    assert check.observed == check.interval[1 if name.startswith("max") else 0]


@pytest.mark.parametrize("name", INTERVALS)
def test_a_limit_beyond_the_whole_interval_holds(measured: Result, name: str) -> None:
    low, high = INTERVALS[name]
    limit = high * 1.03 if name.startswith("max") else low * 0.97
    assert only_check(measured, **{name: limit}).outcome is Outcome.PASSED


@pytest.mark.parametrize("name", INTERVALS)
def test_a_limit_before_the_whole_interval_fails(measured: Result, name: str) -> None:
    """No drop can be shown to exceed the least limit of nought where artifact and reference differ by chance."""
    low, high = INTERVALS[name]
    limit = max(low * 0.97, 0.0) if name.startswith("max") else high * 1.005
    expected = Outcome.UNDECIDED if name == "max_accuracy_drop" else Outcome.FAILED
    assert only_check(measured, **{name: limit}).outcome is expected


@pytest.mark.parametrize("name", [name for name in INTERVALS if name not in EXACT])
def test_a_limit_inside_the_interval_is_undecided(measured: Result, name: str) -> None:
    low, high = INTERVALS[name]
    check = only_check(measured, **{name: (max(low, 0) + high) / 2})
    assert check.outcome is Outcome.UNDECIDED
    assert not check.passed
    assert check.note


@pytest.mark.parametrize("name", EXACT)
def test_what_has_no_error_of_measurement_is_always_decided(measured: Result, name: str) -> None:
    limit = INTERVALS[name][0]
    assert only_check(measured, **{name: limit}).outcome is Outcome.PASSED
    assert only_check(measured, **{name: limit * 0.999}).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "name",
    ["min_top1_agreement", "min_accuracy", "max_accuracy_drop", "max_worst_recall_drop", "max_corruption_excess"],
)
def test_undecided_images_say_how_many_would_decide(measured: Result, name: str) -> None:
    """With so many images at the same rates the check is decided, with a tenth fewer it is not."""
    low, high = INTERVALS[name]
    limit = max(low, 0.0) + (high - max(low, 0.0)) / 4
    check = only_check(measured, **{name: limit})
    assert check.outcome is Outcome.UNDECIDED
    assert check.images_needed is not None
    assert f"about {check.images_needed:,} would" in check.note
    assert check.images_needed > 100


def test_sixty_four_golden_images_cannot_say_two_percent(
    make_result: Callable[..., Result], make_parity: Callable[..., ParityReport]
) -> None:
    """All agree, yet as many as 5.6 % could differ; 183 images that all agree would do."""
    result = make_result(parity=make_parity(Parity(64, 1.0, 0.0, 0.0)))
    check = only_check(result, min_top1_agreement=0.98)
    assert check.outcome is Outcome.UNDECIDED
    assert check.images_needed == pytest.approx(183, abs=2)


def test_a_class_that_is_shown_to_lose_is_named(measured: Result) -> None:
    check = only_check(measured, max_worst_recall_drop=0.01)
    assert check.outcome is Outcome.FAILED
    assert "class left" in check.note


def test_a_class_with_few_images_is_not_passed_for_want_of_them(
    make_result: Callable[..., Result],
    make_labelled: Callable[..., Labelled],
    make_parity: Callable[..., ParityReport],
    make_change: Callable[[int, int, int], PairedChange],
) -> None:
    few = {"many": make_change(0, 0, 500), "few": make_change(0, 0, 20)}
    labelled = make_labelled(class_changes=few)
    check = only_check(make_result(parity=make_parity(Parity(50, 1.0, 0.0, 0.0), labelled)), max_worst_recall_drop=0.02)
    assert check.outcome is Outcome.UNDECIDED
    assert check.note.startswith("class few")
    assert check.images_needed == pytest.approx(189, abs=3)


def test_a_budget_without_limits_passes(measured: Result) -> None:
    verdict = check_budget(measured, Budget(device="test"))
    assert verdict.passed
    assert verdict.checks == ()


def test_one_failing_limit_fails_the_verdict_and_all_are_reported(measured: Result) -> None:
    limits: dict[str, Any] = {
        name: high * 2 if name.startswith("max") else low / 2 for name, (low, high) in INTERVALS.items()
    }
    assert check_budget(measured, Budget(device="test", **limits)).passed
    undecided = check_budget(measured, Budget(device="test", **limits | {"max_p50_ms": 12.4}))
    assert (undecided.passed, undecided.outcome) == (False, Outcome.UNDECIDED)
    verdict = check_budget(measured, Budget(device="test", **limits | {"max_p50_ms": 12.4, "max_size_mb": 1.0}))
    assert (verdict.passed, verdict.outcome) == (False, Outcome.FAILED)
    assert {check.name for check in verdict.checks} == set(INTERVALS)
    assert [check.name for check in verdict.checks if not check.passed] == ["max_p50_ms", "max_size_mb"]


@pytest.mark.parametrize("name", NEEDS_LABELS)
def test_without_labelled_images_it_is_undecided_with_a_remedy(
    make_result: Callable[..., Result], name: str, make_parity: Callable[..., ParityReport]
) -> None:
    result = make_result(parity=make_parity(Parity(50, 1.0, 0.0, 0.0)))
    check = only_check(result, **{name: 0.5})
    assert (check.observed, check.interval, check.outcome) == (None, None, Outcome.UNDECIDED)
    assert "--data" in check.note


@pytest.mark.parametrize("name", NEEDS_REFERENCE)
def test_without_reference_answers_it_is_undecided_with_a_remedy(
    make_result: Callable[..., Result],
    make_labelled: Callable[..., Labelled],
    name: str,
    make_parity: Callable[..., ParityReport],
    make_alone: Callable[..., Labelled],
) -> None:
    result = make_result(parity=make_parity(Parity(50, 1.0, 0.0, 0.0), make_alone()))
    check = only_check(result, **{name: 0.5})
    assert (check.observed, check.interval, check.outcome) == (None, None, Outcome.UNDECIDED)
    assert "reference.npz" in check.note


def test_too_few_samples_for_p99_are_undecided_with_a_note(
    make_result: Callable[..., Result], make_latency: Callable[..., Latency]
) -> None:
    check = only_check(make_result(latency_ms=make_latency(p99=None, ci95_p99=None)), max_p99_ms=1000.0)
    assert (check.observed, check.interval, check.outcome) == (None, None, Outcome.UNDECIDED)
    assert "1,000 samples" in check.note


@pytest.mark.parametrize("name", LATENCY)
@pytest.mark.parametrize("limit", [1.0, 1000.0])
def test_unstable_latency_is_undecided_with_advice_however_fast(
    make_result: Callable[..., Result], make_latency: Callable[..., Latency], name: str, limit: float
) -> None:
    latency = make_latency(spread=0.2, warnings=(TimingWarning.SPREAD, TimingWarning.LOAD))
    check = only_check(make_result(latency_ms=latency), **{name: limit})
    assert check.outcome is Outcome.UNDECIDED
    assert check.observed is not None
    assert "quieter machine" in check.note
    assert "other programs" in check.note


@pytest.mark.parametrize("name", [name for name in INTERVALS if name not in LATENCY])
def test_unstable_latency_spoils_no_other_limit(
    measured: Result, make_latency: Callable[..., Latency], name: str
) -> None:
    unstable = msgspec.structs.replace(measured, latency_ms=make_latency(spread=0.2, warnings=(TimingWarning.SPREAD,)))
    low, high = INTERVALS[name]
    assert only_check(unstable, **{name: high * 1.03 if name.startswith("max") else low * 0.97}).passed


def test_what_is_not_a_number_does_not_pass(
    make_result: Callable[..., Result], make_parity: Callable[..., ParityReport]
) -> None:
    nan = float("nan")
    result = make_result(parity=make_parity(Parity(50, 1.0, nan, nan)))
    assert not only_check(result, max_abs_diff=1.0).passed


def test_every_reason_to_distrust_a_latency_comes_with_advice() -> None:
    assert all(len(reason.advice) > 20 for reason in TimingWarning)


def test_the_float_form_cannot_lose_against_itself(measured: Result) -> None:
    """It stands alone, and a limit on what others lose against it must not leave it undecided."""
    check = only_check(msgspec.structs.replace(measured, quantization="fp32"), max_corruption_excess=0.001)
    assert (check.outcome, check.interval) == (Outcome.PASSED, (0.0, 0.0))
    assert "the float form itself" in check.note


def test_limits_of_images_in_groups_say_over_how_many_they_are(
    make_result: Callable[..., Result],
    make_labelled: Callable[..., Labelled],
    make_parity: Callable[..., ParityReport],
    make_change: Callable[[int, int, int], PairedChange],
) -> None:
    change = msgspec.structs.replace(make_change(5, 4, 200), design_effect=4.0)
    change = msgspec.structs.replace(change, ci95=change.interval(200))
    labelled = make_labelled(change=change, class_changes={"left": change}, groups=12, accuracy_ci95=(0.9, 0.99))
    result = make_result(parity=make_parity(labelled=labelled))
    notes = {
        "max_accuracy_drop": "over 12 groups; 200 images cannot say, about ",
        "max_worst_recall_drop": "class left, over 12 groups; 200 images cannot say, about ",
        "min_top1_agreement": "on the labelled images, over 12 groups; 200 images cannot say, about ",
        "min_accuracy": "over 12 groups; 200 images cannot say, about ",
    }
    for name, note in notes.items():
        check = only_check(result, **{name: 0.02 if name.startswith("max") else 0.96})
        assert check.outcome is Outcome.UNDECIDED
        assert check.note.startswith(note)
    assert only_check(result, max_accuracy_drop=0.02).interval == change.ci95
    alone = msgspec.structs.replace(change, design_effect=1.0)
    other = make_result(parity=make_parity(labelled=make_labelled(change=alone)))
    needed = [only_check(each, max_accuracy_drop=0.02).images_needed for each in (result, other)]
    assert None not in needed
    assert needed[0] == pytest.approx(4 * (needed[1] or 0), rel=0.03)
    assert only_check(result, min_accuracy=0.96).interval == (0.9, 0.99)
