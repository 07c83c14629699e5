"""A row for each image, whatever becomes of its neighbours."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bctoolkit.scoring.inputs import Inputs
from bctoolkit.scoring.rows import Row, answer, prepared, row_from_json, row_to_json
from tests.support.scoring import CONTRACT, LABELS, classifier, pictures

REASONS = {"b": "cannot be decoded", "m": "no such file", "k": "a black image", "w": "16 bits"}


def rows(words: list[str]) -> list[Row]:
    items = list(Inputs(words))
    return answer(classifier(), items, [prepared(item, CONTRACT) for item in items])


@pytest.mark.parametrize("kinds", ["g", "gg", "gbgmgkgg", "bmk", "kk"])
def test_each_image_has_its_own_row(tmp_path: Path, kinds: str) -> None:
    names = pictures(tmp_path, kinds)
    found = rows(names)
    assert [row.file for row in found] == names
    for row, kind, name in zip(found, kinds, names, strict=True):
        if kind == "g":
            assert row == rows([name])[0]
            assert row.label in LABELS
            assert row.error is None
            assert sum(row.probabilities or ()) == pytest.approx(1)
        else:
            assert row[:5] == (name, None, None, None, None)
            assert row.error is not None
            assert REASONS[kind] in row.error


TEXT = st.one_of(st.none(), st.text(st.characters(exclude_categories=()), max_size=5))
FLOATS = st.lists(st.floats(0, 1, width=32), max_size=3).map(tuple)


@given(
    st.builds(
        Row,
        st.text(st.characters(exclude_categories=())),
        st.one_of(st.none(), st.integers(0, 10**9)),
        TEXT,
        st.one_of(st.none(), st.booleans()),
        st.one_of(st.none(), FLOATS),
        TEXT,
    )
)
def test_a_row_comes_back_from_its_line(row: Row) -> None:
    line = row_to_json(row)
    assert line.isascii()
    assert "\n" not in line
    assert row_from_json(line) == row


@pytest.mark.parametrize("line", ["", "[]", '["a"]', "[1, null, null, null, null, null]", "{}", "[" * 100_000])
def test_what_is_no_row_is_refused(line: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        row_from_json(line)
