"""Images kept as files: a folder with one folder of JPEG or PNG images for each class."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["IMAGE_SUFFIXES", "PIECE", "ClassFolders", "image_files", "open_class_folders"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
PIECE = 256
"""Files that are decoded between two steps of progress."""


@dataclass(frozen=True)
class ClassFolders:
    """A folder of class folders, any of which may be empty."""

    path: Path
    folders: tuple[Path, ...]
    """In the order of the alphabet; a folder's name is its class."""
    files: tuple[tuple[Path, ...], ...]
    """The images of each folder."""

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


def open_class_folders(path: Path) -> ClassFolders:
    """List the class folders in `path` and their images; hidden ones are left out."""
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    return ClassFolders(path, tuple(folders), tuple(tuple(image_files(folder)) for folder in folders))


def image_files(folder: Path) -> list[Path]:
    """The JPEG and PNG files directly in `folder`, by name; hidden ones are left out."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
