"""Images kept as files: a folder with one folder of images for each class, which may hold folders of its own."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data.dataset import PART_CALLED, PARTS
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


@dataclass(frozen=True)
class ClassFolders:
    """Files of images by class: in folders, one a class, or as a table lists them."""

    path: Path
    """The folder that all files lie in."""
    classes: tuple[str, ...]
    """In the order of the alphabet; each has an image."""
    files: tuple[tuple[Path, ...], ...]
    """The images of each class."""
    notes: tuple[str, ...] = ()
    """What the folders are taken for, and what lies there and is not read, a line each."""
    empty: int = 0
    """Class folders without an image."""
    published: NDArray[np.int64] | None = None
    """N positions in `PARTS`, where the set comes divided."""
    groups: NDArray[np.object_] | None = None
    """N names of what an image was made of, such as a patient, where that is known."""

    @property
    def images(self) -> list[Path]:
        """N files, class by class."""
        return [file for files in self.files for file in files]

    @property
    def labels(self) -> NDArray[np.int64]:
        """N positions in `classes`."""
        return np.repeat(np.arange(len(self.classes)), [len(files) for files in self.files])


def open_class_folders(path: Path) -> ClassFolders:
    """List the class folders in `path` and the images in and below each; what is hidden or housekeeping is left out.

    Where the folders are called like the parts of a set (`train` and `val` or `test`) and hold folders themselves,
    those are the classes, and the set comes divided.

    Raises:
        DatasetError: the folders are called like parts of a set, and what would be trained on is not among them.
    """
    parts = _parts(path)
    files: dict[str, list[Path]] = {}
    empty: list[Path] = []
    others: list[Path] = []
    roots = [folder for folder, _ in parts] or [path]
    for folder in (folder for root in roots for folder in class_folders(root)):
        below = list(_files(folder))
        found = [file for file in below if is_image(file)]
        others += sorted(set(below) - set(found))
        if found:
            files.setdefault(folder.name, []).extend(found)
        else:
            empty.append(folder)
    classes = tuple(sorted(files))
    listed = tuple(tuple(files[name]) for name in classes)
    notes = _notes(parts, empty, others, sum(len(image_files(root)) for root in {*roots, path}))
    published = None
    if parts:
        part = {folder.name: position for folder, position in parts}
        images = (file for each in listed for file in each)
        published = np.array([part[file.relative_to(path).parts[0]] for file in images], np.int64)
    return ClassFolders(path, classes, listed, notes, len(empty), published)


def _notes(parts: list[tuple[Path, int]], empty: list[Path], others: list[Path], loose: int) -> tuple[str, ...]:
    """What to say of folders.

    Args:
        parts: folders that are parts of the set, and what they are as positions in `PARTS`.
        empty: folders beside the class folders, without an image.
        others: files in any of these that are no images.
        loose: images beside the class folders.
    """
    notes = []
    if parts:
        named = ", ".join(f"{folder.name}/ is for {PARTS[part]}" for folder, part in parts)
        notes.append(f"comes divided, and stays so: {named}")
    notes += [f"class folder {folder.name!r} holds no image: it is left out" for folder in empty]
    if loose:
        notes.append(f"{loose:,} images lie beside the class folders and belong to no class")
    if others:
        kinds = Counter(path.suffix.lower() or "without suffix" for path in others).most_common()
        notes.append(f"left out as no images: {', '.join(f'{count:,} × {kind}' for kind, count in kinds)}")
    return tuple(notes)


def _parts(path: Path) -> list[tuple[Path, int]]:
    """The folders in `path` that are parts of a set, if that is what its folders are.

    Raises:
        DatasetError: one part has two folders, or there is none to train on, or nothing but that.
    """
    called = [(folder, PART_CALLED.get(folder.name.lower())) for folder in class_folders(path)]
    nested = [(folder, PARTS.index(part)) for folder, part in called if part and _holds_classes(folder)]
    if not nested:
        return []
    others = [
        folder.name
        for folder in class_folders(path)
        if folder not in dict(nested) and any(map(is_image, _files(folder)))
    ]
    found = [part for _, part in nested]
    if others or 0 not in found or len(found) != len(set(found)) or len(found) < 2:
        names = ", ".join([folder.name for folder, _ in nested] + others)
        raise DatasetError(
            f"{path}: {names} look like parts of a set, not like classes, but are not train beside val or test, once "
            f"each; give one of them, as {nested[0][0]}, or put the images of each class into a folder of its own"
        )
    return nested


def _holds_classes(folder: Path) -> bool:
    """Whether most of a folder's images lie in folders, and not beside them."""
    inside = (file for each in class_folders(folder) for file in _files(each) if is_image(file))
    return next(islice(inside, len(image_files(folder)), None), None) is not None


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
