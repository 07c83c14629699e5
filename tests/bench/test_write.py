"""The report for spreadsheets and for CI."""

import csv
import io
from xml.etree import ElementTree

import msgspec

from bctoolkit.bench.documents.report import Report
from bctoolkit.bench.report.markdown import markdown
from bctoolkit.bench.report.tables import csv_table
from bctoolkit.bench.report.write import junit
from bctoolkit.escaping.text import hidden, visible


def test_csv_has_a_row_for_each_result_and_empty_cells_for_what_was_not_measured(full_report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_table(full_report).to_csv())))
    assert [row["bundle"] for row in rows] == [result.bundle for result in full_report.results]
    first, second, third = rows
    assert float(first["p50_ms"]) == full_report.results[0].latency_ms.p50
    assert (first["outcome"], second["outcome"], third["outcome"]) == ("", "failed", "passed")
    assert second["warnings"] == "spread"
    assert third["accuracy"] == ""
    assert "None" not in csv_table(full_report).to_csv()


def test_what_others_wrote_is_text_in_every_form(full_report: Report) -> None:
    """Names are checked where they are read; what engines and files say of themselves is not."""
    hostile = "=1+1\x1b[2J\u202e<script>[x](javascript:1)\x00\ud800"
    failure = msgspec.structs.replace(full_report.failures[0], bundle=hostile, message=hostile)
    theirs = msgspec.structs.replace(full_report.results[0], provider=hostile)
    report = msgspec.structs.replace(full_report, results=(theirs, *full_report.results[1:]), failures=(failure,))
    (error,) = ElementTree.fromstring(junit(report)).iter("error")
    assert error.get("message") == visible(hostile)
    for text in (markdown(report), csv_table(report).to_csv(), junit(report).decode()):
        assert not any(hidden(each) for each in text if each not in "\r\n")
    assert "<script" not in markdown(report)
    assert "[x](" not in markdown(report)
    assert not any(cell.startswith("=") for row in csv.reader(io.StringIO(csv_table(report).to_csv())) for cell in row)


def test_junit_has_a_test_for_each_limit(full_report: Report) -> None:
    root = ElementTree.fromstring(junit(full_report))
    suites = {suite.get("name"): suite for suite in root}
    judged = suites["cells-onnx-int8-dynamic"]
    assert [judged.get(name) for name in ("tests", "failures", "skipped", "errors")] == ["3", "1", "2", "0"]
    cases = {case.get("name"): [child.tag for child in case] for case in judged}
    assert cases == {"max_p50_ms": ["skipped"], "min_top1_agreement": ["skipped"], "max_size_mb": ["failure"]}
    [failure] = judged.iter("failure")
    assert failure.get("message") == "max_size_mb 3: 3.4 fails"
    assert suites["cells-tflite-fp32"].get("failures") == "0"
    assert [case.get("name") for case in suites["cells-onnx-fp32"]] == ["measured"]
    assert suites["cells-tflite-int8"].get("errors") == "1"
