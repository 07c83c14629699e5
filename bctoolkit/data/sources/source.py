"""Which kind of data set a source is: decided once, for all who load, inspect or clean one."""

from pathlib import Path
from typing import Literal

from bctoolkit.data.sources.arrays import ARRAYS, ArraySet, is_array_folder, open_arrays
from bctoolkit.data.sources.folders import ClassFolders, open_class_folders
from bctoolkit.data.sources.table import TABLES, open_table
from bctoolkit.documents.names import class_names_fault
from bctoolkit.errors import DatasetError

__all__ = ["open_source"]


def open_source(source: str) -> ClassFolders | ArraySet | Literal["synthetic"]:
    """Look at what a source holds; no image is decoded.

    Args:
        source: a folder of class folders; a table of files, as `open_table` takes it; an `.npz`, an `.npy` or a folder
            of them, as `open_arrays` takes them; or `synthetic`.

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
    if is_array_folder(path):
        return open_arrays(path)
    if path.is_dir():
        opened = open_class_folders(path)
        if not opened.classes and opened.empty:
            raise DatasetError(f"{source}: none of its {opened.empty} class folders holds an image")
        if not opened.classes:
            raise DatasetError(
                f"{source}: holds no class folders and no images.npy; "
                "put the images of each class into a folder of its own"
            )
        return opened
    if path.suffix.lower() in TABLES and path.is_file():
        return open_table(path)
    if path.suffix.lower() in ARRAYS and path.is_file():
        return open_arrays(path)
    if not path.exists():
        raise DatasetError(
            f"{source}: no such folder or file; give a folder of class folders, a .csv, an .npz, or 'synthetic'"
        )
    raise DatasetError(f"{source}: neither a folder of class folders nor a .csv or .npz")
