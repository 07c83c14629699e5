"""Images and labels kept as numpy arrays: an `.npz`, an `.npy` with another beside it, or a folder of them.

Headers, labels and names are read at once; pixels later, and only so many at a time.
"""

import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data.dataset import PARTS
from bctoolkit.data.sources.image_array import (
    MOST_MEMBERS,
    ImageArray,
    Place,
    content_start,
    image_array,
    mended,
    on_disk,
    readable,
    require_pixels,
)
from bctoolkit.data.sources.labels import flat, positions_and_classes, read_names, read_texts
from bctoolkit.data.sources.members import CLASS_NAMES, Pair, is_images, is_labels, labels_beside, pairs
from bctoolkit.errors import DatasetError
from bctoolkit.untrusted.archives import open_archive, open_member
from bctoolkit.untrusted.arrays import UNREADABLE, Header, read_array, read_header
from bctoolkit.untrusted.files import open_regular

__all__ = ["ARRAYS", "ArraySet", "class_names_file", "is_array_folder", "open_arrays", "open_images"]

ARRAYS = (".npz", ".npy")
"""Ends of the names of files of arrays."""

CLASSES, LABELS = "classes.txt", "labels.npy"
"""Ends of the names of files beside an array, and the former's whole name in a folder of arrays."""

MEDMNIST = {None: "", "train": "train_", "validation": "val_", "test": "test_"}
"""Part of a set → what its names begin with."""

MOST_LABEL_BYTES = 2**28
"""Of all labels of an array, unpacked; more where they are names, which belong into `classes`."""


@dataclass(frozen=True)
class ArraySet:
    """A set of images in an `.npz`, an `.npy` or a folder of arrays."""

    path: Path
    """The file or the folder."""
    parts: tuple[ImageArray, ...]
    """One after the other; all images have the same shape and type."""
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    published: NDArray[np.int64] | None
    """N positions in `PARTS`, where the set is already split."""
    prefixes: dict[str, int]
    """What MedMNIST puts before the names of each part → images of it; an empty text where the set has no parts."""


class _Store:
    """Arrays of one file or folder, by name."""

    path: Path

    @property
    def names(self) -> list[str]:
        """Of all arrays."""
        raise NotImplementedError

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, Place, int, int | None]]:
        """An array from its header on, its place, the bytes it takes on disk, and its size where it ends there."""
        raise NotImplementedError

    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes, where the store or a file beside it states them."""
        name = next((name for name in CLASS_NAMES if name in self.names), None)
        return None if name is None else read_texts(self.values(name))

    def values(self, name: str) -> NDArray[Any]:
        """A small array."""
        with self.open(name) as (stream, *_), _stored_as_objects(name, "{x}.astype(str)"):
            return read_array(stream, read_header(stream), MOST_LABEL_BYTES)

    def header(self, name: str) -> Header:
        """What an array says of its values."""
        with self.open(name) as (stream, *_):
            return read_header(stream)

    def images(self, name: str, names: tuple[str, ...], labels: int | None) -> ImageArray:
        """An array of images, of those with these names, that has so many labels."""
        with self.open(name) as (stream, place, stored, size), _stored_as_objects(name, "np.stack({x})"):
            part = image_array(stream, place._replace(names=names), labels)
            found, needed = size, stream.tell() + part.step * part.count
        if found is not None and found != needed:
            raise ValueError(f"{name!r} has {found:,} bytes, {part.count:,} images take {needed:,}")
        require_pixels(part, stored)
        return part


@contextmanager
def _stored_as_objects(name: str, code: str) -> Iterator[None]:
    """Say how to save what numpy has stored as objects of Python's."""
    try:
        yield
    except ValueError as problem:
        remedy = f"; of objects save: {mended([name], code)}" if str(problem) == UNREADABLE else ""
        raise ValueError(f"{problem}{remedy}") from None


@dataclass(frozen=True)
class _Archive(_Store):
    """The members of an `.npz`."""

    path: Path
    archive: zipfile.ZipFile
    stored: int

    @property
    def names(self) -> list[str]:
        return [name.removesuffix(".npy") for name in self.archive.namelist() if name.endswith(".npy")]

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, Place, int, int | None]]:
        info = self.archive.getinfo(f"{name}.npy")
        place = Place(self.path, info.filename, content_start(self.path, info), (name,))
        with open_member(self.archive, info.filename) as stream:
            yield stream, place, min(info.compress_size, self.stored), info.file_size

    def class_names(self) -> tuple[str, ...] | None:
        return super().class_names() or read_names(class_names_file(self.path))


@dataclass(frozen=True)
class _Files(_Store):
    """The `.npy` files of a folder, or one of them with its labels."""

    path: Path
    files: dict[str, Path]
    classes: Path
    """The text file with their names."""

    @property
    def names(self) -> list[str]:
        return list(self.files)

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, Place, int, int | None]]:
        file = self.files[name]
        with readable(file), open_regular(file, DatasetError) as stream:
            status = os.fstat(stream.fileno())
            yield stream, Place(file, None, 0, (name,)), on_disk(status), None

    def images(self, name: str, names: tuple[str, ...], labels: int | None) -> ImageArray:
        part = super().images(name, names, labels)
        with readable(part.path):
            size, needed = part.path.stat().st_size, (part.start or 0) + part.step * part.count
            if size < needed:
                raise EOFError(f"cut off: {size:,} bytes, {part.count:,} images take {needed:,}")
        return part

    def class_names(self) -> tuple[str, ...] | None:
        return super().class_names() or read_names(self.classes)


def class_names_file(arrays: Path) -> Path:
    """`NAME.classes.txt` beside `NAME.npz`: the class names of arrays that hold none, one a line."""
    return arrays.with_suffix(f".{CLASSES}")


def is_array_folder(path: Path) -> bool:
    """Whether a folder holds `images.npy`, or `.npy` files that are called like images and like labels."""
    names = [file.stem for file in path.glob("*.npy")] if path.is_dir() else []
    return "images" in names or (any(map(is_images, names)) and any(map(is_labels, names)))


def open_arrays(path: Path) -> ArraySet:
    """Look into an `.npz`, a folder of `.npy` files, or an `.npy` beside which its labels lie.

    What holds images and what labels, the names say: `images` and `labels`, `X` and `y`, `data` and `target`, and each
    with a part, `train`, `val` or `test`, before it or behind it (`train_images`, `y_test`). Class names come from
    `classes`, or from the lines of `NAME.classes.txt` beside it, in a folder of `classes.txt`.

    Raises:
        DatasetError: no such file, arrays missing, of another form or in doubt, labels that do not fit.
    """
    with readable(path), _opened(path, labelled=True) as store:
        found = pairs(store.names, str(path)) or _in_doubt(store)
        labels = [_labels(store, pair) for pair in found]
        names = tuple(pair.images for pair in found)
        parts = [store.images(name, names, len(flat)) for name, flat in zip(names, labels, strict=True)]
        classes = store.class_names()
    for pair, part, part_labels in zip(found, parts, labels, strict=True):
        if len(part_labels) != part.count:
            raise DatasetError(
                f"{path}: {part.count} images in {pair.images!r} but {len(part_labels)} labels in {pair.labels!r}"
            )
    _require_alike(parts, path)
    published = None
    if found[0].part is not None:
        published = np.repeat([PARTS.index(str(pair.part)) for pair in found], [len(one) for one in labels])
    label_names = tuple(str(pair.labels) for pair in found)
    positions, names_of_classes = positions_and_classes(labels, classes, path, label_names)
    prefixes = {MEDMNIST[pair.part]: part.count for pair, part in zip(found, parts, strict=True)}
    return ArraySet(path, tuple(parts), positions, names_of_classes, published, prefixes)


def open_images(path: Path) -> tuple[ImageArray, ...]:
    """The arrays of images in what `open_arrays` takes, whatever labels lie beside them.

    An `.npz` or `.npy` with a single array of images may call it anything.

    Raises:
        DatasetError: none there, or of another form.
    """
    with readable(path), _opened(path, labelled=False) as store:
        names = tuple(pair.images for pair in pairs(store.names, str(path))) or _only_one(store)
        parts = [store.images(name, names, None) for name in names]
    _require_alike(parts, path)
    return tuple(parts)


@contextmanager
def _opened(path: Path, labelled: bool) -> Iterator[_Store]:
    """The arrays at a path."""
    with ExitStack() as stack:
        if path.is_dir():
            yield _Files(path, {file.stem: file for file in sorted(path.glob("*.npy"))}, path / CLASSES)
        elif path.suffix.lower() == ".npy":
            yield _Files(path, _with_labels(path) if labelled else {path.stem: path}, class_names_file(path))
        else:
            file = stack.enter_context(open_regular(path, DatasetError))
            archive = stack.enter_context(open_archive(file, str(path), DatasetError, most_members=MOST_MEMBERS))
            yield _Archive(path, archive, on_disk(os.fstat(file.fileno())))


def _with_labels(path: Path) -> dict[str, Path]:
    """An `.npy` of images and the one with its labels: `y_train.npy` beside `X_train.npy`, or `NAME.labels.npy`."""
    beside = path.with_suffix(f".{LABELS}")
    if os.path.lexists(beside):
        return {"images": path, "labels": beside}
    if is_images(path.stem):
        (own,) = pairs([path.stem], str(path))
        others = sorted(file.stem for file in path.parent.glob("*.npy") if not is_images(file.stem))
        found = [pair.labels for pair in pairs([path.stem, *others], str(path)) if pair.part == own.part]
        if found[0] is not None:
            return {"images": path, "labels": path.with_name(f"{found[0]}.npy")}
    raise DatasetError(f"{path}: no labels lie beside it; save them as {beside.name}")


def _labels(store: _Store, pair: Pair) -> NDArray[Any]:
    """A part's labels, one for each image."""
    if pair.labels is None:
        ending = ".npy" if isinstance(store, _Files) else ""
        wanted = f"{pair.images}{ending} but no {labels_beside(pair.images)}{ending}"
        raise DatasetError(f"{store.path}: holds {wanted}; it holds: {_listed(store)}")
    return flat(store.values(pair.labels), pair.labels, store.path)


def _in_doubt(store: _Store) -> tuple[Pair, ...]:
    """Refuse arrays of which no name says what they are, and propose names where only two could be images and labels.

    Raises:
        DatasetError: always.
    """
    shapes = {name: store.header(name).shape for name in store.names[:20]}
    images = [name for name, shape in shapes.items() if len(shape) > 2 or (len(shape) == 2 and shape[1] > 100)]
    remedy = ""
    if len(images) == 1:
        count = shapes[images[0]][0]
        labels = [name for name, shape in shapes.items() if name not in images and shape[:1] == (count,)]
        remedy = f"; name them: images, labels = {images[0]}, {labels[0]}" if len(labels) == 1 else ""
    raise DatasetError(
        f"{store.path}: holds no images or X or data, nor parts of them as train_images or X_train; "
        f"it holds: {_listed(store)}{remedy}"
    )


def _only_one(store: _Store) -> tuple[str, ...]:
    """The name of the only array that can be of images.

    Raises:
        DatasetError: there is none, or several.
    """
    names = [name for name in store.names if len(store.header(name).shape) > 1]
    if len(names) == 1:
        return (names[0],)
    raise DatasetError(f"{store.path}: holds no images or X or data, nor a single array; it holds: {_listed(store)}")


def _listed(store: _Store) -> str:
    return ", ".join(store.names[:20]) or "nothing"


def _require_alike(parts: list[ImageArray], path: Path) -> None:
    """Refuse parts of different shapes or types."""
    shapes, kinds = {part.shape for part in parts}, {part.dtype.name for part in parts}
    if len(shapes) > 1:
        raise DatasetError(f"{path}: its parts hold images of different shapes: {sorted(shapes)}")
    if len(kinds) > 1:
        code = mended([part.name for part in parts], "{x}.astype(np.float64)")
        raise DatasetError(
            f"{path}: its parts hold images of different types: {', '.join(sorted(kinds))}; save: {code}"
        )
