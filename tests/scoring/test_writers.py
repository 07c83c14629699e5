"""The same rows in every kind of file."""

import csv
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bctoolkit.errors import MissingExtra, RecipeError
from bctoolkit.escaping.text import FORMULA, hidden
from bctoolkit.scoring import writers
from bctoolkit.scoring.rows import Row
from bctoolkit.scoring.writers import writer_for

pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

TEXT = st.text(st.characters(exclude_categories=()), max_size=6)
NAME = st.one_of(TEXT, st.binary(max_size=6).map(lambda name: name.decode("utf-8", "surrogateescape")))


def row_of(classes: int) -> st.SearchStrategy[Row]:
    numbers = st.lists(st.floats(0, 1, width=32), min_size=classes, max_size=classes).map(tuple)
    good = st.builds(
        Row, NAME, st.one_of(st.none(), st.integers(0, 2**40)), TEXT, st.sampled_from([None, True, False]), numbers
    )
    return st.one_of(good, st.builds(lambda name, error: Row(name, None, error=error), NAME, TEXT.filter(bool)))


TABLES = st.integers(1, 3).flatmap(
    lambda classes: st.tuples(
        st.lists(TEXT, min_size=classes, max_size=classes, unique=True), st.lists(row_of(classes), max_size=7)
    )
)


@given(TABLES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_files_hold_every_row(tmp_path: Path, table: tuple[list[str], list[Row]]) -> None:
    labels, rows = table
    for name in ("rows.csv", "rows.parquet"):
        writer_for(tmp_path / name)(tmp_path / name, labels, rows, {"bundle": labels[0]})
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        head, *lines = csv.reader(file)
    stored = parquet.read_table(tmp_path / "rows.parquet")
    assert len(head) == len(stored.column_names) == 5 + len(labels)
    assert len(lines) == stored.num_rows == len(rows)
    columns = [stored[place].to_pylist() for place in range(len(head))]
    for row, line, cells in zip(rows, lines, zip(*columns, strict=True), strict=True):
        _, place, label, accepted, *numbers, error = cells
        assert (place, accepted) == (row.place, row.accepted)
        assert (label is None, error is None) == (row.label is None, row.error is None)
        if row.probabilities is not None:
            assert tuple(numbers) == row.probabilities == tuple(float(np.float32(cell)) for cell in line[4:-1])
        assert line[1] == ("" if row.place is None else str(row.place))
        assert line[3] == {None: "", True: "true", False: "false"}[row.accepted]
        for cell in line:
            assert not cell.startswith(FORMULA) or re.fullmatch(r"[+-][\d.eE+-]+", cell), "a number may have a sign"
            assert not any(map(hidden, cell))


def test_a_name_that_is_no_utf_8_is_written_out(tmp_path: Path) -> None:
    name = b"caf\xe9 \xff.png".decode("utf-8", "surrogateescape")
    for suffix in (".csv", ".parquet"):
        path = tmp_path / f"rows{suffix}"
        writer_for(path)(path, ["a"], [Row(name, None, "a", None, (1.0,))], {})
    assert "caf\\udce9 \\udcff.png," in (tmp_path / "rows.csv").read_text(encoding="utf-8")
    assert parquet.read_table(tmp_path / "rows.parquet")["file"].to_pylist() == ["caf\\udce9 \\udcff.png"]


def test_a_spreadsheet_computes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    writer_for(path)(path, ["=A1"], [Row("=1+1.png", None, "@x", None, (1.0,)), Row("-x", None, error="+y")], {})
    head, one, two = path.read_text(encoding="utf-8").splitlines()
    assert head == "file,index,label,accepted,p_=A1,error"
    assert one == "'=1+1.png,,'@x,,1.0,"
    assert two == "'-x,,,,,'+y"


def test_rows_are_held_a_group_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "GROUP", 4)
    path = tmp_path / "rows.parquet"
    writer_for(path)(path, ["a"], itertools.repeat(Row("x", None, "a", True, (1.0,)), 10), {"bundle": "b"})
    stored = parquet.ParquetFile(path)
    assert [stored.metadata.row_group(n).num_rows for n in range(stored.num_row_groups)] == [4, 4, 2]
    assert stored.schema_arrow.metadata[b"bctoolkit.bundle"] == b"b"
    assert [str(field.type) for field in stored.schema_arrow] == [
        "string",
        "int64",
        "string",
        "bool",
        "float",
        "string",
    ]


@pytest.mark.parametrize("name", ["rows", "rows.tsv", "rows.csv.gz"])
def test_another_kind_of_file_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=r"give a file that ends in \.csv or \.parquet"):
        writer_for(Path(name))


def test_without_pyarrow_there_is_still_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtra, match=r"pip install 'bctoolkit\[parquet\]'"):
        writer_for(Path("rows.parquet"))
    assert writer_for(Path("rows.CSV")) is writers.WRITERS[".csv"]
