"""Images and labels kept as numpy arrays: an `.npz`, or a folder with `images.npy` and `labels.npy`.

Headers, labels and names are read at once. Pixels are read in pieces or image by image with plain file reads, never
through a memory map: pages of a map count as memory of the process for as long as they are cached.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data.dataset import PARTS
from bctoolkit.errors import DatasetError

__all__ = ["IMAGES", "ArraySet", "ImageArray", "class_names_file", "open_folder", "open_npz"]

IMAGES, LABELS, CLASSES = "images.npy", "labels.npy", "classes.txt"
"""The files of a folder of arrays."""

MEDMNIST = {"train": "train", "val": "validation", "test": "test"}
PIECE_IMAGES, PIECE_BYTES = 256, 16 * 2**20
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


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
            _header(stream)
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
        with _readable(self.path), self.path.open("rb", buffering=0) as file:
            file.seek(offset)
            if file.readinto(pixels.data) < self.step:
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
    if not zipfile.is_zipfile(path):
        raise DatasetError(f"{path}: cannot be read as .npz (not a zip archive)")
    with _readable(path), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        members = archive.files
        contents = ", ".join(members) or "nothing"
        if "images" in members:
            prefixes = [""]
        elif "train_images" in members:
            prefixes = [f"{part}_" for part in MEDMNIST if f"{part}_images" in members]
        else:
            raise DatasetError(f"{path}: holds neither 'images' nor 'train_images'; it holds: {contents}")
        for prefix in prefixes:
            if f"{prefix}labels" not in members:
                raise DatasetError(f"{path}: holds no '{prefix}labels'; it holds: {contents}")
        parts = [_member(path, archive.zip, f"{prefix}images") for prefix in prefixes]
        labels = [_flat(archive[f"{prefix}labels"], path) for prefix in prefixes]
        names = tuple(map(str, archive["classes"])) if "classes" in members else None
    for prefix, part, part_labels in zip(prefixes, parts, labels, strict=True):
        _require_pairs(part.count, part_labels, f"{prefix}labels", path)
    published = None
    if prefixes != [""]:
        published = np.repeat([PARTS.index(MEDMNIST[prefix[:-1]]) for prefix in prefixes], [len(one) for one in labels])
    return _set(parts, np.concatenate(labels), names or _names(class_names_file(path)), published, path)


def open_folder(path: Path) -> ArraySet:
    """Look into a folder with `images.npy`, `labels.npy` and, for the names, `classes.txt`, one name a line.

    Raises:
        DatasetError: a file is missing or cut off, an array of another form, labels that do not fit.
    """
    images, labels = path / IMAGES, path / LABELS
    if not labels.is_file():
        raise DatasetError(f"{path}: holds {IMAGES} but no {LABELS}")
    with _readable(images), images.open("rb") as file:
        part = _array(file, images, None, 0)
        size, needed = images.stat().st_size, file.tell() + part.step * part.count
        if size < needed:
            raise EOFError(f"cut off: {size:,} bytes, {part.count:,} images take {needed:,}")
    with _readable(labels), labels.open("rb") as file:
        flat = _flat(np.lib.format.read_array(file, allow_pickle=False), labels)
    _require_pairs(part.count, flat, LABELS, path)
    return _set([part], flat, _names(path / CLASSES), None, path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what numpy, zipfile and the system raise into a `DatasetError` of one line."""
    try:
        yield
    except (ValueError, EOFError, OSError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as problem:
        if "pickle" in str(problem).lower():
            raise DatasetError(
                f"{path}: holds pickled Python objects, which are never loaded; save plain arrays"
            ) from None
        raise DatasetError(f"{path}: cannot be read as {path.suffix} ({problem})") from None


@contextmanager
def _stream(path: Path, member: str | None) -> Iterator[IO[bytes]]:
    """The bytes of an array with its header."""
    if member is None:
        with path.open("rb") as file:
            yield file
    else:
        with zipfile.ZipFile(path) as archive, archive.open(member) as content:
            yield content


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and dtype; leaves the stream at the first value."""
    version = np.lib.format.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"version {version} of the .npy format")
    return HEADERS[version](stream)


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> ImageArray:
    info = archive.getinfo(f"{name}.npy")
    stored = info.compress_type == zipfile.ZIP_STORED
    with archive.open(info) as content:
        return _array(content, path, info.filename, _content_start(path, info) if stored else None)


def _content_start(path: Path, info: zipfile.ZipInfo) -> int:
    """Where in the archive a member's bytes begin.

    A local header has 30 bytes, the last four of which say how long the name and the extra field are that come between
    it and the content (APPNOTE.TXT, the .ZIP file format specification, 4.3.7).
    """
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
    return info.header_offset + 30 + int(name) + int(extra)


def _array(stream: IO[bytes], path: Path, member: str | None, start: int | None) -> ImageArray:
    """The array of images whose header `stream` is at; the file's bytes of both begin at `start`."""
    shape, fortran, dtype = _header(stream)
    name = f"{path}: {member.removesuffix('.npy')!r}" if member else f"{path}"
    if dtype.hasobject:
        raise ValueError("a pickle")
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


def _flat(labels: object, path: Path) -> NDArray[Any]:
    if not isinstance(labels, np.ndarray):
        raise DatasetError(f"{path}: its labels are no array")
    return labels.reshape(-1)


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
    positions, classes = _classes(labels, names, path)
    return ArraySet(path, tuple(parts), positions, classes, published)


def _names(path: Path) -> tuple[str, ...] | None:
    """Class names from a text file, one a line; None where there is no such file."""
    if not path.is_file():
        return None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise DatasetError(f"{path}: not UTF-8 text; write one class name a line") from None
    return tuple(line.strip() for line in lines if line.strip())


def _classes(
    labels: NDArray[Any], names: tuple[str, ...] | None, path: Path
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels as positions, and the names they stand for."""
    if labels.dtype.kind in "US":
        labels, names = _named_labels(labels.astype(str), names, path)
    if labels.dtype.kind not in "iu" or len(labels) == 0 or labels.min() < 0:
        raise DatasetError(f"{path}: 'labels' must be class names or whole numbers from 0, one for each image")
    if labels.max() >= (len(labels) if names is None else len(names)):
        count = f"only {len(labels)} images" if names is None else f"only {len(names)} names in 'classes'"
        raise DatasetError(f"{path}: label {labels.max()} but {count}")
    classes = names or tuple(f"class_{i}" for i in range(int(labels.max()) + 1))
    empty = np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 0)
    if empty.size:
        raise DatasetError(f"{path}: class {classes[empty[0]]!r} has no image")
    return labels.astype(np.int64), classes


def _named_labels(
    labels: NDArray[Any], names: tuple[str, ...] | None, path: Path
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Positions of labels given as names: in the order of `names`, or of the alphabet."""
    order = names or tuple(np.unique(labels).tolist())
    unknown = sorted(set(labels.tolist()) - set(order))
    if unknown:
        raise DatasetError(f"{path}: label {unknown[0]!r} is not in 'classes': {', '.join(order)}")
    position = {name: index for index, name in enumerate(order)}
    return np.array([position[label] for label in labels.tolist()], np.int64), order
