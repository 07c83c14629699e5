"""The report folder: the document, its readable forms, and the raw truth they derive from.

::

    benchmarks/reports/<name>/
      report.json    the document
      report.md      for reading, report.html for looking, where matplotlib and Pillow are installed
      report.csv     one row per result, for spreadsheets
      junit.xml      one test per limit, for CI
      samples.json   every sample of every session, in nanoseconds
      scenarios.json the same of offline, streams and sustained runs, where there were some
      predictions/   what each bundle predicts for each image, <bundle>.npz; <bundle>@<provider>.npz where there are
                     several
"""

from pathlib import Path
from xml.etree import ElementTree

import msgspec

from bctoolkit.bench.analysis.wording import check_line
from bctoolkit.bench.documents.judgements import Check
from bctoolkit.bench.documents.predictions import Predictions
from bctoolkit.bench.documents.report import PREDICTIONS, REPORT, Report
from bctoolkit.bench.documents.samples import ScenarioSamples, SessionSamples
from bctoolkit.bench.report.markdown import markdown
from bctoolkit.bench.report.page import ResultDetails, render
from bctoolkit.bench.report.summary import summaries
from bctoolkit.bench.report.tables import csv_table
from bctoolkit.documents import Outcome, to_json
from bctoolkit.escaping.text import visible
from bctoolkit.lazy import is_installed

__all__ = ["PAGE_NEEDS", "folder", "junit", "junit_of"]

SAMPLES, SCENARIOS = "samples.json", "scenarios.json"

PAGE_NEEDS = ("matplotlib", "PIL")
"""Packages that draw the page. Where one is missing there is none: a device measures, another machine draws."""

OTHERS = ("report.md", "report.html", "report.csv", "junit.xml", SAMPLES, SCENARIOS, PREDICTIONS)
"""What the folder of a report holds besides the report itself."""


def folder(
    target: Path,
    report: Report,
    details: list[ResultDetails],
    predictions: dict[str, Predictions],
    samples: dict[str, list[SessionSamples]],
    scenarios: dict[str, ScenarioSamples],
) -> None:
    """Write every file of a report into the empty folder `target`.

    Args:
        target: the folder.
        report: the document.
        details: of each result in its order.
        predictions: by the key of the target.
        samples: of each result's sessions, by its key.
        scenarios: the samples of the scenarios, by the key of the target.
    """
    (target / REPORT).write_bytes(to_json(report))
    (target / "report.md").write_text(markdown(report), encoding="utf-8")
    if all(map(is_installed, PAGE_NEEDS)):
        (target / "report.html").write_text(render(report, details), encoding="utf-8")
    (target / "report.csv").write_text(csv_table(report).to_csv(), encoding="utf-8", newline="")
    (target / "junit.xml").write_bytes(junit(report))
    (target / SAMPLES).write_bytes(msgspec.json.encode(samples) + b"\n")
    if any(map(any, scenarios.values())):
        raw = {key: each._asdict() for key, each in scenarios.items()}
        (target / SCENARIOS).write_bytes(msgspec.json.encode(raw) + b"\n")
    (target / PREDICTIONS).mkdir()
    for key, each in predictions.items():
        each.save(target / PREDICTIONS / f"{key}.npz")


def junit(report: Report) -> bytes:
    """One suite per result and one test per limit; a limit that is undecided counts as skipped.

    Without a budget a result is one test, that it could be measured. A bundle that could not is an error.
    """
    return junit_of([("", report)])


def junit_of(reports: list[tuple[str, Report]]) -> bytes:
    """The same of several reports, each with what the names of its suites begin with."""
    root = ElementTree.Element("testsuites", name="bctk bench")
    for prefix, summary in ((prefix, summary) for prefix, report in reports for summary in summaries(report)):
        title = visible(prefix + summary.title)  # XML has no form for control characters
        outcomes = [check.outcome for check in summary.checks]
        suite = ElementTree.SubElement(root, "testsuite", name=title, tests=str(max(1, len(outcomes))))
        suite.set("failures", str(outcomes.count(Outcome.FAILED)))
        suite.set("skipped", str(outcomes.count(Outcome.UNDECIDED)))
        suite.set("errors", str(int(bool(summary.failure))))
        for check in summary.checks:
            _junit_check(suite, title, check)
        if not summary.checks:
            case = ElementTree.SubElement(suite, "testcase", classname=title, name="measured")
            if summary.failure:
                ElementTree.SubElement(case, "error", message=visible(summary.failure))
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _junit_check(suite: ElementTree.Element, name: str, check: Check) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=name, name=visible(check.name))
    if check.outcome is not Outcome.PASSED:
        kind = "failure" if check.outcome is Outcome.FAILED else "skipped"
        ElementTree.SubElement(case, kind, message=visible(check_line(check)))
