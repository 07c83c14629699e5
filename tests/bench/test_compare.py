"""Regressions and noise: what is planted is found, what is not there is never claimed."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bctoolkit.bench.analysis.compare import Change, Trend, compare_reports, compare_with_baseline
from bctoolkit.bench.documents.measurements import Session
from bctoolkit.bench.documents.predictions import LabelledPredictions, Predictions
from bctoolkit.bench.documents.report import Report, Result
from bctoolkit.bench.documents.stored import StoredReport, read_all
from bctoolkit.errors import RecipeError

Make = Callable[..., tuple[Session, ...]]
MARGIN = 0.03


def stored(report: Report, folder: Path = Path("nowhere"), name: str = "report") -> StoredReport:
    return StoredReport(name, report, folder)


def only(report: Report, *results: Result) -> Report:
    return msgspec.structs.replace(report, results=results)


def change(comparison: tuple[Change, ...], figure: str) -> Change:
    [one] = [change for change in comparison if change.figure == figure]
    return one


def noisy(rng: np.random.Generator, make: Make, p50: float, sessions: int = 5) -> tuple[Session, ...]:
    """Sessions as a shared machine gives them: medians 2 % apart."""
    return make(p50, tuple(rng.normal(0, 0.02, sessions)))


def test_the_same_report_has_not_changed(full_report: Report) -> None:
    comparison = compare_reports(stored(full_report), stored(full_report), MARGIN)
    assert comparison.worse == ()
    assert change(tuple(c for c in comparison.changes if c.bundle == "cells-onnx-fp32"), "p50 ms").change == 1
    assert {c.trend for c in comparison.changes if c.figure == "size MB"} == {Trend.SAME}


def test_a_planted_slowdown_of_a_tenth_is_found(
    full_report: Report, make_result: Callable[..., Result], make_sessions: Make
) -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(40):
        old = make_result(sessions=noisy(rng, make_sessions, 12.0))
        new = make_result(sessions=noisy(rng, make_sessions, 13.2))
        comparison = compare_reports(stored(only(full_report, old)), stored(only(full_report, new)), MARGIN)
        hits += change(comparison.changes, "p50 ms").trend is Trend.WORSE
    assert hits >= 36


def test_nothing_is_claimed_of_two_reports_of_the_same(
    full_report: Report, make_result: Callable[..., Result], make_sessions: Make
) -> None:
    rng = np.random.default_rng(1)
    claims = 0
    for _ in range(200):
        one, other = (make_result(sessions=noisy(rng, make_sessions, 12.0)) for _ in range(2))
        comparison = compare_reports(stored(only(full_report, one)), stored(only(full_report, other)), MARGIN)
        claims += change(comparison.changes, "p50 ms").trend in (Trend.WORSE, Trend.BETTER)
    assert claims <= 2


def test_rounds_that_share_a_slow_machine_are_paired(
    full_report: Report, make_result: Callable[..., Result], make_sessions: Make
) -> None:
    """The machine drifts by half; within each turn the second bundle is a tenth slower."""
    turns = (0.0, 0.1, 0.5, 0.2, 0.05)
    base = make_result(bundle="base", sessions=make_sessions(10.0, turns))
    slow = make_result(bundle="slow", sessions=make_sessions(11.0, turns))
    report = stored(only(full_report, base, slow))
    comparison = change(compare_with_baseline(report, "base", MARGIN).changes, "p50 ms")
    assert comparison.trend is Trend.WORSE
    assert comparison.ci95 == pytest.approx((1.1, 1.1))
    unpaired = compare_reports(
        stored(only(full_report, base)), stored(only(full_report, msgspec.structs.replace(slow, bundle="base"))), MARGIN
    )
    assert change(unpaired.changes, "p50 ms").trend is Trend.UNCLEAR


@pytest.mark.parametrize(
    ("factor", "trend"), [(1.2, Trend.WORSE), (0.8, Trend.BETTER), (1.0, Trend.SAME), (1.03, Trend.UNCLEAR)]
)
def test_every_trend(
    full_report: Report, make_result: Callable[..., Result], make_sessions: Make, factor: float, trend: Trend
) -> None:
    old, new = (make_result(sessions=make_sessions(level)) for level in (12.0, 12.0 * factor))
    comparison = compare_reports(stored(only(full_report, old)), stored(only(full_report, new)), MARGIN)
    assert change(comparison.changes, "p50 ms").trend is trend
    assert change(comparison.changes, "p50 ms").change == pytest.approx(factor)


def test_a_larger_file_is_a_regression(full_report: Report, make_result: Callable[..., Result]) -> None:
    old, new = make_result(size_bytes=10_000_000), make_result(size_bytes=11_000_000)
    comparison = compare_reports(stored(only(full_report, old)), stored(only(full_report, new)), MARGIN)
    assert [c.figure for c in comparison.worse] == ["size MB"]


def test_other_machines_compare_sizes_alone_and_say_so(full_report: Report) -> None:
    elsewhere = msgspec.structs.replace(full_report.machine, cpu="Another CPU")
    other = msgspec.structs.replace(full_report, machine=elsewhere)
    comparison = compare_reports(stored(full_report), stored(other), MARGIN)
    assert {c.figure for c in comparison.changes} == {"size MB"}
    assert "different machines (Example CPU" in comparison.notes[0]


def test_a_report_of_one_session_says_what_to_do(full_report: Report) -> None:
    single = [msgspec.structs.replace(result, sessions=result.sessions[:1]) for result in full_report.results]
    report = only(full_report, *single)
    comparison = compare_reports(stored(report), stored(report), MARGIN)
    assert {c.figure for c in comparison.changes} == {"size MB"}
    assert any("a report without two sessions gives no interval" in note for note in comparison.notes)


def test_bundles_of_another_run_are_matched_by_what_they_are(full_report: Report) -> None:
    renamed = [msgspec.structs.replace(r, bundle=r.bundle.replace("cells", "pr")) for r in full_report.results]
    comparison = compare_reports(stored(full_report), stored(only(full_report, *renamed)), MARGIN)
    assert {c.bundle for c in comparison.changes} == {r.bundle for r in renamed}


def test_nothing_in_common_is_refused(full_report: Report, make_result: Callable[..., Result]) -> None:
    other = only(full_report, make_result(bundle="x", format="coreml"))
    with pytest.raises(RecipeError, match="one and two have no bundle in common"):
        compare_reports(stored(full_report, name="one"), stored(other, name="two"), MARGIN)


def test_a_baseline_that_is_not_there_is_refused(full_report: Report, make_result: Callable[..., Result]) -> None:
    with pytest.raises(RecipeError, match="report has no bundle 'x'; bundles: cells-onnx-fp32, "):
        compare_with_baseline(stored(full_report), "x", MARGIN)
    with pytest.raises(RecipeError, match="holds cells-onnx-fp32 alone"):
        compare_with_baseline(stored(only(full_report, make_result())), "cells-onnx-fp32", MARGIN)


def keep_predictions(folder: Path, bundle: str, labels: list[int], predicted: list[int], order: list[int]) -> None:
    """Answers to images whose hash is their number, in any order."""
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    hashes = np.zeros((len(order), 32), np.uint8)
    hashes[:, 0], hashes[:, 1] = np.array(order) % 256, np.array(order) // 256
    eye = np.eye(3, dtype=np.float32)
    kept = LabelledPredictions(hashes, np.array(labels)[order], eye[np.array(predicted)[order]], None)
    Predictions(eye, kept).save(folder / "predictions" / f"{bundle}.npz")


@pytest.mark.parametrize(("flipped", "trend"), [(12, Trend.WORSE), (0, Trend.SAME), (2, Trend.UNCLEAR)])
def test_accuracy_is_paired_image_by_image_whatever_their_order(
    full_report: Report, make_result: Callable[..., Result], tmp_path: Path, flipped: int, trend: Trend
) -> None:
    labels = [i % 3 for i in range(1000)]
    predicted = [(label + 1) % 3 if i < flipped else label for i, label in enumerate(labels)]
    rng = np.random.default_rng(0)
    keep_predictions(tmp_path / "old", "cells-onnx-fp32", labels, labels, list(range(1000)))
    keep_predictions(tmp_path / "new", "cells-onnx-fp32", labels, predicted, list(rng.permutation(1000)))
    report = only(full_report, make_result())
    comparison = compare_reports(stored(report, tmp_path / "old"), stored(report, tmp_path / "new"), MARGIN)
    one = change(comparison.changes, "accuracy")
    assert one.trend is trend
    assert one.change == pytest.approx(flipped / 1000)
    assert (one.old, one.new) == pytest.approx((1.0, 1 - flipped / 1000))


def test_other_images_are_not_compared(full_report: Report, make_result: Callable[..., Result], tmp_path: Path) -> None:
    keep_predictions(tmp_path / "old", "cells-onnx-fp32", [0] * 20, [0] * 20, list(range(10)))
    keep_predictions(tmp_path / "new", "cells-onnx-fp32", [0] * 20, [0] * 20, list(range(10, 20)))
    report = only(full_report, make_result())
    comparison = compare_reports(stored(report, tmp_path / "old"), stored(report, tmp_path / "new"), MARGIN)
    assert "accuracy" not in {c.figure for c in comparison.changes}
    assert any("different images" in note for note in comparison.notes)


@pytest.fixture
def on_two_providers(full_report: Report, make_result: Callable[..., Result], make_sessions: Make) -> Report:
    levels = {("x", "cpu"): 1.0, ("x", "builtin"): 10.0, ("y", "cpu"): 2.0, ("y", "builtin"): 20.0}
    results = [
        make_result(bundle=b, provider=p, target=f"{b}@{p}", sessions=make_sessions(at))
        for (b, p), at in levels.items()
    ]
    settings = msgspec.structs.replace(full_report.settings, providers=("cpu", "builtin"))
    return msgspec.structs.replace(full_report, settings=settings, results=tuple(results))


def test_a_sweep_over_providers_is_matched_by_provider(on_two_providers: Report) -> None:
    first, *others = on_two_providers.results
    comparison = compare_reports(stored(on_two_providers), stored(only(on_two_providers, *others)), MARGIN)
    assert [c.bundle for c in comparison.changes if c.figure == "p50 ms"] == ["x, builtin", "y, cpu", "y, builtin"]
    assert {c.change for c in comparison.changes if c.figure == "p50 ms"} == {1.0}
    assert (
        compare_reports(stored(only(on_two_providers, first)), stored(on_two_providers), MARGIN).changes[0].change
        == 1.0
    )


def test_a_bundle_that_ran_on_another_provider_is_matched_but_its_times_are_not_compared(
    on_two_providers: Report,
) -> None:
    fast, slow, *_ = on_two_providers.results
    comparison = compare_reports(stored(only(on_two_providers, fast)), stored(only(on_two_providers, slow)), MARGIN)
    assert {c.figure for c in comparison.changes} == {"size MB"}
    assert "x, builtin: on builtin, before on cpu: times and memory are not compared" in comparison.notes


def test_a_baseline_is_held_against_what_ran_on_its_provider(on_two_providers: Report) -> None:
    comparison = compare_with_baseline(stored(on_two_providers), "x", MARGIN)
    assert [(c.bundle, round(c.change, 6)) for c in comparison.changes if c.figure == "p50 ms"] == [
        ("y, cpu", 2.0),
        ("y, builtin", 2.0),
    ]


def test_answers_of_a_sweep_are_those_of_the_provider(on_two_providers: Report, tmp_path: Path) -> None:
    for name, flipped in (("x@cpu", 0), ("x@builtin", 1)):
        predicted = [1] * flipped + [0] * (10 - flipped)
        keep_predictions(tmp_path, name, [0] * 10, predicted, list(range(10)))
    comparison = compare_reports(stored(on_two_providers, tmp_path), stored(on_two_providers, tmp_path), MARGIN)
    accuracies = {c.bundle: (c.old, c.new) for c in comparison.changes if c.figure == "accuracy"}
    assert accuracies == {"x, cpu": (1.0, 1.0), "x, builtin": (0.9, 0.9)}


def relative_to_fp32(report: Report, make_sessions: Make, base: float, other: float) -> Report:
    """Two bundles of these latencies; the second's is unstable in itself."""
    first, second, _ = report.results
    return only(
        report,
        msgspec.structs.replace(first, sessions=make_sessions(base)),
        msgspec.structs.replace(second, sessions=make_sessions(other)),
    )


def test_an_unstable_latency_claims_nothing_its_ratio_to_the_baseline_does(report: Report, make_sessions: Make) -> None:
    """A day on which the machine is half as fast, and another on which the bundle is."""
    old = stored(relative_to_fp32(report, make_sessions, 10.0, 5.0))
    for levels, absolute, ratio in (
        ((20.0, 10.0), Trend.UNCLEAR, Trend.SAME),
        ((10.0, 10.0), Trend.UNCLEAR, Trend.WORSE),
    ):
        comparison = compare_reports(old, stored(relative_to_fp32(report, make_sessions, *levels)), MARGIN)
        of_int8 = tuple(change for change in comparison.changes if change.bundle == "cells-onnx-int8-dynamic")
        assert (change(of_int8, "p50 ms").trend, change(of_int8, "latency ratio").trend) == (absolute, ratio)
        assert (change(of_int8, "latency ratio").old, change(of_int8, "latency ratio").new) == pytest.approx(
            (0.5, levels[1] / levels[0])
        )
        assert any("its ratios decide" in note for note in comparison.notes)


@pytest.mark.parametrize("baseline", [None, "cells-onnx-int8-dynamic"])
def test_ratios_to_different_baselines_are_not_compared(report: Report, baseline: str | None) -> None:
    comparison = compare_reports(stored(report), stored(msgspec.structs.replace(report, baseline=baseline)), MARGIN)
    assert not any("ratio" in change.figure for change in comparison.changes)


def test_within_a_report_the_fastest_runs_are_compared_and_so_called(report: Report) -> None:
    comparison = compare_with_baseline(stored(report), "cells-onnx-fp32", MARGIN)
    of_int8 = tuple(change for change in comparison.changes if change.bundle == "cells-onnx-int8-dynamic")
    assert [change.figure for change in of_int8][:2] == ["fastest ms", "end-to-end fastest ms"]
    relative = report.results[1].relative
    assert relative is not None
    assert (of_int8[0].change, *of_int8[0].ci95) == pytest.approx(
        (relative.latency.value, *(relative.latency.ci95 or ()))
    )


def test_what_one_of_them_has_not_measured_is_not_compared() -> None:
    """Without Pillow a device times no way from a picture."""
    fleet = read_all(Path(__file__).parents[1] / "stored" / "fleet.json")
    comparison = compare_reports(fleet[0], fleet[1], 0.03)
    figures = {change.figure for change in comparison.changes}
    assert "p50 ms" in figures
    assert "end-to-end p50 ms" not in figures
    assert any("end-to-end p50 ms was not measured in every session" in note for note in comparison.notes)
