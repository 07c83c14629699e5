"""The report as people read it, held against a stored copy."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bctoolkit.bench.documents.report import Labelled, Latency, ParityReport, Report, Result
from bctoolkit.bench.report.tables import HEADINGS, markdown, row
from bctoolkit.statistics.metrics import Parity

SNAPSHOTS = Path(__file__).parent / "snapshots"
GOLDEN = Parity(64, 1.0, 0.0, 0.0)


def test_markdown_reads_as_the_stored_copy(report: Report) -> None:
    assert markdown(report) == (SNAPSHOTS / "report.md").read_text(encoding="utf-8")


def test_markdown_of_all_that_is_measured_reads_as_the_stored_copy(full_report: Report) -> None:
    assert markdown(full_report) == (SNAPSHOTS / "full.md").read_text(encoding="utf-8")


def test_every_row_has_a_cell_for_each_heading(report: Report) -> None:
    for result in report.results:
        cells = row(result)
        assert len(cells) == len(HEADINGS)
        assert all(cells)


def test_markdown_table_is_well_formed(report: Report) -> None:
    table = [line for line in markdown(report).splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(report.results)
    assert {line.count("|") for line in table} == {len(HEADINGS) + 1}


def test_cells_stand_under_their_headings(make_result: Callable[..., Result]) -> None:
    cells = dict(zip(HEADINGS, row(make_result()), strict=True))
    assert cells == {
        "bundle": "cells-onnx-fp32",
        "size MB": "13.6",
        "load ms": "84",
        "first ms": "21.8",
        "p50 ms": "12.35",
        "p99 ms": "15.25",
        "end-to-end ms": "14.00",
        "images/s": "80",
        "peak MB": "210",
        "agreement": "100.00%",
        "max Δp": "3.2e-06",
        "accuracy": "95.50% (-0.50)",
    }


def test_unstable_latency_and_missing_p99_are_marked(
    make_result: Callable[..., Result], make_latency: Callable[..., Latency]
) -> None:
    cells = dict(zip(HEADINGS, row(make_result(latency_ms=make_latency(stable=False, p99=None))), strict=True))
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
    make_result: Callable[..., Result], make_labelled: Callable[..., Labelled], drop: float, text: str
) -> None:
    cell = row(make_result(parity=ParityReport(GOLDEN, "real", make_labelled(accuracy_drop=drop))))[-1]
    assert cell.endswith(text)


def test_no_negative_zero_is_printed(report: Report, make_labelled: Callable[..., Labelled]) -> None:
    """As on a set of 30,000 images of which one changed its answer."""
    tiny = make_labelled(
        accuracy_drop=-0.00003, accuracy_drop_ci95=(-0.00004, -0.00001), worst_recall_drop=-0.00001, ece_drift=-0.00001
    )
    results = [msgspec.structs.replace(report.results[0], parity=ParityReport(GOLDEN, "real", tiny))]
    text = markdown(msgspec.structs.replace(report, results=tuple(results)))
    assert "-0.00" not in text


def test_a_class_without_images_has_no_recall_rather_than_zero(report: Report) -> None:
    assert "up –" in markdown(report)


def test_figures_that_stand_alone_say_so(report: Report) -> None:
    text = markdown(report)
    assert text.count("the figures stand alone") == 1
    assert text.count("McNemar") == 1


def test_the_drift_of_ece_is_told_with_its_interval(report: Report, make_labelled: Callable[..., Labelled]) -> None:
    drifted = ParityReport(GOLDEN, "real", make_labelled(ece_drift=0.0012, ece_drift_ci95=(-0.003, 0.0051)))
    results = (msgspec.structs.replace(report.results[0], parity=drifted),)
    text = markdown(msgspec.structs.replace(report, results=results))
    assert "- ECE has drifted by +0.0012 (95 % interval -0.0030 to +0.0051)" in text
