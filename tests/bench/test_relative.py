"""Figures relative to a baseline: the same whatever slows the machine, and never claimed where they are not shown."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit.bench import pipeline
from bctoolkit.bench.analysis.relative import (
    SESSION_FIGURES,
    counterpart,
    default_baseline,
    paired_ratio,
    round_ratios,
    with_relatives,
)
from bctoolkit.bench.analysis.verdict import check_budget
from bctoolkit.bench.documents.measurements import Latency, Session, TimingWarning
from bctoolkit.bench.documents.report import Report, Result
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.report import page
from bctoolkit.bench.report.markdown import markdown
from bctoolkit.bench.report.relative import headline, relative_table, sections
from bctoolkit.bench.report.tables import csv_table, figures_table, merged_figures_table
from bctoolkit.documents import Outcome, to_json
from bctoolkit.errors import BundleError, RecipeError
from bctoolkit.progress import Silent
from bctoolkit.recipes import Budget
from bctoolkit.rendering.table import text_of

Samples = NDArray[np.float64]
Make = Callable[..., Result]
LATENCY = SESSION_FIGURES["latency"]


def busy(rng: np.random.Generator, level: float, pace: Samples, others: float) -> Samples:
    """Milliseconds, rounds × slices × runs, of a model on a machine that other programs use.

    Args:
        rng: what draws.
        level: milliseconds of a run that nobody disturbs.
        pace: rounds × slices: how fast the machine is just then, for all bundles alike.
        others: the chance that a run has to wait; a longer one meets more of them. What waits, waits for milliseconds.
    """
    rounds, slices = pace.shape
    runs = int(np.clip(250 / level, 3, 60))
    shape = (rounds, slices, runs)
    own = level * pace[:, :, None] * np.exp(rng.normal(0, 0.02, (rounds, 1, 1)) + np.abs(rng.normal(0, 0.02, shape)))
    waits = rng.random(shape) < 1 - (1 - others) ** level
    return own + np.where(waits, rng.exponential(8, shape), 0.0)


def sessions_of(samples: Samples) -> tuple[Session, ...]:
    return tuple(
        Session(
            p50_ms=float(np.median(each)),
            end_to_end_p50_ms=1.0,
            slices_p50_ms=tuple(np.median(each, 1)),
            slices_fastest_ms=tuple(each.min(1)),
            load_ms=1.0,
            first_ms=1.0,
            peak_rss_bytes=1,
            steady_rss_bytes=1,
        )
        for each in samples
    )


def drifting(rng: np.random.Generator, rounds: int) -> Samples:
    """A pace that wanders from slice to slice and leaps from round to round, up to twice as slow."""
    wander = np.cumsum(rng.normal(0, 0.03, (rounds, 8)), axis=1)
    return np.exp(wander + rng.uniform(0, 0.7, (rounds, 1)))


def covered(others: float, rounds: int, *, fastest: bool, reports: int = 600) -> float:
    """How often the interval of a ratio of 0.4 holds it."""
    rng, held = np.random.default_rng(3), 0
    for _ in range(reports):
        pace = drifting(rng, rounds)
        old, new = (sessions_of(busy(rng, level, pace, others)) for level in (5.0, 2.0))
        if not fastest:
            old, new = ([replace(each, slices_fastest_ms=()) for each in side] for side in (old, new))  # type: ignore[assignment]
        found = paired_ratio(LATENCY, old, new)
        held += found.low <= 0.4 <= found.high
    return held / reports


@pytest.mark.slow
@pytest.mark.parametrize(("others", "rounds"), [(0.0, 3), (0.2, 3), (0.2, 5)])
def test_the_interval_holds_the_ratio_as_often_as_it_says_on_a_machine_that_others_use(
    others: float, rounds: int
) -> None:
    """Up to two runs of three have to wait here, and the pace doubles."""
    assert abs(covered(others, rounds, fastest=True) - 0.95) <= 0.025


@pytest.mark.slow
def test_medians_would_not_hold_it_there() -> None:
    """The longer run is disturbed more often: it is why the fastest runs are compared."""
    assert covered(0.2, 5, fastest=False, reports=150) < 0.5


def test_within_a_round_slices_side_by_side_are_compared(make_result: Make) -> None:
    first, *_ = make_result().sessions
    old = [replace(first, slices_fastest_ms=(1.0, 2.0, 4.0, 9.0))]
    new = [replace(first, slices_fastest_ms=(2.0, 4.0, 80.0))]
    assert round_ratios(LATENCY, old, new) == pytest.approx([2.0])


def test_reports_of_before_are_compared_by_their_medians(make_result: Make) -> None:
    first, *_ = make_result().sessions
    old, new = (replace(first, slices_p50_ms=slices) for slices in ((1.0, 1.0), (3.0, 3.0)))
    assert round_ratios(LATENCY, [old], [new]) == pytest.approx([3.0])
    assert round_ratios(LATENCY, [first], [replace(first, p50_ms=4 * first.p50_ms)]) == pytest.approx([4.0])


def test_the_baseline_is_the_most_precise_bundle_and_of_several_the_first(make_result: Make) -> None:
    kinds = {"d": "int8-dynamic", "h": "fp16", "w": "fp16-weights", "b": "fp32", "a": "fp32"}
    results = [make_result(bundle=name, quantization=kind) for name, kind in kinds.items()]
    assert default_baseline(results) == "b"
    assert default_baseline(results[:3]) == "w"
    assert default_baseline([results[0], make_result(bundle="e", quantization="int8")]) == "d"
    assert default_baseline(results[:1]) is None
    assert default_baseline([results[0], replace(results[0], threads=4)]) is None
    assert default_baseline([]) is None


def test_a_sweep_is_held_against_as_many_threads_and_the_same_provider(make_result: Make) -> None:
    sweep = [make_result(bundle=b, threads=t, provider=p) for b in "ab" for t in (1, 2) for p in ("cpu", "cuda")]
    for result in sweep[4:]:
        other = counterpart(result, sweep, "a")
        assert other is not None
        assert (other.bundle, other.threads, other.provider) == ("a", result.threads, result.provider)
    assert [counterpart(result, sweep, "a") for result in sweep[:4]] == [None] * 4
    elsewhere = make_result(bundle="b", threads=1, provider="builtin")
    assert counterpart(elsewhere, sweep, "a") == sweep[0]
    assert counterpart(replace(elsewhere, threads=8), sweep, "a") is None


def test_every_figure_is_relative(make_result: Make, make_sessions: Callable[..., tuple[Session, ...]]) -> None:
    old = make_result(bundle="a", sessions=make_sessions(10.0), size_bytes=400)
    new = make_result(bundle="b", sessions=make_sessions(5.0), size_bytes=100)
    baseline, result = with_relatives([old, new], "a")
    assert baseline.relative is None
    assert result.relative is not None
    assert (result.relative.latency.value, result.relative.size.value) == pytest.approx((0.5, 0.25))
    assert result.relative.end_to_end is not None
    assert result.relative.end_to_end.value == pytest.approx(7 / 12)
    assert result.relative.cold_start.value == result.relative.peak_rss.value == 1.0
    assert result.relative.size.ci95 == (0.25, 0.25)
    assert with_relatives([old, new], None) == [old, new]


def test_a_single_round_gives_no_interval(make_result: Make, report: Report) -> None:
    old, new = (make_result(bundle=name, sessions=make_result().sessions[:1]) for name in "ab")
    results = with_relatives([old, new], "a")
    assert results[1].relative is not None
    assert results[1].relative.latency.ci95 is None
    assert "none is shown to be faster than a" in headline(replace(report, baseline="a", results=tuple(results)))


def alone(report: Report) -> Report:
    return replace(report, baseline=None, results=(replace(report.results[0], relative=None),))


def test_a_report_of_one_bundle_says_nothing_of_it(report: Report) -> None:
    single = alone(report)
    assert (headline(single), relative_table(single), list(sections(single))) == ("", None, [])
    assert "× baseline" not in figures_table(single).columns
    assert "elative to cells" not in markdown(single)
    assert csv_table(single).rows[0][csv_table(single).columns.index("baseline")] == ""


def test_the_baseline_is_named_where_figures_are_relative_to_it(report: Report) -> None:
    table, figures = relative_table(report), figures_table(report)
    assert table is not None
    assert table.title == "Relative to cells-onnx-fp32"
    assert "times the latency of cells-onnx-fp32" in figures.description
    assert [text_of(row[figures.columns.index("× baseline")]) for row in figures.rows][:2] == [
        "baseline",
        "0.54 (0.47–0.61)",
    ]
    [section] = sections(report)
    assert "<td>cells-onnx-fp32</td>" not in section
    assert "<h2>Relative to cells-onnx-fp32</h2>" in section
    assert section.count("<svg") == 1
    row = dict(zip(csv_table(report).columns, map(text_of, csv_table(report).rows[1]), strict=True))
    assert row["baseline"] == "cells-onnx-fp32"
    assert float(row["latency_ratio_low"]) < float(row["latency_ratio"]) < float(row["latency_ratio_high"])
    assert json.loads(to_json(report))["results"][1]["relative"]["baseline"] == "cells-onnx-fp32"


def test_ratios_of_few_runs_are_marked_where_other_programs_may_be_in_all_of_them(
    report: Report, make_latency: Callable[..., Latency]
) -> None:
    base, int8, _ = report.results
    busy = replace(base, end_to_end_ms=make_latency(warnings=(TimingWarning.LOAD,)))
    for results, marks in (((base, int8), [False] * 5), ((busy, int8), [False, True, True, False, False])):
        table = relative_table(replace(report, results=results))
        assert table is not None
        assert [text_of(cell).endswith(" ~") for cell in table.rows[0][1:]] == marks


def test_reports_with_the_same_baseline_show_ratios_beside_each_other(report: Report) -> None:
    assert "× baseline" in merged_figures_table([("a", report), ("b", report)]).columns
    assert "× baseline" not in merged_figures_table([("a", report), ("b", alone(report))]).columns


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (0.5, "cells-onnx-int8-dynamic is 1.99 times as fast as cells-onnx-fp32"),
        (1.0, "none is shown to be faster than cells-onnx-fp32; cells-onnx-int8-dynamic has 25% of its size"),
        (2.0, "none is shown to be faster than"),
    ],
)
def test_the_sentence_claims_what_the_interval_shows(
    report: Report, make_sessions: Callable[..., tuple[Session, ...]], scale: float, words: str
) -> None:
    """Though its absolute latency is unstable."""
    base, int8, _ = report.results
    changed = replace(int8, sessions=make_sessions(10.0 * scale, (0.01, 0.0, -0.01, 0.02, 0.0)))
    results = with_relatives([replace(base, sessions=make_sessions(10.0)), changed], base.bundle)
    assert not results[1].latency_ms.stable
    assert headline(replace(report, results=tuple(results))).startswith(words)


def test_a_limit_on_the_ratio_holds_where_the_latency_is_unstable(report: Report) -> None:
    base, int8, _ = report.results
    assert not int8.latency_ms.stable
    limit = Budget(device="test", max_latency_ratio=0.7)
    verdict = check_budget(int8, limit, report.baseline)
    assert (verdict.outcome, verdict.checks[0].note) == (Outcome.PASSED, "relative to cells-onnx-fp32")
    assert check_budget(int8, Budget(device="test", max_latency_ratio=0.4), report.baseline).outcome is Outcome.FAILED
    assert check_budget(base, limit, report.baseline).checks == ()
    assert check_budget(replace(base, relative=None), limit).outcome is Outcome.UNDECIDED


def test_names_cannot_become_markup(report: Report) -> None:
    hostile = replace(
        report, baseline="<script>", results=(replace(report.results[0], bundle="<script>"), *report.results[1:])
    )
    assert "<script>" not in "".join(sections(hostile))
    assert "<script>" not in "".join(page._verdicts(hostile))


def test_the_page_says_it_first(report: Report) -> None:
    [verdict] = page._verdicts(report)
    assert verdict.index("times as fast as cells-onnx-fp32") < verdict.index("unstable: ")


def measured_beside(paths: list[Path], baseline: str | None, quick: Settings, target: Path) -> Report:
    settings = replace(quick, sessions=2, min_runs=8, min_seconds=0.0)
    return pipeline.bench(paths, settings, target, Silent(), baseline=baseline)


@pytest.mark.slow
@pytest.mark.usefixtures("without_plots", "local_children")
def test_a_baseline_is_named_or_measured_besides(four_bundles: list[Path], quick: Settings, tmp_path: Path) -> None:
    float_onnx, *_, int8_tflite = four_bundles
    plain = measured_beside(four_bundles[:2], None, quick, tmp_path / "plain")
    assert (plain.baseline, plain.results[0].relative) == (plain.results[0].bundle, None)
    named = measured_beside(four_bundles[:2], plain.results[1].bundle, quick, tmp_path / "named")
    assert named.baseline == plain.results[1].bundle
    assert [result.relative is None for result in named.results] == [False, True]
    besides = measured_beside([int8_tflite], str(float_onnx), quick, tmp_path / "besides")
    assert [result.bundle for result in besides.results] == [besides.baseline, bundles.read(int8_tflite).manifest.name]
    assert besides.results[1].relative is not None
    ratios = besides.results[1].relative
    assert ratios.size.value == besides.results[1].size_bytes / besides.results[0].size_bytes
    assert ratios.latency.ci95 is not None
    assert ratios.latency.ci95[0] <= ratios.latency.value <= ratios.latency.ci95[1]


def test_a_baseline_that_cannot_be_one_is_refused(four_bundles: list[Path], quick: Settings, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^--baseline nowhere: no bundle's folder, and none of those measured: tiny"):
        measured_beside(four_bundles[:2], "nowhere", quick, tmp_path / "report")
    with pytest.raises(RecipeError, match="it alone is measured; give another bundle"):
        measured_beside(four_bundles[:1], str(four_bundles[0]), quick, tmp_path / "report")
    with pytest.raises(BundleError):
        measured_beside(four_bundles[:1], str(tmp_path), quick, tmp_path / "report")
    assert list(tmp_path.iterdir()) == []
