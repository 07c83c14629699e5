"""Devices: several side by side, what a figure is relative to, and what could not be measured."""

import json
import re
from pathlib import Path

from bctoolkit.dossier import write
from bctoolkit.dossier.evidence import Evidence, SourceFile
from bctoolkit.dossier.sections.devices import fingerprint, ratios
from tests.support.bundles import SIGNED
from tests.support.dossiers import edit, report_of
from tests.support.figures import Page, require_figure, unlinked_numbers


def test_several_machines_stand_side_by_side(tmp_path: Path) -> None:
    reports = [report_of(SIGNED, tmp_path / name) for name in ("desk", "pi")]
    edit(reports[1] / "report.json", lambda raw: raw["machine"].update(cpu="Cortex-A76"))
    write(SIGNED, tmp_path / "dossier", reports=reports)
    page = Page(tmp_path / "dossier")
    for figure in page.figures:
        require_figure(tmp_path / "dossier", figure)
    assert unlinked_numbers(page) == []
    text = re.sub(r"\s+", " ", page.text)
    overview = text[text.index("median latency of the model alone") :]
    assert re.match(r".*Example CPU @ 2.50GHz.*12.3.*Cortex-A76.*12.3.*", overview)
    labels = [attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg"]
    assert labels.count("median latency") == 2


def test_what_could_not_be_measured_is_told(tmp_path: Path) -> None:
    report = report_of(SIGNED, tmp_path / "report")
    failure = {"format": "onnx", "quantization": "fp32", "provider": "cuda", "message": "no such device"}
    names = (json.loads((report / "report.json").read_bytes())["results"][0]["bundle"], "another")
    edit(report / "report.json", lambda raw: raw.update(failures=[failure | {"bundle": name} for name in names]))
    write(SIGNED, tmp_path / "dossier", reports=[report])
    text = Page(tmp_path / "dossier").text
    assert f"Could not be measured: {names[0]} on cuda: no such device" in text
    assert "Could not be measured: another" not in text


def test_ratios_to_a_baseline_stand_with_their_intervals() -> None:
    relative = {
        "baseline": "cells-onnx-fp32",
        "latency": {"value": 0.47, "ci95": [0.45, 0.49]},
        "cold_start": {"value": 1.5, "ci95": None},
    }
    result = Evidence(SourceFile("report-1.json", b"", "a report"), {"relative": relative})
    markup = ratios(result)
    told = re.sub(r"<[^>]*>", " ", markup)
    assert re.search(r"model alone\s+0\.47\s+0\.45\s+to\s+0\.49\s", told)
    assert re.search(r"loading and first inference\s+1\.5\s+–\s", told)
    assert "end_to_end" not in markup
    assert 'data-at="/relative/latency/ci95/1"' in markup
    assert markup.count('class="limit"') == 2  # each strip shows where the baseline is
    assert markup.count('class="whisker"') == 1


def test_without_a_baseline_there_are_no_ratios() -> None:
    assert ratios(Evidence(SourceFile("report-1.json", b"", "a report"), {"relative": None})) == ""


def test_the_machine_of_a_result_in_a_joined_report_is_its_own(tmp_path: Path) -> None:
    report = Evidence(SourceFile("report-1.json", b"", "a report"), {"machine": {"cpu": "desk"}})
    alone, joined = (Evidence(report.source, value, ("results", 0)) for value in ({}, {"machine": {"cpu": "pi"}}))
    assert fingerprint(report, alone).get("cpu") == "desk"
    assert fingerprint(report, joined).get("cpu") == "pi"
