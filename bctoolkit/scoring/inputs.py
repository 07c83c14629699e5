"""What a user names on the command line, as images one after the other: files, folders, arrays, lists of files.

Names are bytes of the system's; those that are no UTF-8 are carried as Python's surrogate escapes (PEP 383).
"""

import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import InputContract, prepare
from bctoolkit.data.sources.arrays import ARRAYS, is_array_folder, open_images
from bctoolkit.data.sources.folders import is_housekeeping, is_image
from bctoolkit.data.sources.image_array import ImageArray
from bctoolkit.data.sources.reading import ArrayReader, array_reader
from bctoolkit.errors import DatasetError, InputMismatch
from bctoolkit.progress import Progress, Silent
from bctoolkit.untrusted.files import open_regular

__all__ = ["Inputs", "Item", "Stored", "Survey"]

LIST_SUFFIXES = (".txt", ".csv")

COLUMN = "file"
LONGEST_LINE = 2**16
"""Bytes of a line of a list; a path has at most 4,096."""
DEEPEST = 64
"""Folders inside each other."""


class Stored(NamedTuple):
    """An image at its place in arrays on disk."""

    reader: ArrayReader
    location: NDArray[np.int64]


class Item(NamedTuple):
    """One image, not yet read."""

    file: str
    """Its path, or that of its array."""
    place: int | None
    """In the array; None of a file."""
    picture: "str | Stored | NDArray[np.uint8]"
    """A path, a place on disk, or pixels of an array that can only be read in its order."""

    def read(self) -> "str | NDArray[np.uint8]":
        """What `prepare` takes.

        Raises:
            DatasetError: the array has gone or become shorter.
        """
        if isinstance(self.picture, Stored):
            return self.picture.reader.read(self.picture.location)
        return self.picture


class Survey(NamedTuple):
    """How many images there are, and a hash over the name, size and time of change of each of their files."""

    images: int
    sha256: str


class _Files:
    """Image files, of which only the names are known."""

    def names(self) -> Iterator[str]:
        raise NotImplementedError

    def items(self) -> Iterator[Item]:
        return (Item(name, None, name) for name in self.names())

    def stated(self) -> Iterator[tuple[str, int]]:
        """Each file, and how many images it holds."""
        return ((name, 1) for name in self.names())


@dataclass(frozen=True)
class _One(_Files):
    """A file that was named itself."""

    name: str

    def names(self) -> Iterator[str]:
        return iter((self.name,))


@dataclass(frozen=True)
class _Folder(_Files):
    """All pictures below a folder, in the order of the alphabet, files of a folder before those of its folders."""

    path: Path

    def names(self) -> Iterator[str]:
        return _walk(str(self.path), ())


@dataclass(frozen=True)
class _List(_Files):
    """A text file with a path a line, or a CSV file with a column `file`."""

    path: Path

    def names(self) -> Iterator[str]:
        if self.path.suffix.lower() == ".csv":
            return filter(None, _from_csv(self.path))
        return filter(None, (line.rstrip("\r\n") for line in _lines(self.path)))


class _Arrays:
    """The images of an `.npz`, of an `.npy`, or of a folder of those."""

    def __init__(self, path: Path, parts: tuple[ImageArray, ...]) -> None:
        self.path = path
        self.parts = parts
        self._reader: ArrayReader | None = None

    def items(self) -> Iterator[Item]:
        reader = self._reader or self._read_by(InputContract(channels=self.parts[0].shape[2]), Silent())
        places = ((self._name(part), place) for part in self.parts for place in range(part.count))
        locations = reader.locations
        pictures: Iterator[Stored | NDArray[np.uint8]] = (
            (image for piece in reader.pieces(labelled=False) for image in piece)
            if locations is None
            else (Stored(reader, location) for location in locations)
        )
        for (file, place), picture in zip(places, pictures, strict=True):
            yield Item(file, place, picture)

    def _read_by(self, contract: InputContract, progress: Progress) -> ArrayReader:
        self._reader = array_reader(self.parts, contract, progress)
        return self._reader

    def _name(self, part: ImageArray) -> str:
        return str(self.path) if len(self.parts) == 1 else f"{self.path}:{part.name}"

    def stated(self) -> Iterator[tuple[str, int]]:
        """Each file, and how many images it holds."""
        return ((str(part.path), part.count) for part in self.parts)

    def require(self, contract: InputContract, progress: Progress) -> None:
        """Refuse arrays that do not fit, before any work; their checksums are verified on the way."""
        reader = self._read_by(contract, progress)
        try:
            prepare(np.zeros(self.parts[0].shape, np.uint8), contract)
        except InputMismatch as problem:
            shape = "×".join(map(str, self.parts[0].shape))
            raise DatasetError(f"{self.path}: its images are {shape}; the model wants {contract} ({problem})") from None
        done, total = 0, sum(part.count for part in self.parts)
        for piece in reader.pieces(labelled=False):
            done += len(piece)
            progress.step(f"checking {self.path.name}", done, total)


Source = _Files | _Arrays


class Inputs:
    """The images that words on a command line mean, in the order of the words.

    A word is an image file; a folder, with all pictures below it; arrays as `sources.arrays.open_images` takes them; a
    list, that is `@FILE`, or a `.txt` or `.csv` file. A file that is not there is an image that cannot be read.

    Args:
        words: at least one.

    Raises:
        DatasetError: a list or arrays that cannot be read.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._sources = [_source(word) for word in words]

    def __iter__(self) -> Iterator[Item]:
        """All images, from the beginning.

        Raises:
            DatasetError: a list or an array is damaged.
        """
        for source in self._sources:
            yield from source.items()

    def require(self, contract: InputContract, progress: Progress) -> None:
        """Refuse arrays that the model cannot take, or that are damaged.

        Raises:
            DatasetError: naming the array.
        """
        for source in self._sources:
            if isinstance(source, _Arrays):
                source.require(contract, progress)

    def survey(self) -> Survey:
        """Count the images, and hash what would change if they did.

        Raises:
            DatasetError: there are none.
        """
        count, total = 0, hashlib.sha256()
        for source in self._sources:
            for path, images in source.stated():
                total.update(_state_of(path))
                count += images
        if not count:
            raise DatasetError(f"no image in {self}")
        return Survey(count, total.hexdigest())

    def __str__(self) -> str:
        """What was named."""
        return ", ".join(self._words)


def _source(word: str) -> Source:
    if not word:
        raise DatasetError("got an empty name; name image files, folders, arrays or lists")
    if word.startswith("@"):
        return _checked_list(Path(word[1:]))
    path = Path(word)
    if path.is_dir():
        return _Arrays(path, open_images(path)) if is_array_folder(path) else _Folder(path)
    suffix = path.suffix.lower()
    if suffix in ARRAYS:
        return _Arrays(path, open_images(path))
    return _checked_list(path) if suffix in LIST_SUFFIXES else _One(word)


def _checked_list(path: Path) -> _List:
    listed = _List(path)
    next(listed.items(), None)
    return listed


def _walk(folder: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """Pictures below a folder; a link is followed unless it leads back to a folder that it lies in."""
    status = os.stat(folder)
    place = (status.st_dev, status.st_ino)
    if place in above:
        return
    if len(above) == DEEPEST:
        raise DatasetError(f"{folder}: lies in {DEEPEST} folders; name those to take pictures from")
    with os.scandir(folder) as found:
        entries = sorted((entry.name, entry.is_dir()) for entry in found if not is_housekeeping(Path(entry.name)))
    for name, is_folder in entries:
        if not is_folder and is_image(Path(folder, name)):
            yield os.path.join(folder, name)
    for name, is_folder in entries:
        if is_folder:
            yield from _walk(os.path.join(folder, name), (*above, place))


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file, without the mark that Windows puts before the first."""
    with open_regular(path, DatasetError) as file:
        for number in range(1, 2**63):
            line = file.readline(LONGEST_LINE)
            if not line:
                return
            if len(line) == LONGEST_LINE:
                raise DatasetError(f"{path}: line {number} has {LONGEST_LINE:,} bytes or more, which no path has")
            text = os.fsdecode(line)
            yield text.removeprefix("\ufeff") if number == 1 else text


def _from_csv(path: Path) -> Iterator[str]:
    rows = csv.reader(_lines(path))
    try:
        columns = next(rows, [])
        if columns.count(COLUMN) != 1:
            raise DatasetError(f"{path}: has not one column {COLUMN!r}; it has: {', '.join(columns)[:200] or 'none'}")
        place = columns.index(COLUMN)
        for row in rows:
            yield row[place] if place < len(row) else ""
    except csv.Error as problem:
        raise DatasetError(f"{path}: cannot be read as CSV at line {rows.line_num} ({problem})") from None


def _state_of(path: str) -> bytes:
    """Name, size and time of change of a file; zeros where it cannot be looked at."""
    size = changed = 0
    with suppress(OSError, ValueError):
        status = os.stat(path)
        size, changed = status.st_size, status.st_mtime_ns
    return b"%s\0%d\0%d\0" % (os.fsencode(path), size, changed)
