"""The page: whole, self-contained, and safe with any name."""

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import msgspec
import pytest

from bctoolkit.data import Dataset
from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES
from bctoolkit.documents import to_json
from bctoolkit.evaluate.page import render
from bctoolkit.evaluate.pipeline import evaluate_subject
from bctoolkit.evaluate.report import Evaluation
from bctoolkit.evaluate.subject import Subject
from bctoolkit.progress import Silent

Evaluated = Callable[..., Evaluation]
VOID = {"meta", "img", "rect", "line"}


class Reader(HTMLParser):
    """Collects text and attributes, and checks that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_the_page_carries_everything_with_it(evaluated: Evaluated, cells: Dataset) -> None:
    page = render(evaluated(corruptions=True), cells)
    reader = read(page)
    assert len(reader.links) == 1 + len(CORRUPTIONS) * len(SEVERITIES)
    assert all(link.startswith("data:image/jpeg;base64,") for link in reader.links)
    assert "http" not in page
    assert "@import" not in page


def test_the_page_tells_the_document_s_figures(evaluated: Evaluated, cells: Dataset) -> None:
    evaluation = evaluated(corruptions=True)
    text = read(render(evaluation, cells)).text
    for figure in (evaluation.accuracy, evaluation.corruption_mean, evaluation.corruption_mean_unseen):
        assert f"{figure:.2%}" in text
    assert all(name in text for name in evaluation.labels)
    assert all(name.replace("_", " ") in text for name in CORRUPTIONS)


def test_without_the_suite_there_is_no_word_of_it(evaluated: Evaluated, cells: Dataset) -> None:
    reader = read(render(evaluated(), cells))
    assert "img" not in reader.seen
    assert "Corruptions" not in reader.text


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><marquee title="x"> & more'])
def test_names_cannot_become_markup(evaluated: Evaluated, cells: Dataset, name: str) -> None:
    evaluation = evaluated(corruptions=True)
    first, *rest = evaluation.labels
    renamed = {
        field: {name: getattr(evaluation, field)[first], **getattr(evaluation, field)} for field in ("counts", "f1")
    }
    hostile = msgspec.structs.replace(
        evaluation,
        subject=name,
        source=name,
        labels=(name, *rest),
        precision={name: None, **evaluation.precision},
        recall={name: None, **evaluation.recall},
        **renamed,
    )
    reader = read(render(hostile, cells))
    assert not {"script", "marquee"} & set(reader.seen)
    assert name in reader.text


def test_a_phone_and_a_dark_room_are_thought_of(evaluated: Evaluated, cells: Dataset) -> None:
    page = render(evaluated(), cells)
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page
    assert "max-width: 36rem" in page


def test_files_that_could_not_be_read_are_counted_in_the_document_and_on_the_page(
    subject: Subject, cells: Dataset
) -> None:
    unreadable = {cells.classes[0]: 2, cells.classes[3]: 1}
    some = replace(cells, unreadable=unreadable)
    evaluation = evaluate_subject(subject, some, "all", "all images", Silent(), False)
    assert msgspec.json.decode(to_json(evaluation))["unreadable"] == unreadable
    line = f"not read, and left out of the set: 3 files ({cells.classes[0]} 2, {cells.classes[3]} 1)."
    assert line in read(render(evaluation, some)).text
    whole = evaluate_subject(subject, cells, "all", "all images", Silent(), False)
    assert "not read" not in read(render(whole, cells)).text
