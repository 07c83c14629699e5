"""`Collection`: the images of a set as they lie there, good and bad, where `load` would stop at the first bad one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import InputContract, White, decode_bytes
from bctoolkit.data.sources.arrays import ArraySet
from bctoolkit.data.sources.folders import PIECE, ClassFolders
from bctoolkit.data.sources.reading import array_reader
from bctoolkit.data.sources.source import open_source
from bctoolkit.data.sources.synthetic import draw
from bctoolkit.errors import DatasetError, InputMismatch
from bctoolkit.progress import Silent
from bctoolkit.untrusted.files import read_bounded
from bctoolkit.untrusted.images import MOST_BYTES, open_picture

__all__ = ["Collection", "Decoded", "Piece", "decode", "open_collection"]

Piece = list[Path] | NDArray[np.uint8]
"""Some images in order: files still to be decoded, or N × height × width × 3 pixels."""


@dataclass(frozen=True)
class Collection:
    """N images with the labels they are filed under; nothing is decoded yet."""

    source: str
    """Where they come from, in the user's words."""
    names: tuple[str, ...]
    """N names: a file's path below the source, or an array's name and the position in it."""
    labels: NDArray[np.int64]
    """N positions in `classes`."""
    classes: tuple[str, ...]
    pieces: Callable[[], Iterator[Piece]]
    """Begins anew and yields all images in order."""
    parts: dict[str, int]
    """Prefix of an array's name, such as MedMNIST's `train_` → images in it, in order; one empty prefix otherwise."""
    notes: tuple[str, ...] = ()
    """What is unusual about the set as a whole."""
    white: White | None = None
    """Which value is white in files of 16 bits a channel, see `InputContract`."""


@dataclass(frozen=True)
class Decoded:
    """One image, or why there is none."""

    pixels: NDArray[np.uint8] | None
    """Height × width × 3, as training gets them; None where the file cannot be read."""
    mode: str
    """Pillow's name for the kind of pixels in the file."""
    problem: str = ""
    """Why it cannot be read; empty where it can."""


def open_collection(source: str, white: White | None = None) -> Collection:
    """Look at what a folder of class folders, an `.npz`, a folder of arrays or `synthetic` holds.

    Args:
        source: the set.
        white: which value is white in files of 16 bits a channel; None where such files cannot be read.

    Raises:
        DatasetError: nothing there, no class folders, no image in them, or arrays that do not fit.
    """
    match open_source(source):
        case ClassFolders() as folders:
            return _of_files(source, folders, white)
        case ArraySet() as arrays:
            return _of_arrays(source, arrays, white)
        case "synthetic":
            images, labels, classes = draw(per_class=120, seed=0)
            names = tuple(f"synthetic[{i}]" for i in range(len(images)))
            return Collection(source, names, labels, classes, lambda: iter([images]), {"": len(images)})


def decode(item: Path | NDArray[np.uint8], white: White | None = None) -> Decoded:
    """Decode a file as training does, for an RGB model; pixels of an array are as they are."""
    if isinstance(item, np.ndarray):
        return Decoded(item, "RGB")
    try:
        content = read_bounded(item, MOST_BYTES, DatasetError)
        with open_picture(content, item.name, DatasetError) as picture:
            mode = picture.mode
        return Decoded(decode_bytes(content, InputContract(white=white), item.name), mode)
    except (DatasetError, InputMismatch) as problem:
        reason = str(problem).replace(str(item), item.name).removeprefix(item.name).lstrip(": ")
        return Decoded(None, "", reason.removeprefix("cannot be decoded as an image ").strip("()"))


def _of_files(source: str, folders: ClassFolders, white: White | None) -> Collection:
    paths = folders.images
    names = tuple(path.relative_to(folders.path).as_posix() for path in paths)

    def pieces() -> Iterator[Piece]:
        return (paths[first : first + PIECE] for first in range(0, len(paths), PIECE))

    return Collection(source, names, folders.labels, folders.classes, pieces, {"": len(paths)}, folders.notes, white)


def _of_arrays(source: str, arrays: ArraySet, white: White | None) -> Collection:
    reader = array_reader(arrays.parts, InputContract(white=white), Silent())
    parts = {part.name: part.count for part in arrays.parts}
    names = tuple(f"{name}[{i}]" for name, count in parts.items() for i in range(count))
    return Collection(source, names, arrays.labels, arrays.classes, reader.pieces, arrays.prefixes, white=white)
