"""`ImageArray`: images of one size in a file of numpy's, found by its header and read in pieces or one by one.

Pixels are read with plain file reads, never through a memory map: pages of a map count as memory of the process for as
long as they are cached.
"""

import os
import struct
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract.axes import channels_first, for_pictures
from bctoolkit.data.sources.labels import MOST_IMAGES
from bctoolkit.errors import DatasetError
from bctoolkit.untrusted.archives import open_archive, open_member
from bctoolkit.untrusted.arrays import Header, read_header
from bctoolkit.untrusted.files import open_regular

__all__ = [
    "MOST_MEMBERS",
    "ImageArray",
    "Place",
    "content_start",
    "image_array",
    "mended",
    "on_disk",
    "readable",
    "require_pixels",
    "stream_of",
]

PIECE_IMAGES, PIECE_BYTES = 256, 16 * 2**20
COMPUTED = 8
"""Bytes of a value of another type than uint8 while it is looked at: a double."""

MOST_MEMBERS = 1000
MOST_PIXELS = 2**26
"""Height × width of an image."""
BLANK, SMALL = 100, 2**20
"""Images with so many values for each byte they are stored in, and at least so many of them, are blank: a file of some
kilobytes could keep us busy for days."""

ALPHAS = (3, 4)
"""A last axis that is no width."""


class Place(NamedTuple):
    """Where the values of an array lie."""

    path: Path
    member: str | None
    """Name inside an `.npz`; None for an `.npy`."""
    start: int | None
    """Offset of the header in the file; None where it is compressed."""
    names: tuple[str, ...]
    """Of all arrays of images of the set, this one among them, as a line of numpy calls them."""

    def __str__(self) -> str:
        return f"{self.path}: {self.member.removesuffix('.npy')!r}" if self.member else str(self.path)


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
    dtype: np.dtype[Any]
    """Of numbers or truth values."""
    channels_first: bool
    """Whether each is stored as channels × height × width."""

    @property
    def name(self) -> str:
        """`images`, or MedMNIST's `train_images` and so on."""
        return Path(self.member or self.path).stem

    @property
    def step(self) -> int:
        """Bytes of one image."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    @property
    def offsets(self) -> NDArray[np.int64] | None:
        """Where in the file each image begins; None where the array is compressed."""
        return None if self.start is None else self.start + self.step * np.arange(self.count)

    def pieces(self) -> Iterator[NDArray[Any]]:
        """All images in order, some at a time, N × height × width × channels; an archive's checksum is verified.

        Raises:
            DatasetError: the file is damaged or cut off.
        """
        computed = self.step if self.dtype == np.uint8 else int(np.prod(self.shape)) * COMPUTED
        most = max(1, min(PIECE_IMAGES, PIECE_BYTES // computed))
        with readable(self.path), stream_of(self.path, self.member) as stream:
            read_header(stream)
            for first in range(0, self.count, most):
                size = self.step * min(most, self.count - first)
                content = stream.read(size)
                if len(content) < size:
                    raise EOFError(f"it ends within image {first + len(content) // self.step} of {self.count}")
                yield self._shaped(content)

    def read(self, offset: int) -> NDArray[Any]:
        """The image that begins at `offset`, height × width × channels.

        Raises:
            DatasetError: the file has gone or become shorter.
        """
        content = bytearray(self.step)
        with readable(self.path), open_regular(self.path, DatasetError) as file:
            file.seek(offset)
            if file.readinto(content) < self.step:  # type: ignore[attr-defined]  # of every binary file
                raise EOFError("it has become shorter while in use")
        return np.asarray(self._shaped(content)[0])

    def _shaped(self, content: bytes | bytearray) -> NDArray[Any]:
        height, width, channels = self.shape
        values = np.frombuffer(content, self.dtype)
        if self.channels_first:
            return values.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        return values.reshape(-1, height, width, channels)


def image_array(stream: BinaryIO, place: Place, labels: int | None) -> ImageArray:
    """The array of images whose header `stream` is at; the stream is left at its first value.

    Args:
        stream: of an `.npy`.
        place: of the array.
        labels: how many there are of its images; None where nobody knows.

    Raises:
        DatasetError: it holds no images, or none that are stored one after the other; where numpy can mend it, the
            message ends in the code that does.
        ValueError: as `read_header`.
    """
    header = read_header(stream)
    _require_images(header, place, labels)
    shape = header.shape if len(header.shape) == 4 else _with_all_axes(header.shape)
    first = channels_first(shape)
    count, height, width, channels = (shape[0], shape[2], shape[3], shape[1]) if first else shape
    start = None if place.start is None else place.start + stream.tell()
    return ImageArray(place.path, place.member, count, (height, width, channels), start, header.dtype, first)


def _is_one(shape: tuple[int, ...], labels: int | None) -> bool:
    """Whether three axes are those of a single image, which is of RGB or has alpha besides."""
    return len(shape) == 3 and shape[2] in ALPHAS and labels in (None, 1)


def _with_all_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Four of three: MedMNIST's grey sets have no axis for the channel, and a single image has none for N."""
    return (1, *shape) if shape[2] in ALPHAS else (*shape, 1)


def _require_images(header: Header, place: Place, labels: int | None) -> None:
    shape, dtype = header.shape, header.dtype
    wanted = "wanted N×height×width×3 (RGB) or N×height×width (grey), of numbers"
    if dtype.kind not in "biuf":
        raise DatasetError(f"{place} has shape {shape} and dtype {dtype}; {wanted}")
    if 0 in shape:
        raise DatasetError(f"{place} has shape {shape}: no pixels")
    grey = len(shape) == 3 and shape[2] not in ALPHAS
    last = len(shape) == 4 and labels == shape[3] and labels != shape[0] and shape[3] not in (1, *ALPHAS)
    images = grey or _is_one(shape, labels) or (len(shape) == 4 and not last)
    if not images:
        axes = for_pictures(shape, labels)
        remedy = f"; {axes.what}: {mended(place.names, axes.code)}" if axes else ""
        raise DatasetError(f"{place} has shape {shape} and dtype {dtype}; {wanted}{remedy}")
    if header.fortran:
        code = mended(place.names, "np.ascontiguousarray({x})")
        raise DatasetError(f"{place} is in Fortran order; save it in C order: {code}")


def mended(names: Iterable[str], code: str) -> str:
    """The line of numpy that does the same to each of these arrays."""
    return "; ".join(f"{name} = {code.format(x=name)}" for name in names)


def require_pixels(part: ImageArray, stored: int) -> None:
    """Refuse what only claims to be a set of images, as a file of some kilobytes unpacked to terabytes does.

    Args:
        part: of the set.
        stored: bytes it takes on disk.

    Raises:
        DatasetError: too many, too large, or nothing but blank pixels.
    """
    height, width, _ = part.shape
    values = int(np.prod(part.shape)) * part.count
    if part.count > MOST_IMAGES or height * width > MOST_PIXELS:
        most = f"at most {MOST_IMAGES:,} images of {MOST_PIXELS:,} pixels"
        raise DatasetError(f"{part.path}: {part.count:,} images of {height:,}×{width:,} pixels; wanted {most}")
    if values > SMALL and values > BLANK * stored:
        raise DatasetError(
            f"{part.path}: {values:,} values of images in {stored:,} bytes; nothing but blank pixels packs so well"
        )


def on_disk(status: os.stat_result) -> int:
    """Bytes that a file takes there, fewer than it has where there are holes in it; its size where nobody knows."""
    return getattr(status, "st_blocks", 0) * 512 or status.st_size


def content_start(path: Path, info: zipfile.ZipInfo) -> int | None:
    """Where in the archive a member's bytes begin; None where they are compressed.

    A local header has 30 bytes, the last four of which say how long the name and the extra field are that come between
    it and the content (APPNOTE.TXT, the .ZIP file format specification, 4.3.7).
    """
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
    return info.header_offset + 30 + int(name) + int(extra)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what numpy, zipfile and the system raise into a `DatasetError` of one line."""
    try:
        yield
    except (ValueError, EOFError, OSError, OverflowError, MemoryError) as problem:
        reason = " ".join(str(problem).split())[:200] or type(problem).__name__
        raise DatasetError(f"{path}: cannot be read as {path.suffix} ({reason})") from None


@contextmanager
def stream_of(path: Path, member: str | None) -> Iterator[BinaryIO]:
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
