"""Budgets: each limit at, within and beyond it; what was not measured or is unstable never passes."""

from collections.abc import Callable

import msgspec
import pytest

from bctoolkit.bench.report import Check, Labelled, Latency, ParityReport, Result
from bctoolkit.bench.verdict import judge
from bctoolkit.metrics import Parity
from bctoolkit.recipes import Budget

OBSERVED = {
    "max_p50_ms": 12.5,
    "max_p99_ms": 15.25,
    "max_load_ms": 84.2,
    "max_first_ms": 21.75,
    "max_size_mb": 13.579246,
    "max_peak_rss_mb": 210.0,
    "max_abs_diff": 3.2e-6,
    "min_top1_agreement": 0.98,
    "min_accuracy": 0.9163,
    "max_accuracy_drop": 0.02,
    "max_recall_drop": 0.03,
}
"""What the made-up result holds for each limit. Latency, drop and accuracy count with the bad end of their interval."""

NEEDS_LABELS = ("min_accuracy", "max_accuracy_drop", "max_recall_drop")
NEEDS_REFERENCE = ("max_accuracy_drop", "max_recall_drop")


@pytest.fixture
def measured(make_result: Callable[..., Result], make_labelled: Callable[..., Labelled]) -> Result:
    return make_result(parity=ParityReport(Parity(50, 0.98, 3.2e-6, 2.1e-7), "real", make_labelled()))


def only_check(result: Result, **limits: float) -> Check:
    verdict = judge(result, Budget(device="test", **limits))
    assert len(verdict.checks) == 1
    assert verdict.passed is verdict.checks[0].passed
    return verdict.checks[0]


def test_every_limit_a_budget_can_set_is_tested_here() -> None:
    assert set(OBSERVED) == set(Budget.__struct_fields__) - {"device", "why"}


@pytest.mark.parametrize("name", OBSERVED)
def test_exactly_at_the_limit_holds(measured: Result, name: str) -> None:
    limit = OBSERVED[name]
    assert only_check(measured, **{name: limit}) == Check(name, limit, limit, True)


@pytest.mark.parametrize("name", OBSERVED)
def test_within_the_limit_holds(measured: Result, name: str) -> None:
    limit = OBSERVED[name] * (1.001 if name.startswith("max") else 0.999)
    assert only_check(measured, **{name: limit}).passed


@pytest.mark.parametrize("name", OBSERVED)
def test_beyond_the_limit_fails_and_says_what_was_observed(measured: Result, name: str) -> None:
    limit = OBSERVED[name] * (0.999 if name.startswith("max") else 1.001)
    assert only_check(measured, **{name: limit}) == Check(name, limit, OBSERVED[name], False)


def test_a_budget_without_limits_passes(measured: Result) -> None:
    verdict = judge(measured, Budget(device="test"))
    assert verdict.passed
    assert verdict.checks == ()


def test_one_failing_limit_fails_the_verdict_and_all_are_reported(measured: Result) -> None:
    limits = {name: value * (2 if name.startswith("max") else 0.5) for name, value in OBSERVED.items()}
    assert judge(measured, Budget(device="test", **limits)).passed
    limits["max_size_mb"] = 1.0
    verdict = judge(measured, Budget(device="test", **limits))
    assert not verdict.passed
    assert {check.name for check in verdict.checks} == set(OBSERVED)
    assert [check.name for check in verdict.checks if not check.passed] == ["max_size_mb"]


@pytest.mark.parametrize("name", NEEDS_LABELS)
def test_without_labelled_images_it_fails_with_a_remedy(make_result: Callable[..., Result], name: str) -> None:
    result = make_result(parity=ParityReport(Parity(50, 1.0, 0.0, 0.0), "real"))
    check = only_check(result, **{name: 0.5})
    assert (check.observed, check.passed) == (None, False)
    assert "--data" in check.note


@pytest.mark.parametrize("name", NEEDS_REFERENCE)
def test_without_reference_answers_it_fails_with_a_remedy(
    make_result: Callable[..., Result], make_labelled: Callable[..., Labelled], name: str
) -> None:
    alone = make_labelled(accuracy_drop=None, accuracy_drop_ci95=None, worst_recall_drop=None)
    result = make_result(parity=ParityReport(Parity(50, 1.0, 0.0, 0.0), "real", alone))
    check = only_check(result, **{name: 0.5})
    assert (check.observed, check.passed) == (None, False)
    assert "reference.npz" in check.note


def test_too_few_samples_for_p99_fail_with_a_note(
    make_result: Callable[..., Result], make_latency: Callable[..., Latency]
) -> None:
    check = only_check(make_result(latency_ms=make_latency(p99=None)), max_p99_ms=1000.0)
    assert (check.observed, check.passed) == (None, False)
    assert "1,000 samples" in check.note


@pytest.mark.parametrize("name", ["max_p50_ms", "max_p99_ms"])
@pytest.mark.parametrize("limit", [1.0, 1000.0])
def test_unstable_latency_fails_with_a_note_however_fast(
    make_result: Callable[..., Result], make_latency: Callable[..., Latency], name: str, limit: float
) -> None:
    check = only_check(make_result(latency_ms=make_latency(stable=False, spread=0.2)), **{name: limit})
    assert not check.passed
    assert check.observed == OBSERVED[name]
    assert "unstable" in check.note


@pytest.mark.parametrize("name", [name for name in OBSERVED if name not in ("max_p50_ms", "max_p99_ms")])
def test_unstable_latency_spoils_no_other_limit(
    measured: Result, make_latency: Callable[..., Latency], name: str
) -> None:
    unstable = msgspec.structs.replace(measured, latency_ms=make_latency(stable=False, spread=0.2))
    assert only_check(unstable, **{name: OBSERVED[name]}).passed


def test_the_slow_end_of_the_median_interval_counts(
    make_result: Callable[..., Result], make_latency: Callable[..., Latency]
) -> None:
    result = make_result(latency_ms=make_latency(p50=9.0, ci95_p50=(8.0, 11.0)))
    assert not only_check(result, max_p50_ms=10.0).passed


def test_what_is_not_a_number_does_not_pass(make_result: Callable[..., Result]) -> None:
    nan = float("nan")
    result = make_result(parity=ParityReport(Parity(50, nan, nan, nan), "real"))
    assert not only_check(result, max_abs_diff=1.0).passed
    assert not only_check(result, min_top1_agreement=0.0).passed
