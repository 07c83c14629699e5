"""The report folder: the document, its readable forms, and the raw truth they derive from.

::

    benchmarks/reports/<name>/
      report.json    the document
      report.md      for reading, report.html for looking
      report.csv     one row per result, for spreadsheets
      junit.xml      one test per limit, for CI
      samples.json   every sample of every session, in nanoseconds
      scenarios.json the same of offline, streams and sustained runs, where they were asked for
      answers/       what each bundle said of each image, <bundle>.npz; <bundle>@<provider>.npz where there are several
"""

import csv
import io
from pathlib import Path
from xml.etree import ElementTree

import msgspec

from bctoolkit.bench.analysis import wording
from bctoolkit.bench.documents.predictions import Answered
from bctoolkit.bench.documents.report import ANSWERS, REPORT, Check, Outcome, Report, Result
from bctoolkit.bench.documents.samples import Answer, Observed
from bctoolkit.bench.report import page, robustness_section, scenario_tables, tables
from bctoolkit.bench.report.page import Evidence
from bctoolkit.documents import to_json

__all__ = ["csv_rows", "folder", "junit", "scenarios"]

SAMPLES, SCENARIOS = "samples.json", "scenarios.json"


def folder(
    target: Path,
    report: Report,
    evidence: list[Evidence],
    answered: dict[str, Answered],
    samples: dict[str, list[Answer]],
) -> None:
    """Write every file of a report into the empty folder `target`.

    Args:
        target: the folder.
        report: the document.
        evidence: of each result in its order.
        answered: the answers to images, by the name of their file.
        samples: the raw samples of each result's sessions, by its name.
    """
    (target / REPORT).write_bytes(to_json(report))
    (target / "report.md").write_text(tables.markdown(report) + robustness_section.markdown(report), encoding="utf-8")
    (target / "report.html").write_text(page.render(report, evidence), encoding="utf-8")
    (target / "report.csv").write_text(csv_rows(report), encoding="utf-8", newline="")
    (target / "junit.xml").write_bytes(junit(report))
    (target / SAMPLES).write_bytes(msgspec.json.encode(samples) + b"\n")
    (target / ANSWERS).mkdir()
    for key, answers in answered.items():
        answers.save(target / ANSWERS / f"{key}.npz")


def scenarios(target: Path, observed: dict[str, Observed]) -> None:
    """Write the raw samples of the scenarios by the name of what gave them; nothing where there were none."""
    if any(map(any, observed.values())):
        raw = {key: each._asdict() for key, each in observed.items()}
        (target / SCENARIOS).write_bytes(msgspec.json.encode(raw) + b"\n")


def csv_rows(report: Report) -> str:
    """One line per result; what was not measured is empty."""
    rows = [_flat(result) for result in report.results]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _flat(result: Result) -> dict[str, object]:
    latency, whole, labelled = result.latency_ms, result.end_to_end_ms, result.parity.labelled
    robust = None if labelled is None else labelled.robustness
    return {
        "bundle": result.bundle,
        "format": result.format,
        "quantization": result.quantization,
        "provider": result.provider,
        "threads": result.threads,
        "batch": result.batch,
        "size_bytes": result.size_bytes,
        "load_ms": result.load_ms,
        "first_ms": result.first_ms,
        "p50_ms": latency.p50,
        "p50_ms_low": latency.ci95_p50[0],
        "p50_ms_high": latency.ci95_p50[1],
        "p90_ms": latency.p90,
        "p99_ms": latency.p99,
        "stable": latency.stable,
        "unstable": ", ".join(latency.unstable),
        "end_to_end_p50_ms": whole.p50,
        "throughput_per_s": result.throughput_per_s,
        "peak_rss_bytes": result.peak_rss_bytes,
        "steady_rss_bytes": result.steady_rss_bytes,
        "golden_agreement": result.parity.golden.top1_agreement,
        "golden_max_abs_diff": result.parity.golden.max_abs_diff,
        "accuracy": None if labelled is None else labelled.accuracy,
        "accuracy_drop": None if labelled is None else labelled.accuracy_drop,
        "worst_recall_drop": None if labelled is None else labelled.worst_recall_drop,
        "corruption_accuracy": None if robust is None else robust.accuracy,
        "corruption_drop": None if robust is None else robust.drop,
        "corruption_excess": None if robust is None else robust.excess,
        "outcome": None if result.verdict is None else result.verdict.outcome,
        **scenario_tables.columns(result),
    }


def junit(report: Report) -> bytes:
    """One suite per result and one test per limit; a limit that is undecided counts as skipped.

    Without a budget a result is one test, that it could be measured. A bundle that could not is an error.
    """
    root = ElementTree.Element("testsuites", name="bctk bench")
    for result in report.results:
        name = wording.title(result, report.settings)
        checks = () if result.verdict is None else result.verdict.checks
        suite = ElementTree.SubElement(root, "testsuite", name=name, tests=str(max(1, len(checks))))
        suite.set("failures", str(sum(check.outcome is Outcome.FAILED for check in checks)))
        suite.set("skipped", str(sum(check.outcome is Outcome.UNDECIDED for check in checks)))
        suite.set("errors", "0")
        for check in checks:
            _junit_check(suite, name, check)
        if not checks:
            ElementTree.SubElement(suite, "testcase", classname=name, name="measured")
    for failure in report.failures:
        name = wording.failed(failure)
        suite = ElementTree.SubElement(root, "testsuite", name=name, tests="1", failures="0", skipped="0")
        suite.set("errors", "1")
        case = ElementTree.SubElement(suite, "testcase", classname=name, name="measured")
        ElementTree.SubElement(case, "error", message=failure.message)
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _junit_check(suite: ElementTree.Element, name: str, check: Check) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=name, name=check.name)
    if check.outcome is not Outcome.PASSED:
        kind = "failure" if check.outcome is Outcome.FAILED else "skipped"
        ElementTree.SubElement(case, kind, message=wording.check_words(check))
