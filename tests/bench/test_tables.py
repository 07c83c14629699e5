"""The report as people read it, held against a stored copy."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bctoolkit.bench.documents.judgements import Labelled, ParityReport
from bctoolkit.bench.documents.measurements import Latency, OperatorTime, Profile, TimingWarning
from bctoolkit.bench.documents.report import Report, Result
from bctoolkit.bench.report.markdown import markdown
from bctoolkit.bench.report.tables import classes_table, csv_table, figures_table, merged_figures_table, operators_table
from bctoolkit.documents.adopted import Adopted
from bctoolkit.rendering.table import Cell, text_of
from bctoolkit.statistics.paired import PairedChange

SNAPSHOTS = Path(__file__).parent / "snapshots"


def test_markdown_reads_as_the_stored_copy(report: Report) -> None:
    assert markdown(report) == (SNAPSHOTS / "report.md").read_text(encoding="utf-8")


def test_markdown_of_all_that_is_measured_reads_as_the_stored_copy(full_report: Report) -> None:
    assert markdown(full_report) == (SNAPSHOTS / "full.md").read_text(encoding="utf-8")


@pytest.fixture
def figures(report: Report) -> Callable[[Result], dict[str, str]]:
    """The cells of a result by their headings."""

    def cells(result: Result) -> dict[str, str]:
        table = figures_table(msgspec.structs.replace(report, results=(result,)))
        [row] = table.rows
        return {heading: text_of(cell) for heading, cell in zip(table.columns, row, strict=True)}

    return cells


def test_a_bundle_that_was_made_elsewhere_is_marked(report: Report) -> None:
    file = Adopted("vendor.tflite", "0" * 64, "Vendor's compiler 3", "int8")
    theirs = msgspec.structs.replace(report.results[0], adopted=file)
    ours = msgspec.structs.replace(report, results=(theirs, *report.results[1:]))
    assert [text_of(row[0]).endswith(" (made elsewhere)") for row in figures_table(ours).rows] == [True, False, False]
    assert text_of(merged_figures_table([("a", ours)]).rows[0][0]) == f"{theirs.bundle} (made elsewhere)"
    assert csv_table(ours).to_csv().count("vendor.tflite") == 1
    page = markdown(ours)
    assert page.count("(made elsewhere)") == 1
    assert "- made elsewhere by Vendor's compiler 3, adopted from vendor.tflite" in page


def test_every_row_has_a_cell_for_each_heading(report: Report) -> None:
    table = figures_table(report)
    assert len(table.rows) == len(report.results)
    for row in table.rows:
        assert len(row) == len(table.columns)
        assert all(row)


def test_markdown_table_is_well_formed(report: Report) -> None:
    table = [line for line in markdown(report).splitlines() if line.startswith("|")]
    figures, ratios = table[: 2 + len(report.results)], table[2 + len(report.results) :]
    assert len(ratios) == 2 + len(report.results) - 1
    assert len({line.count("|") for line in figures}) == len({line.count("|") for line in ratios}) == 1


def test_reports_of_several_devices_stand_below_each_other_by_bundle(report: Report) -> None:
    table = merged_figures_table([("server", report), ("board", report)])
    bundles = [result.bundle for result in report.results]
    assert [row[0] for row in table.rows] == sorted(bundles * 2)
    assert [row[1] for row in table.rows] == ["server", "board"] * 3
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_cells_stand_under_their_headings(
    make_result: Callable[..., Result], figures: Callable[[Result], dict[str, str]]
) -> None:
    assert figures(make_result()) == {
        "bundle": "cells-onnx-fp32",
        "size MB": "13.6",
        "load ms": "84",
        "first ms": "21.8",
        "p50 ms": "12.35",
        "× baseline": "baseline",
        "p99 ms": "15.25",
        "end-to-end ms": "14.00",
        "images/s": "80",
        "peak MB": "210",
        "agreement": "100.00%",
        "max Δp": "3.2e-06",
        "accuracy": "95.50% (-0.50)",
    }


def test_unstable_latency_and_missing_p99_are_marked(
    make_result: Callable[..., Result],
    make_latency: Callable[..., Latency],
    figures: Callable[[Result], dict[str, str]],
) -> None:
    cells = figures(make_result(latency_ms=make_latency(warnings=(TimingWarning.SPREAD,), p99=None)))
    assert cells["p50 ms"].endswith(" ~")
    assert cells["p99 ms"] == "–"


@pytest.mark.parametrize(
    ("drop", "text"),
    [
        (0.0, "(0.00)"),
        (-0.0, "(0.00)"),
        (0.00001, "(0.00)"),
        (-0.00001, "(0.00)"),
        (0.01, "(-1.00)"),
        (-0.01, "(+1.00)"),
    ],
)
def test_change_of_accuracy_is_signed_but_zero_is_not(
    make_result: Callable[..., Result],
    make_labelled: Callable[..., Labelled],
    figures: Callable[[Result], dict[str, str]],
    drop: float,
    text: str,
    make_parity: Callable[..., ParityReport],
) -> None:
    labelled = make_labelled(change=PairedChange(200, 0, 0, drop, (drop - 0.01, drop + 0.01)))
    assert figures(make_result(parity=make_parity(labelled=labelled)))["accuracy"].endswith(text)


def test_no_negative_zero_is_printed(
    report: Report, make_labelled: Callable[..., Labelled], make_parity: Callable[..., ParityReport]
) -> None:
    """As on a set of 30,000 images of which one changed its answer."""
    change = PairedChange(30_000, 0, 1, -0.00003, (-0.00004, -0.00001))
    tiny = make_labelled(
        change=change, class_changes={"left": change}, ece_drift=-0.00001, ece_drift_ci95=(-0.00004, 0.00004)
    )
    results = [msgspec.structs.replace(report.results[0], parity=make_parity(labelled=tiny))]
    text = markdown(msgspec.structs.replace(report, results=tuple(results)))
    assert not re.search(r"-0\.00\b", text)


def test_a_class_without_images_has_no_recall_rather_than_zero(report: Report) -> None:
    assert "up –" in markdown(report)


def test_figures_without_a_reference_say_so(report: Report) -> None:
    text = markdown(report)
    assert text.count("no comparison possible") == 1
    assert text.count("McNemar") == 1


def test_the_drift_of_ece_is_told_with_its_interval(
    report: Report, make_labelled: Callable[..., Labelled], make_parity: Callable[..., ParityReport]
) -> None:
    drifted = make_parity(labelled=make_labelled(ece_drift=0.0012, ece_drift_ci95=(-0.003, 0.0051)))
    results = (msgspec.structs.replace(report.results[0], parity=drifted),)
    text = markdown(msgspec.structs.replace(report, results=results))
    assert "- ECE has drifted by +0.0012 (95 % interval -0.0030 to +0.0051)" in text


def test_classes_that_regress_are_marked(full_report: Report) -> None:
    labelled = full_report.results[1].parity.labelled
    assert labelled is not None
    left, right, up = classes_table(labelled).rows
    assert left[-1] == Cell("2.55 to 11.55", "beyond chance", "failed")
    assert [text_of(cell) for cell in right[1:4]] == ["94.00%", "80", "0.00"]
    assert list(up) == ["up", "–", "–", "–", "–"]


def test_operators_beyond_the_tenth_are_summed_up() -> None:
    operators = tuple(OperatorTime(f"Op{n}", "cpu", 1, 20.0 - n, 0.05) for n in range(13))
    table = operators_table(Profile(method="a profiler", warmup_runs=20, runs=1, operators=operators))
    assert len(table.rows) == 10 + 1
    assert list(table.rows[-1]) == ["3 other types", "15.0%", "27.000", "3", ""]
