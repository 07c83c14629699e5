"""Images that a table lists: which file is of which class, and where that is known of which group and part."""

import csv
import io
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

from bctoolkit.data.dataset import PART_CALLED, PARTS
from bctoolkit.data.sources.folders import ClassFolders
from bctoolkit.errors import DatasetError
from bctoolkit.untrusted.files import read_bounded

__all__ = ["TABLES", "open_table"]

TABLES = (".csv", ".tsv")
MOST_BYTES, MOST_ROWS = 2**28, 10_000_000
SNIFFED = 2**16
"""Characters from whose look the delimiter is told."""

CALLED = {
    "file": ("file", "files", "filename", "file_name", "path", "filepath", "image", "image_path", "image_id"),
    "class": ("class", "label", "labels", "class_name", "category", "target", "cell_type", "y"),
    "group": (
        "group",
        "patient",
        "patient_id",
        "subject",
        "subject_id",
        "slide",
        "slide_id",
        "case",
        "case_id",
        "donor",
    ),
    "part": ("split", "part", "set", "subset", "fold", "partition"),
}
"""Column → what it is called in tables, in small letters."""
NEEDED = ("file", "class")


def open_table(path: Path) -> ClassFolders:
    """Read which files a table lists; no image is opened.

    The first line names the columns, in any order: `file` and `class`, and where there are such `group` (patient,
    slide) and `split` (train, val, test), by these or other usual names; further ones do not count. Files are looked
    for below the table's folder, and never outside it. UTF-8, and what Excel writes in Western languages; commas,
    semicolons or tabs.

    Args:
        path: of a `.csv` or `.tsv`.

    Raises:
        DatasetError: a column is missing, a file is not there, lies outside or stands there twice with two classes, a
            part is no part; the first such line is named, and how many there are.
    """
    rows = _rows(path)
    columns = _columns(path, rows[0])
    found = [_Row(path, number, row, columns) for number, row in enumerate(rows[1:], 2) if any(map(str.strip, row))]
    if not found:
        raise DatasetError(f"{path}: lists no file below its line of names")
    _refuse(path, [row.problem() for row in found])
    _refuse_twice(path, found)
    return _as_files(path, found, columns)


class _Row:
    """A line of the table."""

    def __init__(self, table: Path, number: int, cells: list[str], columns: dict[str, int]) -> None:
        def cell(column: str) -> str:
            position = columns.get(column, len(cells))
            return cells[position].strip() if position < len(cells) else ""

        self.number, self.label, self.group = number, cell("class"), cell("group")
        self.name = cell("file").replace("\\", "/")
        self.part = cell("part").lower()
        self.has_part, self.has_group = "part" in columns, "group" in columns
        self.path = table.parent / self.name
        self.inside = not PurePosixPath(self.name).is_absolute() and ".." not in PurePosixPath(self.name).parts

    def problem(self) -> str | None:
        """Why the line cannot be used."""
        if not self.name or not self.label:
            return f"line {self.number} has no {'file' if not self.name else 'class'}"
        if not self.inside:
            return f"line {self.number}: {self.name} lies outside the table's folder"
        if "\0" in self.name or not self.path.is_file():
            return f"line {self.number}: {self.name} is not there; files are looked for beside the table"
        if self.has_part and self.part not in PART_CALLED:
            return f"line {self.number}: {self.part!r} is no part; wanted train, val or test"
        if self.has_group and not self.group:
            return f"line {self.number} has no group"
        return None


def _rows(path: Path) -> list[list[str]]:
    content = read_bounded(path, MOST_BYTES, DatasetError)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
    if "\0" in text:
        raise DatasetError(f"{path}: is no table of text")
    common = Counter(each for each in text[:SNIFFED] if each in ",;\t").most_common(1)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else common[0][0] if common else ","
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]
    except csv.Error as problem:
        raise DatasetError(f"{path}: cannot be read as a table ({problem})") from None
    if not rows:
        raise DatasetError(f"{path}: is empty")
    if len(rows) > MOST_ROWS:
        raise DatasetError(f"{path}: has {len(rows):,} lines; wanted at most {MOST_ROWS:,}")
    return rows


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    """Column → where it stands."""
    names = [name.strip().lower().replace(" ", "_") for name in header]
    columns = {column: names.index(called[0]) for column, called in _called(names).items()}
    missing = [column for column in NEEDED if column not in columns]
    if missing:
        raise DatasetError(
            f"{path}: no column {' and none '.join(missing)} among {', '.join(header)[:200]}; the first line has to "
            "name them, as file,class,group,split"
        )
    return columns


def _called(names: list[str]) -> dict[str, list[str]]:
    usual = {column: [name for name in called if name in names] for column, called in CALLED.items()}
    return {column: found for column, found in usual.items() if found}


def _refuse(path: Path, problems: list[str | None]) -> None:
    told = [problem for problem in problems if problem]
    if told:
        more = f", and {len(told) - 1:,} lines more" if len(told) > 1 else ""
        raise DatasetError(f"{path}: {told[0]}{more}")


def _refuse_twice(path: Path, rows: list[_Row]) -> None:
    first: dict[Path, _Row] = {}
    twice = [(first.setdefault(row.path, row), row) for row in rows]
    told = [
        f"{row.name} stands in line {earlier.number} as {earlier.label} and in line {row.number} as {row.label}"
        for earlier, row in twice
        if (earlier.label, earlier.part, earlier.group) != (row.label, row.part, row.group)
    ]
    _refuse(path, list(told))


def _as_files(path: Path, rows: list[_Row], columns: dict[str, int]) -> ClassFolders:
    """The files by class; one that stands there twice counts once."""
    unique = list({row.path: row for row in reversed(rows)}.values())
    unique.sort(key=lambda row: (row.label, row.number))
    classes = tuple(dict.fromkeys(row.label for row in unique))
    files = tuple(tuple(row.path for row in unique if row.label == name) for name in classes)
    notes = []
    if "part" in columns:
        notes.append("comes divided, as its column of parts says, and stays so")
    if "group" in columns:
        notes.append(f"has {len({row.group for row in unique}):,} groups; none is divided between parts")
    if len(unique) < len(rows):
        notes.append(f"{len(rows) - len(unique):,} lines name a file again, which counts once")
    published = [PARTS.index(PART_CALLED[row.part]) for row in unique] if "part" in columns else None
    return ClassFolders(
        path.parent,
        classes,
        files,
        tuple(notes),
        published=None if published is None else np.array(published, np.int64),
        groups=np.array([row.group for row in unique], object) if "group" in columns else None,
    )
