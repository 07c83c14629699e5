"""Images and labels kept as numpy arrays: an `.npz`, or a folder with `images.npy` and `labels.npy`.

Headers, labels and names are read at once. Pixels are read in pieces or image by image with plain file reads, never
through a memory map: pages of a map count as memory of the process for as long as they are cached.
"""

import os
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data.dataset import PARTS
from bctoolkit.data.sources.labels import MOST_IMAGES, positions_and_classes, read_names, read_texts
from bctoolkit.errors import DatasetError
from bctoolkit.untrusted.archives import open_archive, open_member
from bctoolkit.untrusted.arrays import read_array, read_header
from bctoolkit.untrusted.files import open_regular

__all__ = ["IMAGES", "ArraySet", "ImageArray", "class_names_file", "open_folder", "open_images", "open_npz"]

IMAGES, LABELS, CLASSES = "images.npy", "labels.npy", "classes.txt"
"""The files of a folder of arrays."""

MEDMNIST = {"train": "train", "val": "validation", "test": "test"}
PIECE_IMAGES, PIECE_BYTES = 256, 16 * 2**20

MOST_MEMBERS = 1000
MOST_LABEL_BYTES = 2**28
"""Of all labels of an array, unpacked; more where they are names, which belong into `classes`."""
MOST_PIXELS = 2**26
"""Height × width of an image."""
BLANK, SMALL = 100, 2**20
"""Images that take so many times the bytes they are stored in, and at least so many of them, are blank: a file of some
kilobytes could keep us busy for days."""


@dataclass(frozen=True)
class ImageArray:
    """N images of one size, one after the other in an `.npy` file or in a member of an `.npz`."""

    path: Path
    member: str | None
    """Name inside the `.npz`; None for an `.npy`."""
    count: int
    shape: tuple[int, int, int]
    """Height, width, channels of each."""
    start: int | None
    """Offset of the first pixel in the file; None where it is compressed."""

    @property
    def name(self) -> str:
        """`images`, or MedMNIST's `train_images` and so on."""
        return Path(self.member or IMAGES).stem

    @property
    def step(self) -> int:
        """Bytes of one image."""
        return int(np.prod(self.shape))

    @property
    def offsets(self) -> NDArray[np.int64] | None:
        """Where in the file each image begins; None where the array is compressed."""
        return None if self.start is None else self.start + self.step * np.arange(self.count)

    def pieces(self) -> Iterator[NDArray[np.uint8]]:
        """All images in order, some at a time; an archive's checksum is verified on the way.

        Raises:
            DatasetError: the file is damaged or cut off.
        """
        most = max(1, min(PIECE_IMAGES, PIECE_BYTES // self.step))
        with _readable(self.path), _stream(self.path, self.member) as stream:
            read_header(stream)
            for first in range(0, self.count, most):
                size = self.step * min(most, self.count - first)
                content = stream.read(size)
                if len(content) < size:
                    raise EOFError(f"it ends within image {first + len(content) // self.step} of {self.count}")
                yield np.frombuffer(content, np.uint8).reshape(-1, *self.shape)

    def read(self, offset: int) -> NDArray[np.uint8]:
        """The image that begins at `offset`.

        Raises:
            DatasetError: the file has gone or become shorter.
        """
        pixels = np.empty(self.shape, np.uint8)
        with _readable(self.path), open_regular(self.path, DatasetError) as file:
            file.seek(offset)
            if file.readinto(pixels.data) < self.step:  # type: ignore[attr-defined]  # of every binary file
                raise EOFError("it has become shorter while in use")
        return pixels


@dataclass(frozen=True)
class ArraySet:
    """A set of images in one `.npz`, or in a folder with an `images.npy`."""

    path: Path
    """The `.npz` or the folder."""
    parts: tuple[ImageArray, ...]
    """One after the other; all images have the same shape."""
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    published: NDArray[np.int64] | None
    """N positions in `PARTS`, where the set is already split."""

    def pieces(self) -> Iterator[NDArray[np.uint8]]:
        """All images in order, some at a time; see `ImageArray.pieces`."""
        for part in self.parts:
            yield from part.pieces()


def class_names_file(npz: Path) -> Path:
    """`NAME.classes.txt` beside `NAME.npz`: the class names of an archive that holds none, one a line."""
    return npz.with_suffix(f".{CLASSES}")


def open_npz(path: Path) -> ArraySet:
    """Look into an `.npz` with `images` and `labels`, or MedMNIST's `train_images`, `train_labels`, ….

    Class names come from its `classes`, or from the lines of `NAME.classes.txt` beside it.

    Raises:
        DatasetError: not an archive, arrays missing or of another form, labels that do not fit.
    """
    with (
        _readable(path),
        open_regular(path, DatasetError) as file,
        open_archive(file, str(path), DatasetError, most_members=MOST_MEMBERS) as archive,
    ):
        members = _members(archive)
        prefixes = _prefixes(members, path)
        _require_labels(members, prefixes, path)
        parts = [_member(path, archive, f"{prefix}images", os.fstat(file.fileno())) for prefix in prefixes]
        labels = [_read_member(archive, f"{prefix}labels").reshape(-1) for prefix in prefixes]
        names = read_texts(_read_member(archive, "classes")) if "classes" in members else None
    for prefix, part, part_labels in zip(prefixes, parts, labels, strict=True):
        _require_pairs(part.count, part_labels, f"{prefix}labels", path)
    published = None
    if prefixes != [""]:
        published = np.repeat([PARTS.index(MEDMNIST[prefix[:-1]]) for prefix in prefixes], [len(one) for one in labels])
    return _set(parts, np.concatenate(labels), names or read_names(class_names_file(path)), published, path)


def open_images(path: Path) -> tuple[ImageArray, ...]:
    """The arrays of images in an `.npz`, or in a folder with `images.npy`, whatever labels lie beside them.

    Raises:
        DatasetError: none there, or of another form than `open_npz` and `open_folder` take.
    """
    if path.is_dir():
        return (_images_file(path / IMAGES),)
    with (
        _readable(path),
        open_regular(path, DatasetError) as file,
        open_archive(file, str(path), DatasetError, most_members=MOST_MEMBERS) as archive,
    ):
        status = os.fstat(file.fileno())
        prefixes = _prefixes(_members(archive), path)
        return tuple(_member(path, archive, f"{prefix}images", status) for prefix in prefixes)


def _members(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def _prefixes(members: list[str], path: Path) -> list[str]:
    """What the names of an archive's parts begin with; one empty text where it has no parts."""
    if "images" in members:
        return [""]
    if "train_images" in members:
        return [f"{part}_" for part in MEDMNIST if f"{part}_images" in members]
    raise DatasetError(f"{path}: holds neither 'images' nor 'train_images'; it holds: {_listed(members)}")


def _require_labels(members: list[str], prefixes: list[str], path: Path) -> None:
    for prefix in prefixes:
        if f"{prefix}labels" not in members:
            raise DatasetError(f"{path}: holds no '{prefix}labels'; it holds: {_listed(members)}")


def _listed(members: list[str]) -> str:
    return ", ".join(members[:20]) or "nothing"


def open_folder(path: Path) -> ArraySet:
    """Look into a folder with `images.npy`, `labels.npy` and, for the names, `classes.txt`, one name a line.

    Raises:
        DatasetError: a file is missing or cut off, an array of another form, labels that do not fit.
    """
    images, labels = path / IMAGES, path / LABELS
    if not os.path.lexists(labels):
        raise DatasetError(f"{path}: holds {IMAGES} but no {LABELS}")
    part = _images_file(images)
    with _readable(labels), open_regular(labels, DatasetError) as file:
        flat = read_array(file, read_header(file), MOST_LABEL_BYTES).reshape(-1)
    _require_pairs(part.count, flat, LABELS, path)
    return _set([part], flat, read_names(path / CLASSES), None, path)


def _images_file(path: Path) -> ImageArray:
    """The array of an `images.npy`."""
    with _readable(path), open_regular(path, DatasetError) as file:
        part = _array(file, path, None, 0)
        status = os.fstat(file.fileno())
        size, needed = status.st_size, file.tell() + part.step * part.count
        if size < needed:
            raise EOFError(f"cut off: {size:,} bytes, {part.count:,} images take {needed:,}")
        _require_pixels(part, _on_disk(status), path)
    return part


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what numpy, zipfile and the system raise into a `DatasetError` of one line."""
    try:
        yield
    except (ValueError, EOFError, OSError, OverflowError, MemoryError) as problem:
        reason = " ".join(str(problem).split())[:200] or type(problem).__name__
        raise DatasetError(f"{path}: cannot be read as {path.suffix} ({reason})") from None


@contextmanager
def _stream(path: Path, member: str | None) -> Iterator[BinaryIO]:
    """The bytes of an array with its header."""
    with open_regular(path, DatasetError) as file:
        if member is None:
            yield file
            return
        with (
            open_archive(file, str(path), DatasetError, most_members=MOST_MEMBERS) as archive,
            open_member(archive, member) as content,
        ):
            yield content


def _read_member(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """A small array of an archive."""
    with open_member(archive, f"{name}.npy") as stream:
        return read_array(stream, read_header(stream), MOST_LABEL_BYTES)


def _member(path: Path, archive: zipfile.ZipFile, name: str, status: os.stat_result) -> ImageArray:
    """An array of images in an archive, which has this status."""
    info = archive.getinfo(f"{name}.npy")
    stored = info.compress_type == zipfile.ZIP_STORED
    start = _content_start(path, info) if stored else None
    with open_member(archive, info.filename) as content:
        part = _array(content, path, info.filename, start)
        found, needed = info.file_size, content.tell() + part.step * part.count
    if found != needed:
        raise ValueError(f"{name!r} has {found:,} bytes, {part.count:,} images take {needed:,}")
    _require_pixels(part, min(info.compress_size, _on_disk(status)), path)
    return part


def _on_disk(status: os.stat_result) -> int:
    """Bytes that a file takes there, fewer than it has where there are holes in it; its size where nobody knows."""
    return getattr(status, "st_blocks", 0) * 512 or status.st_size


def _require_pixels(part: ImageArray, stored: int, path: Path) -> None:
    """Refuse what only claims to be a set of images, as a file of some kilobytes unpacked to terabytes does."""
    height, width, _ = part.shape
    unpacked = part.step * part.count
    if part.count > MOST_IMAGES or height * width > MOST_PIXELS:
        most = f"at most {MOST_IMAGES:,} images of {MOST_PIXELS:,} pixels"
        raise DatasetError(f"{path}: {part.count:,} images of {height:,}×{width:,} pixels; wanted {most}")
    if unpacked > SMALL and unpacked > BLANK * stored:
        raise DatasetError(
            f"{path}: {unpacked:,} bytes of images in {stored:,} on disk; nothing but blank pixels packs so well"
        )


def _content_start(path: Path, info: zipfile.ZipInfo) -> int:
    """Where in the archive a member's bytes begin.

    A local header has 30 bytes, the last four of which say how long the name and the extra field are that come between
    it and the content (APPNOTE.TXT, the .ZIP file format specification, 4.3.7).
    """
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
    return info.header_offset + 30 + int(name) + int(extra)


def _array(stream: BinaryIO, path: Path, member: str | None, start: int | None) -> ImageArray:
    """The array of images whose header `stream` is at; the file's bytes of both begin at `start`."""
    shape, dtype, fortran = read_header(stream)
    name = f"{path}: {member.removesuffix('.npy')!r}" if member else f"{path}"
    if len(shape) not in (3, 4) or dtype != np.uint8:
        raise DatasetError(f"{name} has shape {shape} and dtype {dtype}; wanted N×height×width×3 uint8 (RGB)")
    count, height, width, channels = (
        shape if len(shape) == 4 else (*shape, 1)
    )  # MedMNIST's grey sets have no axis for it
    if 0 in shape:
        raise DatasetError(f"{name} has shape {shape}: no pixels")
    if fortran:
        raise DatasetError(f"{name} is in Fortran order; save np.ascontiguousarray(images)")
    return ImageArray(path, member, count, (height, width, channels), None if start is None else start + stream.tell())


def _require_pairs(count: int, labels: NDArray[Any], name: str, path: Path) -> None:
    if len(labels) != count:
        raise DatasetError(f"{path}: {count} images but {len(labels)} labels in {name!r}")


def _set(
    parts: list[ImageArray],
    labels: NDArray[Any],
    names: tuple[str, ...] | None,
    published: NDArray[np.int64] | None,
    path: Path,
) -> ArraySet:
    shapes = {part.shape for part in parts}
    if len(shapes) > 1:
        raise DatasetError(f"{path}: its parts hold images of different shapes: {sorted(shapes)}")
    positions, classes = positions_and_classes(labels, names, path)
    return ArraySet(path, tuple(parts), positions, classes, published)
