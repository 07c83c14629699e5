"""One table in every layout: the same cells as Markdown, HTML and CSV, and in a terminal or a pipe."""

import csv
import io
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from bctoolkit.cli.output import print_table
from bctoolkit.rendering.plots import confusion_matrix
from bctoolkit.rendering.table import Cell, Table, text_of

HOSTILE = '<b onclick="x">[red]|&amp;'
TABLE = Table(
    ("bundle", "p50 ms", "limits"),
    [("cells", "12.30", Cell("failed", outcome="failed")), (HOSTILE, Cell("9.00", "8 to 10", "passed"), "")],
    "Figures",
    "How to read it.",
    ("a note",),
    frozenset({"limits"}),
)


class Cells(HTMLParser):
    """The text of each row's cells, and the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.rows[-1][-1] += data


def test_a_cell_in_plain_text_has_its_note_in_brackets() -> None:
    assert [text_of(cell) for cell in ("x", Cell("x"), Cell("x", "why"))] == ["x", "x", "x (why)"]


def test_markdown_has_a_line_for_each_row_and_no_cell_ends_another() -> None:
    assert TABLE.to_markdown() == [
        "| bundle | p50 ms | limits |",
        "|---|---|---|",
        "| cells | 12.30 | failed |",
        '| &lt;b onclick="x">\\[red\\]\\|&amp;amp; | 9.00 (8 to 10) |  |',
    ]


def test_html_has_the_same_cells_and_no_markup_of_theirs() -> None:
    reader = Cells()
    reader.feed(TABLE.to_html())
    assert reader.rows == [list(TABLE.columns), ["cells", "12.30", "failed"], [HOSTILE, "9.008 to 10", ""]]
    assert reader.tags == {"div", "table", "thead", "tbody", "tr", "th", "td", "span", "small"}
    assert '<span class="outcome failed">failed</span>' in TABLE.to_html()
    assert '<small class="outcome passed">8 to 10</small>' in TABLE.to_html()
    assert TABLE.to_html().count('<td class=text data-of="limits">') == 2


def test_csv_reads_back() -> None:
    rows = list(csv.reader(io.StringIO(TABLE.to_csv())))
    assert rows == [list(TABLE.columns), ["cells", "12.30", "failed"], [HOSTILE, "9.00 (8 to 10)", ""]]


def test_in_a_pipe_a_row_is_a_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(TABLE)
    title, head, *rows, note = capsys.readouterr().out.splitlines()
    assert (title, note) == ("Figures:", "  a note")
    assert head.split() == ["bundle", "p50", "ms", "limits"]
    assert rows[0].split() == ["cells", "12.30", "failed"]
    assert rows[1].startswith(HOSTILE), "what looks like rich's markup is text"
    long = Table(("name", "what"), [("x", "word " * 200)])
    print_table(long)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_figures_stand_on_the_right_and_text_on_the_left(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        Table(("name", "count", "what"), [("a", "1", "x"), ("b", "1000", "yyyy")], text_columns=frozenset({"what"}))
    )
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.index("1") == second.index("1000") + 3
    assert first.index("x") == second.index("yyyy")


def test_names_with_dollars_are_no_formulas_in_a_picture(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        confusion_matrix(tmp_path / "picture.png", np.eye(2, dtype=np.int64), ("a$x^{$b", "$\\frac$"), "$^$")
    assert (tmp_path / "picture.png").stat().st_size > 0
