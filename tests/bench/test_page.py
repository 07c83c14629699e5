"""The report's page: whole, self-contained, the verdict first, and safe with any name."""

from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.bench.documents.measurements import TimingWarning
from bctoolkit.bench.documents.predictions import LabelledPredictions, Predictions
from bctoolkit.bench.documents.report import Report
from bctoolkit.bench.report.page import METHOD, ResultDetails, render
from bctoolkit.data import Dataset

VOID = {"meta", "img", "rect", "line", "path", "use"}


class Reader(HTMLParser):
    """Collects text, tags, links and ids, and checks that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.headings: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [value or "" for name, value in attributes if name in ("src", "href")]
        self.ids += [value or "" for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def details(bundle: Path, tiny_data: Dataset) -> list[ResultDetails]:
    """The same bundle three times: with the reference's answers, without, and on golden images alone."""
    rng = np.random.default_rng(0)
    opened = bundles.read(bundle)
    golden = opened.golden().probabilities
    reference = rng.dirichlet(np.ones(3), 30).astype(np.float32)
    spoilt = reference.copy()
    spoilt[4] = spoilt[4, ::-1]
    hashes, labels = tiny_data.hashes[:30], tiny_data.labels[:30]
    answers = (
        LabelledPredictions(hashes, labels, spoilt, reference),
        LabelledPredictions(hashes, labels, spoilt, None),
        None,
    )
    samples = [[12 + rng.gamma(2, 0.3, 200) for _ in range(5)] for _ in answers]
    return [
        ResultDetails(
            times, opened, Predictions(golden, labelled_predictions), tiny_data if labelled_predictions else None
        )
        for times, labelled_predictions in zip(samples, answers, strict=True)
    ]


def test_the_page_carries_everything_with_it(full_report: Report, details: list[ResultDetails]) -> None:
    page = render(full_report, details)
    reader = read(page)
    assert "http" not in page
    assert "@import" not in page
    assert "<script" not in page
    assert all(link.startswith(("data:image/jpeg;base64,", "#")) for link in reader.links)
    assert len(page) < 3_000_000


def test_the_verdict_comes_first_and_every_part_is_there(full_report: Report, details: list[ResultDetails]) -> None:
    reader = read(render(full_report, details))
    assert reader.headings[0] == "Verdict"
    expected = ["Figures", "Relative to cells-onnx-fp32", "Limits", "Accuracy, latency, size", "Latency",
                "Classes", "Confusion matrices", "Reliability", "Machine and settings",
                "How each number was computed"]  # fmt: skip
    assert [heading for heading in reader.headings if heading in expected] == expected
    assert sum("differs most" in heading for heading in reader.headings) == 3
    assert reader.seen.count("svg") == 4 + 3  # plots, and the reliability of the reference and two bundles
    assert all(name in reader.text for name, _ in METHOD)


def test_outcomes_failures_and_classes_that_lose_are_told(full_report: Report, details: list[ResultDetails]) -> None:
    text = read(render(full_report, details)).text
    assert "cells-onnx-int8-dynamic: failed" in text
    assert "recall regressed beyond chance: left by 5.83 points" in text
    assert "cells-tflite-fp32: passed" in text
    assert "cells-onnx-fp32: no budget given" in text
    assert "its process ended with SIGKILL" in text
    assert text.count(TimingWarning.SPREAD.advice) == 1
    assert "max_p50_ms 20: 6 to 8 undecided (unstable)" in text


def test_without_a_budget_one_line_says_so(full_report: Report, details: list[ResultDetails]) -> None:
    free = tuple(msgspec.structs.replace(result, verdict=None) for result in full_report.results)
    reader = read(render(msgspec.structs.replace(full_report, results=free), details))
    assert reader.text.count("no budget given") == 1
    assert "Limits" not in reader.headings
    assert "recall regressed beyond chance: left by 5.83 points" in reader.text
    assert "its process ended with SIGKILL" in reader.text


def test_every_limit_is_listed_kept_or_not(full_report: Report, details: list[ResultDetails]) -> None:
    page = render(full_report, details)
    section = page[page.index("<h2>Limits") : page.index("<h2>Accuracy")]
    assert section.count("<tbody><tr>") == 2
    assert [name for name in ("passed", "failed", "undecided") if f"outcome {name}" in section] == [
        "passed",
        "failed",
        "undecided",
    ]


def test_no_two_things_share_an_id(full_report: Report, details: list[ResultDetails]) -> None:
    ids = [name for name in read(render(full_report, details)).ids if not name.startswith(("figure", "axes", "patch"))]
    clips = [name for name in ids if name.startswith("p") and len(name) > 8]
    assert len(clips) == len(set(clips))


def test_the_same_report_gives_the_same_page(full_report: Report, details: list[ResultDetails]) -> None:
    assert render(full_report, details) == render(full_report, details)


@pytest.mark.parametrize("name", ["<script>alert(1)", '"><marquee title="x"> & more'])
def test_names_cannot_become_markup(full_report: Report, details: list[ResultDetails], name: str) -> None:
    first, *rest = full_report.results
    labelled = first.parity.labelled
    assert labelled is not None
    change = labelled.change
    spoilt = msgspec.structs.replace(
        labelled, source=name, recall={name: 0.5}, regressed_classes=(name,), class_changes={name: change}
    )
    hostile = msgspec.structs.replace(first, bundle=name, parity=msgspec.structs.replace(first.parity, labelled=spoilt))
    reader = read(render(msgspec.structs.replace(full_report, results=(hostile, *rest)), details))
    assert not {"script", "marquee"} & set(reader.seen)
    assert name in reader.text


def test_a_phone_paper_and_a_dark_room_are_thought_of(full_report: Report, details: list[ResultDetails]) -> None:
    page = render(full_report, details)
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page
    assert "max-width: 36rem" in page
    assert "@media print" in page
    assert "var(--ink)" in page[page.index("</style>") :]
    assert "#010203" not in page
