"""Images kept as files: a folder with one folder of images for each class, which may hold folders of its own."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import DatasetError
from bctoolkit.untrusted.files import open_regular
from bctoolkit.untrusted.images import BEGINNING, kind_of

__all__ = [
    "PIECE",
    "ClassFolders",
    "class_folders",
    "image_files",
    "is_housekeeping",
    "is_image",
    "open_class_folders",
]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif")
"""Whatever is called so is meant as an image; other files are images if they begin like one."""
PIECE = 256
"""Files that are decoded between two steps of progress."""

HOUSEKEEPING = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "thumbs.db"}
    | {"desktop.ini", "ehthumbs.db"}
)
"""What systems leave in folders, in small letters; hidden names, such as .DS_Store, are left out besides."""

PARTS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
"""Names of folders that are no classes."""


@dataclass(frozen=True)
class ClassFolders:
    """A folder of class folders, each with an image."""

    path: Path
    folders: tuple[Path, ...]
    """In the order of the alphabet; a folder's name is its class."""
    files: tuple[tuple[Path, ...], ...]
    """The images of each folder and of the folders below it."""
    empty: tuple[Path, ...]
    """Folders beside them without an image: they are no classes."""
    others: tuple[Path, ...]
    """Files in any of these that are no images."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the folders."""
        return tuple(folder.name for folder in self.folders)

    @property
    def images(self) -> list[Path]:
        """N files, class by class."""
        return [file for files in self.files for file in files]

    @property
    def labels(self) -> NDArray[np.int64]:
        """N positions in `classes`."""
        return np.repeat(np.arange(len(self.folders)), [len(files) for files in self.files])

    @cached_property
    def notes(self) -> list[str]:
        """What lies there and is not read, a line each."""
        notes = [f"class folder {folder.name!r} holds no image: it is left out" for folder in self.empty]
        loose = len(image_files(self.path))
        if loose:
            notes.append(f"{loose:,} images lie beside the class folders and belong to no class")
        if self.others:
            kinds = Counter(path.suffix.lower() or "without suffix" for path in self.others).most_common()
            notes.append(f"left out as no images: {', '.join(f'{count:,} × {kind}' for kind, count in kinds)}")
        return notes


def open_class_folders(path: Path) -> ClassFolders:
    """List the class folders in `path` and the images in and below each; what is hidden or housekeeping is left out.

    Raises:
        DatasetError: the folders are named as the parts of a set and hold the classes: each would become a class.
    """
    filled, files, empty, others = [], [], [], []
    for folder in class_folders(path):
        below = list(_files(folder))
        images = tuple(file for file in below if is_image(file))
        others += sorted(set(below) - set(images))
        if images:
            filled.append(folder)
            files.append(images)
        else:
            empty.append(folder)
    opened = ClassFolders(path, tuple(filled), tuple(files), tuple(empty), tuple(others))
    _refuse_parts(opened)
    return opened


def class_folders(path: Path) -> list[Path]:
    """The folders directly in `path`, by name; what is hidden or housekeeping is left out."""
    return [each for each in sorted(path.iterdir()) if each.is_dir() and not is_housekeeping(each)]


def image_files(folder: Path) -> list[Path]:
    """The images directly in `folder`, by name; what is hidden or housekeeping is left out."""
    files = (each for each in sorted(folder.iterdir()) if not each.is_dir() and not is_housekeeping(each))
    return [each for each in files if is_image(each)]


def _files(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All files in and below a folder, by name; a link that leads back up is not followed."""
    real = folder.resolve()
    if real in above:
        return
    for path in sorted(folder.iterdir()):
        if is_housekeeping(path):
            continue
        if path.is_dir():
            yield from _files(path, (*above, real))
        else:
            yield path


def is_housekeeping(path: Path) -> bool:
    """Whether a file or folder is hidden, or what systems leave behind."""
    return path.name.startswith(".") or path.name.lower() in HOUSEKEEPING


def is_image(path: Path) -> bool:
    """Whether a file is called like an image, or begins like one."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        with open_regular(path, DatasetError) as file:
            return kind_of(file.read(BEGINNING)) is not None
    except (DatasetError, OSError):
        return False


def _refuse_parts(opened: ClassFolders) -> None:
    nested = all(
        file.parent != folder for folder, files in zip(opened.folders, opened.files, strict=True) for file in files
    )
    if opened.folders and nested and {name.lower() for name in opened.classes} <= PARTS:
        raise DatasetError(
            f"{opened.path}: {', '.join(opened.classes)} look like parts of a set, not like classes; give one of them, "
            f"as {opened.folders[0]}, or put the images of each class into a folder of its own"
        )
