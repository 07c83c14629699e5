"""The scenarios as people read them, in Markdown and on the page."""

import msgspec
import pytest

from bctoolkit.bench.documents.measurements import Batch, Energy, MultiStream, Offline, Sustained, TimingWarning, Window
from bctoolkit.bench.documents.report import Report
from bctoolkit.bench.report import scenario_section
from bctoolkit.bench.report.markdown import markdown
from bctoolkit.bench.report.scenario_tables import SOURCES, scenario_columns, scenario_tables


def batch(size: int, rate: float, **changes: object) -> Batch:
    usual = Batch(
        batch=size,
        images_per_s=rate,
        ci95_images_per_s=(0.9 * rate, 1.1 * rate),
        p50_ms=1000 * size / rate,
        samples=50,
        peak_rss_bytes=size * 1_000_000,
        top1_agreement=1.0,
    )
    return msgspec.structs.replace(usual, **changes)


@pytest.fixture
def measured(full_report: Report) -> Report:
    """The first result in every scenario on a system that tells all, the third on one that tells nothing."""
    first, second, third = full_report.results
    energy = Energy(source="package", joules=12.5, mj_per_inference=8.25, ci95=(8.0, 8.5))
    free = Offline(
        batches=(batch(1, 80.0), batch(2, 120.0), batch(4, 124.0, top1_agreement=0.5, violations=("top-1 agreement",))),
        knee=2,
        knee_range=(1, 2),
        stop_reason="256 is the largest",
        warnings=(TimingWarning.LOAD,),
    )
    fixed = Offline(batches=(batch(1, 80.0),), fixed_batch=1, knee=1, knee_range=(1, 1))
    streams = MultiStream(
        streams=4,
        threads=1,
        latency_ms=first.latency_ms,
        images_per_s=200.0,
        ci95_images_per_s=(190.0, 210.0),
        ratio=2.5,
        ci95_ratio=(2.4, 2.6),
        peak_rss_bytes=400_000_000,
    )
    hot = Sustained(
        minutes=2.0,
        samples=1200,
        p50_ms=12.0,
        p99_ms=15.0,
        slow_down=1.25,
        warnings=(TimingWarning.THROTTLING,),
        windows=(Window(60.0, 1100, 11.0, 14.0, 2500.0, 50.0), Window(120.0, 100, 13.75, None, 1500.0, 90.0)),
        energy=msgspec.structs.replace(energy, source="battery", ci95=None),
    )
    silent = Sustained(
        minutes=0.5,
        samples=20,
        p50_ms=12.0,
        p99_ms=None,
        slow_down=None,
        windows=(Window(30.0, 20, 12.0, None, None, None),),
    )
    results = (
        msgspec.structs.replace(first, offline=free, multi_stream=streams, sustained=hot, energy=energy),
        second,
        msgspec.structs.replace(third, offline=fixed, sustained=silent),
    )
    return msgspec.structs.replace(full_report, results=results)


def test_only_what_was_measured_has_a_table(full_report: Report, measured: Report) -> None:
    assert scenario_tables(full_report) == []
    assert "Multi-stream" not in markdown(full_report)
    assert list(scenario_section.sections(full_report)) == []
    assert [table.title for table in scenario_tables(measured)] == ["Offline", "Multi-stream", "Sustained", "Energy"]
    for table in scenario_tables(measured):
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_the_knee_and_what_limits_a_batch_are_told(measured: Report) -> None:
    offline = scenario_tables(measured)[0]
    rows = offline.rows
    assert [row[-1] for row in rows] == ["", "knee (1 to 2)", "", "knee (1 to 1)"]
    assert offline.notes == (
        "cells-onnx-fp32: batches of 4 differ from single images, so they are no knee: top-1 agreement",
        "cells-onnx-fp32: no batch above 4: 256 is the largest",
        f"cells-onnx-fp32: {TimingWarning.LOAD.advice}",
        "cells-tflite-fp32: the format's graph takes 1 image at a time, so there are no other batches",
    )
    assert rows[0][1:4] == ("1", "80.0 ~", "72.0–88.0")


def test_what_the_system_does_not_tell_is_a_dash(measured: Report) -> None:
    reported, silent = scenario_tables(measured)[2].rows
    assert reported[5:] == ("1.250", "2500→1500→1500", "50→90→90", "throttling")
    assert silent[4:] == ("–", "–", "–", "–", "none")


def test_a_clock_that_stands_is_one_figure(measured: Report) -> None:
    first = measured.results[0]
    assert first.sustained is not None
    steady = msgspec.structs.replace(first.sustained, windows=(Window(60.0, 1200, 12.0, 15.0, 2596.1, None),) * 3)
    report = msgspec.structs.replace(measured, results=(msgspec.structs.replace(first, sustained=steady),))
    assert scenario_tables(report)[2].rows[0][6:8] == ("2596", "–")


def test_energy_says_what_was_counted(measured: Report) -> None:
    assert scenario_tables(measured)[3].rows == [
        ("cells-onnx-fp32", "single-stream", "processors (RAPL)", "12.5", "8.25", "8.00–8.50"),
        ("cells-onnx-fp32", "sustained", "whole machine (battery)", "12.5", "8.25", "–"),
    ]


def test_spreadsheets_have_them_in_columns(measured: Report) -> None:
    first, second, _ = (scenario_columns(result) for result in measured.results)
    assert list(first) == list(second)
    assert set(second.values()) == {None}
    assert (first["offline_knee"], first["offline_images_per_s"], first["streams_ratio"]) == (2, 120.0, 2.5)
    assert (first["slow_down"], first["energy_mj"], first["energy_source"]) == (1.25, 8.25, "package")


def test_the_page_has_plots_of_what_the_system_tells(measured: Report) -> None:
    offline, streams, sustained, energy = scenario_section.sections(measured)
    assert [part.count("<svg") for part in (offline, streams, sustained, energy)] == [1, 0, 3, 0]
    silent = msgspec.structs.replace(measured, results=measured.results[2:])
    assert [part.count("<svg") for part in scenario_section.sections(silent)] == [1, 1]
    assert "temperature over a sustained run" in sustained
    assert "http" not in "".join(scenario_section.sections(measured))


def test_markdown_has_a_heading_and_a_table_of_each(measured: Report) -> None:
    lines = markdown(measured).splitlines()
    assert [line for line in lines if line.startswith("## ")][:5] == [
        "## Relative to cells-onnx-fp32", "## Offline", "## Multi-stream", "## Sustained", "## Energy",
    ]  # fmt: skip
    assert "| cells-tflite-fp32 | 0.5 | 20 | 12.00 | – | – | – | – | none |" in lines


def test_names_cannot_become_markup(measured: Report) -> None:
    hostile = msgspec.structs.replace(measured.results[0], bundle="<script>x")
    report = msgspec.structs.replace(measured, results=(hostile,))
    assert "<script" not in "".join(scenario_section.sections(report))


def test_every_source_of_energy_has_its_words() -> None:
    assert set(SOURCES) == {"package", "battery"}
