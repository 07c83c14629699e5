"""Write the images that stay: as a folder of class folders, or as an `.npz`. Whole or not at all."""

import glob
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.data.quality.manifest import MANIFEST, Manifest
from bctoolkit.data.quality.measures import Measures
from bctoolkit.data.sources.collection import Collection, decode
from bctoolkit.documents import to_json
from bctoolkit.errors import DatasetError
from bctoolkit.files import atomic_folder, atomic_path, sigterm_as_interrupt, without_empty_folders
from bctoolkit.progress import Progress

__all__ = ["write_archive", "write_folder"]


def write_folder(
    collection: Collection, index: NDArray[np.int64], out: Path, manifest: Manifest, progress: Progress
) -> None:
    """Copy the files that stay, in the folders they lie in, or write pixels of arrays as PNG into class folders."""
    tops = {name.split("/")[0] for name in collection.names if "/" in name}
    with atomic_folder(out, MANIFEST, [glob.escape(name) for name in {*collection.classes, *tops}]) as folder:
        for done, (position, item) in enumerate(_items(collection, index), 1):
            name = collection.classes[collection.labels[position]]
            is_file = isinstance(item, Path)
            copy = folder / (collection.names[position] if is_file else f"{name}/{position:07d}.png")
            copy.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(item, Path):
                shutil.copyfile(item, copy)
            else:
                Image.fromarray(item).save(copy)
            if done % 256 == 0 or done == len(index):
                progress.step("writing images", done, len(index))
        (folder / MANIFEST).write_bytes(to_json(manifest))


def write_archive(
    collection: Collection,
    measures: Measures,
    index: NDArray[np.int64],
    out: Path,
    manifest: Manifest,
    progress: Progress,
) -> None:
    """Write `images`, `labels` and `classes`, uncompressed so that images can be read one by one, and the manifest.

    All in one file, so that no kill leaves the manifest of one set beside another.

    Arrays that came in parts (MedMNIST's `train_images`, …) keep them.

    Raises:
        DatasetError: images of different sizes; an array has one.
    """
    _require_one_size(collection, measures, index)
    with without_empty_folders(out.parent), sigterm_as_interrupt():
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(out) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(MANIFEST, to_json(manifest))
            _write_arrays(collection, measures, index, archive, progress)


def _require_one_size(collection: Collection, measures: Measures, index: NDArray[np.int64]) -> None:
    sizes = np.unique(measures.sizes[index], axis=0)
    if len(sizes) > 1:
        (width, height), (other_width, other_height) = sizes[0], sizes[-1]
        raise DatasetError(
            f"{collection.source}: holds images of {width}×{height} and of {other_width}×{other_height} pixels, "
            "an .npz has room for one size; clean into a folder"
        )


def _write_arrays(
    collection: Collection, measures: Measures, index: NDArray[np.int64], archive: zipfile.ZipFile, progress: Progress
) -> None:
    width, height = measures.sizes[index[0]].tolist()
    items = _items(collection, index)
    written = 0
    for prefix, part in _parts(collection, index):
        with archive.open(f"{prefix}images.npy", "w", force_zip64=True) as stream:
            shape = (len(part), height, width, 3)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for _ in part:
                item = next(items)[1]
                pixels = item if isinstance(item, np.ndarray) else decode(item, collection.white).pixels
                if pixels is None or pixels.shape != shape[1:]:
                    raise DatasetError(f"{collection.source}: an image has changed while it was read; try again")
                stream.write(np.ascontiguousarray(pixels).data)
                written += 1
                if written % 256 == 0 or written == len(index):
                    progress.step("writing images", written, len(index))
        _write_array(archive, f"{prefix}labels", collection.labels[part])
    _write_array(archive, "classes", np.array(collection.classes))


def _write_array(archive: zipfile.ZipFile, name: str, values: NDArray[np.int64] | NDArray[np.str_]) -> None:
    with archive.open(f"{name}.npy", "w") as stream:
        np.lib.format.write_array(stream, values, allow_pickle=False)


def _parts(collection: Collection, index: NDArray[np.int64]) -> list[tuple[str, NDArray[np.int64]]]:
    """Which of the images go into which array, by the prefix of its name; a part without any is left out."""
    ends = np.searchsorted(index, np.cumsum(list(collection.parts.values())))
    parts = zip(collection.parts, np.split(index, ends[:-1]), strict=True)
    return [(prefix, part) for prefix, part in parts if len(part)]


def _items(collection: Collection, index: NDArray[np.int64]) -> Iterator[tuple[int, Path | NDArray[np.uint8]]]:
    """The images that stay, in order, with their positions."""
    positions = set(index.tolist())
    for position, item in enumerate(item for piece in collection.pieces() for item in piece):
        if position in positions:
            yield position, item
