"""Write the images that stay: as a folder of class folders, or as an `.npz`. Whole or not at all."""

import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.data.quality.measures import Measures
from bctoolkit.data.sources.collection import Collection, decode
from bctoolkit.documents import to_json
from bctoolkit.errors import DatasetError
from bctoolkit.files import atomic_folder, sigterm_as_interrupt
from bctoolkit.progress import Progress

if TYPE_CHECKING:
    from bctoolkit.data.quality.manifest import Manifest

__all__ = ["write_archive", "write_folder"]


def write_folder(
    collection: Collection, kept: NDArray[np.int64], out: Path, manifest: "Manifest", progress: Progress
) -> None:
    """Copy the files that stay, or write pixels of arrays as PNG, into class folders."""
    with atomic_folder(out, "manifest.json") as folder:
        for label in np.unique(collection.labels[kept]):
            (folder / collection.classes[label]).mkdir()
        for done, (index, item) in enumerate(_items(collection, kept), 1):
            name = collection.classes[collection.labels[index]]
            if isinstance(item, Path):
                shutil.copyfile(item, folder / name / item.name)
            else:
                Image.fromarray(item).save(folder / name / f"{index:07d}.png")
            if done % 256 == 0 or done == len(kept):
                progress.step("writing images", done, len(kept))
        (folder / "manifest.json").write_bytes(to_json(manifest))


def write_archive(
    collection: Collection,
    measures: Measures,
    kept: NDArray[np.int64],
    out: Path,
    manifest: "Manifest",
    progress: Progress,
) -> None:
    """Write `images`, `labels` and `classes`, uncompressed so that images can be read one by one.

    Arrays that came in parts (MedMNIST's `train_images`, …) keep them.

    Raises:
        DatasetError: images of different sizes, or not RGB; an array has one size.
    """
    _require_one_kind(collection, measures, kept)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial, beside = out.with_name(f".{out.name}.partial-{os.getpid()}"), out.with_suffix(".manifest.json")
    noted = beside.with_name(f".{beside.name}.partial-{os.getpid()}")
    with sigterm_as_interrupt():
        try:
            _write_arrays(collection, measures, kept, partial, progress)
            noted.write_bytes(to_json(manifest))
            noted.replace(beside)
            partial.replace(out)
        finally:
            partial.unlink(missing_ok=True)
            noted.unlink(missing_ok=True)


def _require_one_kind(collection: Collection, measures: Measures, kept: NDArray[np.int64]) -> None:
    sizes = np.unique(measures.sizes[kept], axis=0)
    if len(sizes) > 1:
        (width, height), (other_width, other_height) = sizes[0], sizes[-1]
        raise DatasetError(
            f"{collection.source}: holds images of {width}×{height} and of {other_width}×{other_height} pixels, "
            "an .npz has room for one size; clean into a folder"
        )
    modes = [measures.modes[i] for i in kept]
    odd = next((i for i, mode in zip(kept, modes, strict=True) if mode != "RGB"), None)
    if odd is not None:
        raise DatasetError(f"{collection.names[odd]}: mode {measures.modes[odd]} does not fit an .npz of RGB images")


def _write_arrays(
    collection: Collection, measures: Measures, kept: NDArray[np.int64], file: Path, progress: Progress
) -> None:
    width, height = measures.sizes[kept[0]].tolist()
    items = _items(collection, kept)
    written = 0
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for prefix, index in _parts(collection, kept):
            with archive.open(f"{prefix}images.npy", "w", force_zip64=True) as stream:
                shape = (len(index), height, width, 3)
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, header)
                for _ in index:
                    item = next(items)[1]
                    pixels = item if isinstance(item, np.ndarray) else decode(item).pixels
                    if pixels is None or pixels.shape != shape[1:]:
                        raise DatasetError(f"{collection.source}: an image has changed while it was read; try again")
                    stream.write(np.ascontiguousarray(pixels).data)
                    written += 1
                    if written % 256 == 0 or written == len(kept):
                        progress.step("writing images", written, len(kept))
            _write_array(archive, f"{prefix}labels", collection.labels[index])
        _write_array(archive, "classes", np.array(collection.classes))


def _write_array(archive: zipfile.ZipFile, name: str, values: NDArray[np.int64] | NDArray[np.str_]) -> None:
    with archive.open(f"{name}.npy", "w") as stream:
        np.lib.format.write_array(stream, values, allow_pickle=False)


def _parts(collection: Collection, kept: NDArray[np.int64]) -> list[tuple[str, NDArray[np.int64]]]:
    """Which images go into which array, by the prefix of its name; only arrays that came in parts have several."""
    prefixes: dict[str, list[int]] = {}
    for index in kept.tolist():
        array, opened, _ = collection.names[index].rpartition("[")
        prefix = array.removesuffix("images") if opened and array.endswith("_images") else ""
        prefixes.setdefault(prefix if collection.root is None else "", []).append(index)
    return [(prefix, np.array(index, np.int64)) for prefix, index in prefixes.items()]


def _items(collection: Collection, kept: NDArray[np.int64]) -> Iterator[tuple[int, Path | NDArray[np.uint8]]]:
    """The images that stay, in order, with their positions."""
    wanted = set(kept.tolist())
    index = 0
    for piece in collection.pieces():
        for item in piece:
            if index in wanted:
                yield index, item
            index += 1
