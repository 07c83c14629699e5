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
import numpy as np

from bctoolkit.bench.analysis.parity import Answered
from bctoolkit.bench.configurations import Case, Subject, image_key
from bctoolkit.bench.documents.report import ANSWERS, REPORT, Check, Outcome, Report, Result, Settings
from bctoolkit.bench.report import page, scenario_tables, tables
from bctoolkit.bench.report import robustness_section as robust_page
from bctoolkit.bench.report.page import Evidence
from bctoolkit.bench.rounds import Observed
from bctoolkit.bench.worker.jobs import Answer
from bctoolkit.bundle import Bundle
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset
from bctoolkit.documents import to_json

__all__ = ["answers_key", "csv_rows", "folder", "junit", "sample_key", "scenarios"]

SAMPLES, SCENARIOS = "samples.json", "scenarios.json"


def folder(
    target: Path,
    report: Report,
    answered: dict[Subject, Answered],
    sessions: dict[Case, list[Answer]],
    opened: list[Bundle],
    datasets: dict[InputContract, Dataset],
) -> None:
    """Write every file of a report into the empty folder `target`.

    Args:
        target: the folder.
        report: the document.
        answered: each subject's answers.
        sessions: the raw samples.
        opened: the bundles, in the order that the cases count.
        datasets: the labelled images, by how they were prepared.
    """
    evidence = [
        Evidence(
            [np.array(answer.model, np.float64) / 1e6 for answer in answers],
            opened[case.bundle],
            answered[case.subject],
            datasets.get(image_key(opened[case.bundle])),
        )
        for case, answers in sessions.items()
    ]
    raw = {
        sample_key(opened[case.bundle].manifest.name, case, report.settings): answers
        for case, answers in sessions.items()
    }
    (target / REPORT).write_bytes(to_json(report))
    (target / "report.md").write_text(tables.markdown(report) + robust_page.markdown(report), encoding="utf-8")
    (target / "report.html").write_text(page.render(report, evidence), encoding="utf-8")
    (target / "report.csv").write_text(csv_rows(report), encoding="utf-8", newline="")
    (target / "junit.xml").write_bytes(junit(report))
    (target / SAMPLES).write_bytes(msgspec.json.encode(raw) + b"\n")
    (target / ANSWERS).mkdir()
    for subject, answers in answered.items():
        key = answers_key(opened[subject.bundle].manifest.name, subject, report.settings)
        answers.save(target / ANSWERS / f"{key}.npz")


def scenarios(target: Path, settings: Settings, opened: list[Bundle], observed: dict[Subject, Observed]) -> None:
    """Write the raw samples of the scenarios; nothing where there were none."""
    if any(map(any, observed.values())):
        raw = {
            answers_key(opened[subject.bundle].manifest.name, subject, settings): each._asdict()
            for subject, each in observed.items()
        }
        (target / SCENARIOS).write_bytes(msgspec.json.encode(raw) + b"\n")


def answers_key(bundle: str, subject: Subject, settings: Settings) -> str:
    """The name of a subject among the answers."""
    return f"{bundle}@{subject.provider}" if len(settings.providers) > 1 else bundle


def sample_key(bundle: str, case: Case, settings: Settings) -> str:
    """The name of a case among the samples."""
    return answers_key(bundle, case.subject, settings) + (f"@{case.threads}" if settings.sweep else "")


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
        name = tables.title(result, report.settings)
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
        name = tables.failed(failure)
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
        ElementTree.SubElement(case, kind, message=tables.check_words(check))
