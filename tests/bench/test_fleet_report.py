"""The report of several machines: what is stored, what is laid out, and that each reader of one report reads it."""

import json
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from bctoolkit.bench.analysis.choose import choose_best
from bctoolkit.bench.analysis.compare import compare_reports, merged, same_devices
from bctoolkit.bench.documents import stored
from bctoolkit.bench.documents.fleet import DeviceFailure, DeviceReport, Fleet
from bctoolkit.bench.documents.report import Report
from bctoolkit.bench.report.fleet import told, write
from bctoolkit.bench.report.relative import ratio_text
from bctoolkit.documents import to_json
from bctoolkit.errors import RecipeError
from bctoolkit.recipes import Budget

STORED = Path(__file__).parents[1] / "stored" / "fleet.json"
"""As it must keep being read: two machines, and one that was not measured."""


@pytest.fixture
def fleet(report: Report) -> Fleet:
    machine = msgspec.structs.replace(report.machine, cpu="Cortex-A76 <b>|")
    other = msgspec.structs.replace(report, machine=machine)
    devices = (DeviceReport("local", "local", report), DeviceReport("pi@rack-22", "ssh://pi@rack:22", other))
    failures = (DeviceFailure("phone", "ssh://phone", "ssh://phone: cannot be reached (no route to host)"),)
    return Fleet(created="2026-01-02T03:04:05+00:00", devices=devices, unmeasured=failures)


def test_a_stored_fleet_is_read() -> None:
    reports = stored.read_all(STORED)
    assert [each.name for each in reports] == ["local", "pi@rack-22"]
    assert all(each.report.results for each in reports)
    assert reports[1].folder == STORED.parent / "devices" / "pi@rack-22"
    with pytest.raises(RecipeError, match="holds the reports of several machines; name one"):
        stored.read(STORED)


def test_what_is_written_is_read_back(fleet: Fleet, tmp_path: Path) -> None:
    write(tmp_path, fleet)
    assert [each.report for each in stored.read_all(tmp_path)] == [device.report for device in fleet.devices]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "junit.xml",
        "report.csv",
        "report.html",
        "report.json",
        "report.md",
    ]


def test_each_machine_has_its_section_and_the_missing_one_its_reason(fleet: Fleet, tmp_path: Path) -> None:
    write(tmp_path, fleet)
    text, page = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    assert "\n## local\n" in text
    assert "\n## pi@rack-22\n" in text
    assert "cannot be reached (no route to host)" in text
    assert "no route to host" in page
    assert "Cortex-A76 &lt;b&gt;|" in page
    assert "<b>" not in page
    rows = (tmp_path / "report.csv").read_text().splitlines()
    assert rows[0].startswith("device,bundle,")
    assert len(rows) == 1 + sum(len(device.report.results) for device in fleet.devices)
    suites = [suite.get("name") for suite in ElementTree.parse(tmp_path / "junit.xml").getroot()]
    assert "pi@rack-22: cells-onnx-fp32" in suites


def test_ratios_are_those_within_each_machine(fleet: Fleet, tmp_path: Path) -> None:
    write(tmp_path, fleet)
    text, page = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    for device in fleet.devices:
        ratios = [ratio_text(result.relative.latency) for result in device.report.results if result.relative]
        assert ratios
        assert all(ratio in text and ratio in page for ratio in ratios)
        assert text.count(f"Relative to {device.report.baseline}") == len(fleet.devices)


def test_verdicts_and_warnings_name_their_bundle(fleet: Fleet, full_report: Report) -> None:
    lines = told(msgspec.structs.replace(fleet.devices[0], report=full_report))
    assert any("verdict failed" in line for line in lines)
    assert any("SIGKILL" in line for line in lines)


def test_a_choice_must_hold_on_every_machine(fleet: Fleet, tmp_path: Path) -> None:
    slow = fleet.devices[1].report
    latency = msgspec.structs.replace(slow.results[0].latency_ms, p50=900.0, ci95_p50=(890.0, 910.0))
    slow = msgspec.structs.replace(
        slow, results=(msgspec.structs.replace(slow.results[0], latency_ms=latency), *slow.results[1:])
    )
    devices = (fleet.devices[0], msgspec.structs.replace(fleet.devices[1], report=slow))
    write(tmp_path, msgspec.structs.replace(fleet, devices=devices))
    choice = choose_best(stored.read_all(tmp_path), Budget(device="any", max_p50_ms=500.0))
    (first,) = [each for each in choice.candidates if each.bundle == slow.results[0].bundle]
    assert first.outcome == "failed"
    assert first.reasons[0].startswith("pi@rack-22: max_p50_ms")


def test_fleets_are_compared_machine_by_machine(fleet: Fleet, tmp_path: Path) -> None:
    write(tmp_path, fleet)
    reports = stored.read_all(tmp_path)
    pairs = same_devices(reports, reports[::-1])
    assert [(old.name, new.name) for old, new in pairs] == [("pi@rack-22",) * 2, ("local",) * 2]
    comparison = merged({new.name: compare_reports(old, new, 0.03) for old, new in pairs})
    assert not comparison.worse
    assert {change.bundle.partition(": ")[0] for change in comparison.changes} == {"local", "pi@rack-22"}
    with pytest.raises(RecipeError, match="pi@rack-22 was measured in one of the two"):
        same_devices(reports, reports[:1])


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".."])
def test_a_machine_of_others_names_no_path(fleet: Fleet, tmp_path: Path, name: str) -> None:
    raw = json.loads(to_json(fleet))
    raw["devices"][0]["name"] = name
    (tmp_path / "report.json").write_text(json.dumps(raw))
    with pytest.raises(RecipeError, match="name"):
        stored.read_all(tmp_path)
