"""What stands between a Keras file and the readers of its weights: nothing outside it, and no more than it holds.

An HDF5 file may name other files, whose bytes would come back as weights; a description may ask for arrays of any size.
"""

import inspect
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import h5py

from bctoolkit.errors import WeightsError
from bctoolkit.untrusted.archives import open_archive, open_member
from bctoolkit.untrusted.files import open_regular

__all__ = ["UNREADABLE", "bounded_weights", "keras_archive", "require_own_weights"]

MOST_MEMBERS = 10_000
UNREADABLE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, TypeError),
    *(ValueError, struct.error, zipfile.BadZipFile, zlib.error),
)
"""What zipfile, h5py and json raise of a damaged file."""
BLANK, SMALL = 100, 2**20
"""What takes so many times the bytes it is stored in, and at least so many of them, is no network's weights."""
SPARE = 2**20
"""Elements that a network may have beside those that are stored, as seeds of random numbers."""


@contextmanager
def keras_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a `.keras` archive.

    Raises:
        WeightsError: not an archive, or one with members that could leave their folder or unpack to any size.
    """
    with (
        open_regular(path, WeightsError) as file,
        open_archive(file, str(path), WeightsError, most_members=MOST_MEMBERS) as archive,
    ):
        for info in archive.infolist():
            name = PurePosixPath(info.filename)
            if name.is_absolute() or ".." in name.parts or "\\" in info.filename:
                raise ValueError(f"its member {info.filename!r} would leave the archive")
            if info.file_size > SMALL and info.file_size > BLANK * info.compress_size:
                raise ValueError(f"{info.filename}: {info.file_size:,} bytes in {info.compress_size:,}")
        yield archive


def require_own_weights(path: Path) -> int:
    """Refuse weights that lie elsewhere, or are larger than what is stored of them.

    Args:
        path: a `.keras` archive, or an HDF5 file.

    Returns:
        Bytes of all weights at most.

    Raises:
        WeightsError: the file is damaged, or its weights are.
    """
    if path.suffix != ".keras":
        with open_regular(path, WeightsError) as file:
            _require_own(file, str(path))
            return os.fstat(file.fileno()).st_size
    with keras_archive(path) as archive:
        for name in archive.namelist():
            if name.endswith(".h5"):
                with open_member(archive, name) as stream:
                    _require_own(io.BytesIO(stream.read()), f"{path}: {name}")
        return sum(info.file_size for info in archive.infolist())


def _require_own(content: BinaryIO, source: str) -> None:
    try:
        with h5py.File(content, "r") as file:
            _visit(file)
    except UNREADABLE as problem:
        reason = " ".join(str(problem).split())[:120]
        raise WeightsError(f"{source}: not a whole HDF5 file ({reason}); copy the file again") from None


def _visit(file: h5py.File) -> None:
    """Look at each object once, whatever circles the groups form."""
    waiting, seen = [file["/"]], set[int]()
    while waiting:
        group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{group.name}/{name} is a link to elsewhere")
            child = group[name]
            address = h5py.h5o.get_info(child.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(child, h5py.Dataset):
                _require_stored(child)
            elif isinstance(child, h5py.Group):
                waiting.append(child)


def _require_stored(array: h5py.Dataset) -> None:
    if array.external or array.is_virtual:
        raise ValueError(f"{array.name} takes its values from another file")
    held = array.id.get_storage_size()
    if array.nbytes > SMALL and array.nbytes > BLANK * held:
        raise ValueError(f"{array.name}: {array.nbytes:,} bytes in {held:,}")


@contextmanager
def bounded_weights(layer: type[Any], most: int, path: Path) -> Iterator[None]:
    """Let layers make no more weights than a file can hold, while the block loads it.

    Args:
        layer: Keras's base class of layers, whose `add_weight` makes every weight.
        most: elements of all of them together.
        path: of the file.

    Raises:
        WeightsError: from within the block, before the first weight too many is allocated.
    """
    original: Callable[..., Any] = layer.add_weight
    left = [most + SPARE]

    def add_weight(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(original).bind(self, *args, **kwargs).arguments
        left[0] -= _elements(given.get("shape"))
        if left[0] < 0:
            raise WeightsError(
                f"{path}: layer {self.name!r} asks for more weights than the file holds ({most:,} bytes)"
            )
        return original(self, *args, **kwargs)

    layer.add_weight = add_weight
    try:
        yield
    finally:
        layer.add_weight = original


def _elements(shape: Any) -> int:
    """How many elements a weight of this shape has; what makes no sense as one is left to Keras to refuse."""
    axes = shape if isinstance(shape, list | tuple) else [shape]
    total = 1
    for axis in axes:
        total *= axis if isinstance(axis, int) else 1
    return max(total, 0)
