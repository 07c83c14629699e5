"""The best artifact: it keeps every limit, and nobody better was passed over."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bctoolkit.bench.analysis.choose import choose_best
from bctoolkit.bench.analysis.pareto import front
from bctoolkit.bench.documents.measurements import Latency
from bctoolkit.bench.documents.report import Report, Result
from bctoolkit.bench.documents.stored import StoredReport
from bctoolkit.documents import Outcome
from bctoolkit.recipes import Budget

costs = st.lists(st.tuples(*[st.integers(0, 5).map(float)] * 3), min_size=1, max_size=12)


@pytest.fixture
def four(full_report: Report, make_result: Callable[..., Result], make_latency: Callable[..., Latency]) -> StoredReport:
    def one(name: str, p50: float, megabytes: float) -> Result:
        return make_result(
            bundle=name,
            latency_ms=make_latency(p50=p50, ci95_p50=(p50 * 0.99, p50 * 1.01)),
            size_bytes=int(megabytes * 1e6),
        )

    results = (one("big", 20.0, 200.0), one("quick", 8.0, 50.0), one("small", 9.0, 40.0), one("slow", 40.0, 60.0))
    return StoredReport("here", msgspec.structs.replace(full_report, results=results, failures=()), Path("nowhere"))


def test_the_fastest_that_keeps_all_limits_is_best(four: StoredReport) -> None:
    choice = choose_best([four], Budget(device="any", max_p50_ms=30.0, max_size_mb=60.0))
    assert choice.best == "quick"
    assert choice.why.startswith("the fastest of the 2 of 4 that keep all limits: p50 8.00 ms, 50.0 MB")
    assert "next small" in choice.why
    reasons = {one.bundle: one.reasons for one in choice.candidates}
    assert reasons["quick"] == reasons["small"] == ()
    assert reasons["big"] == ("max_size_mb 60: 200 fails",)
    assert reasons["slow"][0].startswith("max_p50_ms 30: 39.6 to 40.4 fails")


def test_another_preference_chooses_otherwise(four: StoredReport) -> None:
    assert choose_best([four], Budget(device="any"), "size").best == "small"


def test_the_only_one_left_is_called_so(four: StoredReport) -> None:
    choice = choose_best([four], Budget(device="any", max_size_mb=45.0))
    assert (choice.best, choice.why[:28]) == ("small", "the only one of 4 that keeps")


def test_none_is_chosen_where_none_keeps_the_limits(four: StoredReport) -> None:
    choice = choose_best([four], Budget(device="any", max_size_mb=1.0))
    assert (choice.best, choice.why) == (None, "none of 4 keeps all limits")


def test_what_cannot_be_judged_is_not_chosen(four: StoredReport) -> None:
    choice = choose_best([four], Budget(device="any", max_p50_ms=8.0))
    assert choice.best is None
    assert choice.why == "none of 4 keeps all limits; 1 is inconclusive"


def test_limits_are_kept_on_every_device(four: StoredReport, make_latency: Callable[..., Latency]) -> None:
    slower = [
        msgspec.structs.replace(r, latency_ms=make_latency(p50=35.0, ci95_p50=(34.0, 36.0)))
        if r.bundle == "quick"
        else r
        for r in four.report.results
        if r.bundle != "big"
    ]
    there = StoredReport("there", msgspec.structs.replace(four.report, results=tuple(slower)), Path("nowhere"))
    choice = choose_best([four, there], Budget(device="any", max_p50_ms=30.0))
    assert choice.best == "small"
    reasons = {one.bundle: one.reasons for one in choice.candidates}
    assert reasons["quick"][0].startswith("there: max_p50_ms 30")
    assert reasons["big"] == ("there: not measured there",)


@given(costs)
def test_the_front_is_what_nobody_beats(table: list[tuple[float, float, float]]) -> None:
    shown = front(table)
    assert any(shown)
    for row, flag in zip(table, shown, strict=True):
        beaten = any(all(o <= r for o, r in zip(other, row, strict=True)) and other != row for other in table)
        assert flag is not beaten


def test_candidates_tell_the_front(four: StoredReport) -> None:
    choice = choose_best([four], Budget(device="any"))
    assert {one.bundle for one in choice.candidates if one.on_front} == {"quick", "small"}
    assert all(one.outcome is Outcome.PASSED for one in choice.candidates)
