"""Which kind of data set a source is: decided once, for all who load, inspect or clean one."""

from pathlib import Path
from typing import Literal

from bctoolkit.data.sources.arrays import IMAGES, ArraySet, open_folder, open_npz
from bctoolkit.data.sources.folders import ClassFolders, open_class_folders
from bctoolkit.documents.names import class_names_fault
from bctoolkit.errors import DatasetError

__all__ = ["open_source"]


def open_source(source: str) -> ClassFolders | ArraySet | Literal["synthetic"]:
    """Look at what a source holds; no image is decoded.

    Args:
        source: a folder of class folders; a folder with `images.npy`; an `.npz`; or `synthetic`.

    Raises:
        DatasetError: nothing there, nothing that is a set of images, arrays that do not fit, or names of classes that
            cannot be those of folders.
    """
    if source == "synthetic":
        return "synthetic"
    opened = _open(source, Path(source))
    fault = class_names_fault(opened.classes)
    if fault is not None:
        raise DatasetError(f"{source}: class {fault}; name it otherwise")
    return opened


def _open(source: str, path: Path) -> ClassFolders | ArraySet:
    if (path / IMAGES).is_file():
        return open_folder(path)
    if path.is_dir():
        opened = open_class_folders(path)
        if not opened.folders and opened.empty:
            raise DatasetError(f"{source}: none of its {len(opened.empty)} class folders holds an image")
        if not opened.folders:
            raise DatasetError(
                f"{source}: holds no class folders and no {IMAGES}; "
                "put the images of each class into a folder of its own"
            )
        return opened
    if path.suffix == ".npz" and path.is_file():
        return open_npz(path)
    if not path.exists():
        raise DatasetError(f"{source}: no such folder or file; give a folder of class folders, an .npz, or 'synthetic'")
    hint = "; put it into a folder as images.npy, beside labels.npy" if path.suffix == ".npy" else ""
    raise DatasetError(f"{source}: neither a folder of class folders nor an .npz{hint}")
