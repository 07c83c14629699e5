"""What others wrote acts on no reader: terminal, JSON, Markdown, spreadsheet, XML, page."""

import csv
import io
import json
import sys
import tomllib
import unicodedata
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bctoolkit.escaping.text import for_csv, for_html, for_json, for_markdown, for_markdown_cell, hidden, visible

ANYTHING = st.text(st.characters(exclude_categories=()))
"""Control characters, marks of direction, half characters and all."""
FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "=cmd|' /C calc'!A0", "＝1+1", "-", "+"]


@given(ANYTHING)
def test_visible_text_is_one_line_of_characters_that_every_encoding_has(text: str) -> None:
    shown = visible(text)
    assert not any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in shown)
    assert shown.encode().decode() == shown
    assert visible(shown) == shown
    ElementTree.fromstring(f"<a>{for_html(text)}</a>")


@pytest.mark.parametrize("text", ["Größe 3", "好中球", "الخلايا", "a b", "naïve 🔬", "[red]", "C:\\new", ""])
def test_letters_of_all_scripts_stay(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[2J", "\\u001b[2J"),
        ("a\x9bb", "a\\u009bb"),
        ("gepj\u202egnp", "gepj\\u202egnp"),
        ("\ud800", "\\ud800"),
        ("\uffff", "\\uffff"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_cannot_be_seen_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown
    if unicodedata.category(text[0]) != "Cs":
        assert tomllib.loads(f'a = "{shown}"')["a"] == text


def test_no_hidden_character_is_missed() -> None:
    unseen = {chr(code) for code in range(sys.maxunicode + 1) if hidden(chr(code))}
    assert unseen >= {chr(code) for code in (*range(32), *range(127, 160), 0x200E, 0x200F, 0x2028, 0x202E, 0x2066)}
    assert not any(each.isprintable() for each in unseen), "the short way past printable text"


@given(st.recursive(ANYTHING, lambda inner: st.lists(inner) | st.dictionaries(ANYTHING, inner), max_leaves=5))
def test_json_is_the_same_value(value: object) -> None:
    for indent in (None, 2):
        written = for_json(json.dumps(value, ensure_ascii=False, indent=indent))
        assert json.loads(written) == value
        assert not any(hidden(each) for each in written if each != "\n")


@pytest.mark.parametrize("cell", FORMULAS)
def test_a_formula_is_no_formula_in_a_spreadsheet(cell: str) -> None:
    assert for_csv(cell).startswith("'")


@pytest.mark.parametrize("cell", ["-0.5", "+3", "-1e-06", "1.5", "", "cells", "a=b", "-.5", "2026-01-02"])
def test_numbers_and_other_text_stay_as_they_are(cell: str) -> None:
    assert for_csv(cell) == cell


@given(ANYTHING)
def test_a_csv_has_one_row_for_each(text: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([for_csv(text), "x"])
    [[cell, _]] = csv.reader(io.StringIO(buffer.getvalue()))
    assert cell in (visible(text), f"'{visible(text)}")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("cells-onnx-fp32", "cells-onnx-fp32"),
        ("min_top1_agreement 0.5", "min_top1_agreement 0.5"),
        ("-0.50 points", "-0.50 points"),
        ("[x](javascript:alert(1))", "\\[x\\](javascript:alert(1))"),
        ("![x](http://a/b.png)", "!\\[x\\](http://a/b.png)"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)>"),
        ("<javascript:alert(1)>", "&lt;javascript:alert(1)>"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("> a > b", "\\> a > b"),
        ("12) a", "12\\) a"),
        ("3.5 ms", "3.5 ms"),
        ("*a* __b__ `c`", "\\*a\\* \\_\\_b\\_\\_ \\`c\\`"),
        ("# a", "\\# a"),
        ("1. a", "1\\. a"),
        ("- a", "\\- a"),
        ("a\n# b", "a\\\\n# b"),
        ("a\\|b", "a\\\\|b"),
    ],
)
def test_text_is_no_markdown(text: str, written: str) -> None:
    assert for_markdown(text) == written


def test_a_bar_ends_no_cell() -> None:
    assert for_markdown_cell("a|b\\|c") == "a\\|b\\\\\\|c"


@given(ANYTHING)
def test_text_is_no_html_in_markup_and_in_attributes(text: str) -> None:
    seen: list[tuple[str, object]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            seen.append((tag, attributes))

        def handle_data(self, data: str) -> None:
            seen.append(("text", data))

    reader = Reader()
    reader.feed(f'<b title="{for_html(text)}">')
    reader.feed(for_html(text))
    reader.close()
    assert seen[0] == ("b", [("title", visible(text))])
    assert "".join(str(data) for kind, data in seen[1:] if kind == "text") == visible(text)
    assert all(kind == "text" for kind, _ in seen[1:])
