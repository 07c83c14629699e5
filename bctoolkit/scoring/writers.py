"""Rows as a file: CSV with the standard library, Parquet with pyarrow.

Columns are `file`, `index`, `label`, `accepted`, one `p_<label>` for each class, `error`. Where something is not known
the cell is empty. A byte of a file's name that is no UTF-8 is written as `\\udcff`, its number in the last two digits.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bctoolkit.errors import RecipeError
from bctoolkit.escaping.text import for_csv
from bctoolkit.lazy import require
from bctoolkit.scoring.rows import Row

__all__ = ["GROUP", "WRITERS", "Writer", "writer_for"]

GROUP = 8192
"""Rows of a row group, which are held at a time."""

Writer = Callable[[Path, Sequence[str], Iterable[Row], Mapping[str, str]], None]
"""Writes to a path, for these labels, these rows, and what else is to be known of them."""


def writer_for(target: Path) -> Writer:
    """The writer for a file's suffix; what it needs is imported.

    Raises:
        RecipeError: there is none.
        MissingExtra: Parquet needs pyarrow.
    """
    suffix = target.suffix.lower()
    if suffix not in WRITERS:
        raise RecipeError(f"--out {target}: give a file that ends in {' or '.join(WRITERS)}")
    if suffix == ".parquet":
        require("pyarrow.parquet", "parquet")
    return WRITERS[suffix]


def _columns(labels: Sequence[str]) -> list[str]:
    return ["file", "index", "label", "accepted", *(f"p_{label}" for label in labels), "error"]


def _write_csv(path: Path, labels: Sequence[str], rows: Iterable[Row], facts: Mapping[str, str]) -> None:
    """UTF-8, lines as RFC 4180 has them; no cell is a formula. Numbers are the shortest that mean the same float32."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(map(for_csv, _columns(labels)))
        for row in rows:
            numbers = ["" for _ in labels] if row.probabilities is None else map(_number, row.probabilities)
            accepted = "" if row.accepted is None else str(row.accepted).lower()
            index = "" if row.place is None else row.place
            named = (for_csv(row.file), index, for_csv(row.label or ""), accepted)
            writer.writerow([*named, *numbers, for_csv(row.error or "")])


def _number(value: float) -> str:
    return str(np.float32(value))


def _write_parquet(path: Path, labels: Sequence[str], rows: Iterable[Row], facts: Mapping[str, str]) -> None:
    """Row groups of `GROUP` rows; the facts are metadata of the schema."""
    arrow: Any = require("pyarrow", "parquet")
    kinds = [arrow.string(), arrow.int64(), arrow.string(), arrow.bool_(), *[arrow.float32()] * len(labels)]
    fields = zip(map(_utf8, _columns(labels)), [*kinds, arrow.string()], strict=True)
    metadata = {f"bctoolkit.{key}": _utf8(value) for key, value in facts.items()}
    schema = arrow.schema(list(fields), metadata=metadata)
    waiting = iter(rows)
    with require("pyarrow.parquet", "parquet").ParquetWriter(path, schema) as writer:
        for group in iter(lambda: list(islice(waiting, GROUP)), []):
            columns = [list(values) for values in _transposed(group, len(labels))]
            arrays = [arrow.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            writer.write_batch(arrow.record_batch(arrays, schema=schema))


def _transposed(rows: Sequence[Row], classes: int) -> Iterator[Iterable[Any]]:
    """The values of each column."""
    yield [_utf8(row.file) for row in rows]
    yield [row.place for row in rows]
    yield [None if row.label is None else _utf8(row.label) for row in rows]
    yield [row.accepted for row in rows]
    for place in range(classes):
        yield [None if row.probabilities is None else row.probabilities[place] for row in rows]
    yield [None if row.error is None else _utf8(row.error) for row in rows]


def _utf8(text: str) -> str:
    """The text, its surrogate escapes written out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


WRITERS: dict[str, Writer] = {".csv": _write_csv, ".parquet": _write_parquet}
