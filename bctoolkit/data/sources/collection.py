"""`Collection`: the images of a set as they lie there, good and bad, where `load` would stop at the first bad one."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.data.sources import arrays
from bctoolkit.data.sources.load import IMAGE_SUFFIXES, image_files
from bctoolkit.data.sources.synthetic import draw
from bctoolkit.errors import DatasetError

__all__ = ["Collection", "Decoded", "Piece", "decode", "open_collection"]

PIECE = 256
Piece = list[Path] | NDArray[np.uint8]
"""Some images in order: files still to be decoded, or N × height × width × 3 pixels."""


@dataclass(frozen=True)
class Collection:
    """N images with the labels they are filed under; nothing is decoded yet."""

    source: str
    """Where they come from, in the user's words."""
    root: Path | None
    """The folder of class folders, where the images are files."""
    names: tuple[str, ...]
    """N names: a file's path below `root`, or an array's name and the position in it."""
    labels: NDArray[np.int64]
    """N positions in `classes`."""
    classes: tuple[str, ...]
    pieces: Callable[[], Iterator[Piece]]
    """Begins anew and yields all images in order."""
    notes: tuple[str, ...] = ()
    """What is odd about the set as a whole."""


@dataclass(frozen=True)
class Decoded:
    """One image, or why there is none."""

    pixels: NDArray[np.uint8] | None
    """Height × width × 3, converted to RGB where it is not; None where it cannot be decoded."""
    mode: str
    """Pillow's name for the kind of pixels, before conversion."""
    problem: str = ""


def open_collection(source: str) -> Collection:
    """Look at what a folder of class folders, an `.npz`, a folder of arrays or `synthetic` holds.

    Raises:
        DatasetError: nothing there, no class folders, no image in them, or arrays that do not fit.
    """
    path = Path(source)
    if source == "synthetic":
        images, labels, classes = draw(per_class=120, seed=0)
        names = tuple(f"synthetic[{i}]" for i in range(len(images)))
        return Collection(source, None, names, labels, classes, lambda: iter([images]))
    if path.is_dir() and (path / arrays.IMAGES).is_file():
        return _of_arrays(source, arrays.open_folder(path))
    if path.is_dir():
        return _of_files(source, path)
    if path.suffix == ".npz" and path.is_file():
        return _of_arrays(source, arrays.open_npz(path))
    if not path.exists():
        raise DatasetError(f"{source}: no such folder or file; give a folder of class folders, an .npz, or 'synthetic'")
    raise DatasetError(f"{source}: neither a folder of class folders nor an .npz")


def decode(item: Path | NDArray[np.uint8]) -> Decoded:
    """Decode a file fully, whatever its kind of pixels; pixels of an array are as they are."""
    if isinstance(item, np.ndarray):
        return Decoded(item, "RGB")
    try:
        with Image.open(item) as picture:
            picture.load()
            return Decoded(np.asarray(picture.convert("RGB")), picture.mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        reason = "the file is empty" if item.exists() and item.stat().st_size == 0 else str(problem)
        return Decoded(None, "", reason.replace(str(item), item.name))


def _of_files(source: str, root: Path) -> Collection:
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise DatasetError(f"{source}: holds no class folders; put the images of each class into a folder of its own")
    files = [image_files(folder) for folder in folders]
    paths = [file for found in files for file in found]
    if not paths:
        raise DatasetError(f"{source}: none of its {len(folders)} class folders holds a JPEG or PNG image")
    labels = np.repeat(np.arange(len(folders)), [len(found) for found in files])
    names = tuple(path.relative_to(root).as_posix() for path in paths)
    notes = [
        f"class folder {folder.name!r} is empty" for folder, found in zip(folders, files, strict=True) if not found
    ]

    def pieces() -> Iterator[Piece]:
        return (paths[first : first + PIECE] for first in range(0, len(paths), PIECE))

    classes = tuple(folder.name for folder in folders)
    return Collection(source, root, names, labels, classes, pieces, (*notes, *_left_out(root, folders)))


def _left_out(root: Path, folders: list[Path]) -> list[str]:
    """Notes on files that no reader of class folders sees."""
    loose = len(image_files(root))
    notes = [f"{loose} images lie beside the class folders and belong to no class"] if loose else []
    others = Counter(
        path.suffix.lower() or "no suffix" if path.is_file() else "folder"
        for folder in folders
        for path in folder.iterdir()
        if not path.name.startswith(".") and (path.is_dir() or path.suffix.lower() not in IMAGE_SUFFIXES)
    )
    kinds = ", ".join(f"{count} × {kind}" for kind, count in others.most_common())
    return [*notes, f"left out as neither JPEG nor PNG: {kinds}"] if others else notes


def _of_arrays(source: str, held: arrays.ArraySet) -> Collection:
    parts = [(Path(part.member or arrays.IMAGES).stem, part) for part in held.parts]
    names = tuple(f"{name}[{i}]" for name, part in parts for i in range(part.count))

    def pieces() -> Iterator[Piece]:
        return (piece for _, part in parts for piece in part.pieces())

    return Collection(source, None, names, held.labels, held.classes, pieces)
