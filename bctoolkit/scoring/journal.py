"""What unfinished scoring keeps on disk: what was asked for, and each row as soon as it is known.

::

    .<name>.unfinished/
      request.json      bundle, engine, batch and inputs
      rows.jsonl        a JSON array per row, in the order of the inputs

A row is there or not: what a kill cuts short, the next start cuts off.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bctoolkit.documents import Document, read_json, to_json
from bctoolkit.errors import RecipeError
from bctoolkit.files import in_use, resumable_folder, sigterm_as_interrupt
from bctoolkit.scoring.rows import Row, row_from_json, row_to_json
from bctoolkit.untrusted.files import open_regular

__all__ = ["Journal", "Request"]

REQUEST, ROWS = "request.json", "rows.jsonl"
LONGEST_ROW = 2**24
"""Bytes: 100,000 labels take some 2 MiB."""


class Request(Document, frozen=True, kw_only=True):
    """What scoring was begun with, as far as its answers depend on it."""

    manifest: str
    """SHA-256 of the bundle's manifest, and through it of all its files."""
    engine: str
    engine_version: str | None
    provider: str
    threads: int
    batch: int
    count: int
    """Images."""
    inputs: str
    """SHA-256 over name, size and time of change of each."""


MEANINGS = {"manifest": "another bundle", "inputs": "other images", "count": "other images"}
"""Fields whose values say nothing to a reader."""


class Journal:
    """The folder of unfinished scoring.

    Args:
        folder: where it is or will be.
        target: the result, named in errors.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder, self._target = folder, target
        self._path = folder / ROWS

    def request(self) -> Request:
        """What the scoring was begun with.

        Raises:
            RecipeError: the folder is damaged.
        """
        return read_json(self.folder / REQUEST, Request, RecipeError, f"remove {self.folder} and start anew")

    @contextmanager
    def begin(self, request: Request) -> Iterator[int]:
        """Make the folder, of no row; a block that fails before the first one removes it again.

        Raises:
            OSError: the disk does not take it.
        """
        content = {REQUEST: to_json(request), ROWS: b""}
        with resumable_folder(self.folder, content, lambda: bool(self._path.exists() and self._path.stat().st_size)):
            yield 0

    @contextmanager
    def go_on(self, request: Request) -> Iterator[int]:
        """Work on in a folder that is there; yields how many rows it holds, of whole batches or of all images.

        Raises:
            RecipeError: begun with something else, damaged, or in use.
        """
        with sigterm_as_interrupt(), in_use(self.folder):
            self._require_same(request)
            yield self._cut(request)

    def remove(self) -> None:
        """The result is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self, batches: Iterable[Sequence[Row]]) -> Iterator[Sequence[Row]]:
        """Append each batch of rows, and yield it once the system has it.

        Raises:
            OSError: the disk is full; names the result.
        """
        with self._path.open("ab", buffering=0) as file:
            for rows in batches:
                content = memoryview(b"".join(row_to_json(row).encode() + b"\n" for row in rows))
                try:
                    while content:  # a disk may take the first part of it
                        content = content[file.write(content) :]
                except OSError as problem:
                    raise OSError(problem.errno, problem.strerror, str(self._target)) from None
                yield rows

    def rows(self) -> Iterator[Row]:
        """The rows that are there.

        Raises:
            RecipeError: the file is damaged.
        """
        return (row for row, _ in self._read())

    def _read(self) -> Iterator[tuple[Row, int]]:
        """Each whole row, and where in the file it ends."""
        end = 0
        with open_regular(self._path, RecipeError) as file:
            while (line := file.readline(LONGEST_ROW)).endswith(b"\n"):
                end += len(line)
                yield self._row(line), end

    def _row(self, line: bytes) -> Row:
        try:
            return row_from_json(line)
        except (ValueError, RecursionError):
            raise RecipeError(f"{self._path}: damaged; remove {self.folder} and start anew") from None

    def _cut(self, request: Request) -> int:
        """Cut off a row that is not whole, and rows of a batch that is not: an answer may depend on its batch."""
        count, end, whole = 0, 0, (0, 0)
        for _, end in self._read():
            count += 1
            if count % request.batch == 0 or count == request.count:
                whole = count, end
        if count > request.count:
            raise RecipeError(f"{self._path}: holds more rows than there are images; remove {self.folder}")
        os.truncate(self._path, whole[1])
        return whole[0]

    def _require_same(self, request: Request) -> None:
        before = self.request()
        for field in request.__struct_fields__:
            old, new = getattr(before, field), getattr(request, field)
            if old != new:
                what = MEANINGS.get(field, f"{field.replace('_', ' ')} {old}, not {new}")
                raise RecipeError(
                    f"{self._target} was begun with {what}; go on with what it was begun with, or remove {self.folder}"
                )
