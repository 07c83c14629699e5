"""Read images with labels from a folder of class folders, numpy arrays on disk, or the synthetic set."""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import InputContract, decode
from bctoolkit.data.dataset import Dataset, content_hash
from bctoolkit.data.sources.arrays import ArraySet
from bctoolkit.data.sources.folders import PIECE, ClassFolders, image_files
from bctoolkit.data.sources.source import open_source
from bctoolkit.data.sources.synthetic import draw
from bctoolkit.data.stores import Images, LazyImages, fit
from bctoolkit.errors import DatasetError, InputMismatch
from bctoolkit.progress import Progress, Silent
from bctoolkit.system import usable_cpus

__all__ = ["MOST_IN_MEMORY", "load", "load_pictures", "load_synthetic", "load_unlabelled"]

MOST_IN_MEMORY = 2**30
"""Bytes of prepared images up to which a set is held in memory: 38,836 images of 96×96 pixels."""

Pieces = Iterable[list[str] | NDArray[np.uint8]]
"""Images in order, some at a time: names of files, or N × height × width × channels decoded pixels."""


def load(
    source: str, contract: InputContract, progress: Progress | None = None, most_in_memory: int = MOST_IN_MEMORY
) -> Dataset:
    """Load a set, prepared for `contract`.

    Every image is read once, to check and hash it. A set whose prepared images take more than `most_in_memory` bytes
    stays on disk; its `images` then read what they are asked for.

    Args:
        source: a folder with one folder of JPEG or PNG images per class; a folder with `images.npy`, `labels.npy` and,
            for the names, `classes.txt`; an `.npz` with `images` and `labels` (optionally `classes`), or MedMNIST's
            `train_images`, `train_labels`, …; or `synthetic`.
        contract: crop and resize are done as it says.
        progress: shows how many images are read.
        most_in_memory: from which size on the images stay on disk.

    Raises:
        DatasetError: nothing there, an empty class, an image that cannot be read or has other colours, arrays that do
            not fit, or a compressed `.npz` that is too large to be held in memory.
    """
    match open_source(source):
        case ClassFolders() as folders:
            return _load_folders(folders, contract, progress or Silent(), most_in_memory)
        case ArraySet() as arrays:
            return _load_arrays(arrays, contract, progress or Silent(), most_in_memory)
        case "synthetic":
            return load_synthetic(contract)


def load_pictures(source: str, contract: InputContract, progress: Progress | None = None) -> Dataset:
    """Pictures whose classes do not matter: a plain folder of them, or whatever `load` takes.

    Raises:
        DatasetError: nothing there, or a picture that cannot be used.
    """
    path = Path(source)
    if path.is_dir() and not any(each.is_dir() for each in path.iterdir()) and any(image_files(path)):
        return load_unlabelled(path, contract)
    return load(source, contract, progress)


def load_unlabelled(folder: Path, contract: InputContract) -> Dataset:
    """The images directly in `folder`, as one class called `unlabelled`.

    Raises:
        DatasetError: no image there, or one that cannot be used.
    """
    files = image_files(folder)
    if not files:
        raise DatasetError(f"{folder}: holds no JPEG or PNG image")
    names = _names(files)
    images, hashes = _read_files(names, contract, Silent(), MOST_IN_MEMORY)
    return Dataset(images, np.zeros(len(files), np.int64), ("unlabelled",), hashes, str(folder), files=names)


def load_synthetic(contract: InputContract, per_class: int = 120) -> Dataset:
    """The synthetic set, prepared for `contract`."""
    if contract.channels not in (1, 3):
        raise DatasetError(f"synthetic images are RGB or grey; the model wants {contract}")
    pixels, labels, classes = draw(per_class, seed=0, size=max(contract.height, contract.width))
    images = np.empty((len(pixels), *contract.shape), np.uint8)
    hashes = _read([pixels], len(pixels), contract, images, Silent())
    return Dataset(images, labels, classes, hashes, "synthetic", "synthetic")


def _load_folders(folders: ClassFolders, contract: InputContract, progress: Progress, most: int) -> Dataset:
    for folder, files in zip(folders.folders, folders.files, strict=True):
        if not files:
            raise DatasetError(f"{folder}: class folder without a JPEG or PNG image")
    names = _names(folders.images)
    images, hashes = _read_files(names, contract, progress, most)
    return Dataset(images, folders.labels, folders.classes, hashes, str(folders.path), files=names)


def _names(files: list[Path]) -> NDArray[np.object_]:
    return np.array([str(file) for file in files], object)


def _read_files(
    names: NDArray[np.object_], contract: InputContract, progress: Progress, most: int
) -> tuple[Images, NDArray[np.uint8]]:
    pieces = [names[start : start + PIECE].tolist() for start in range(0, len(names), PIECE)]
    if _prepared_bytes(len(names), contract) > most:
        hashes = _read(pieces, len(names), contract, None, progress)
        return LazyImages(names, partial(_decoded, contract=contract), contract), hashes
    images = np.empty((len(names), *contract.shape), np.uint8)
    return images, _read(pieces, len(names), contract, images, progress)


def _load_arrays(arrays: ArraySet, contract: InputContract, progress: Progress, most: int) -> Dataset:
    total, shape = len(arrays.labels), arrays.parts[0].shape
    if shape[2] != contract.channels and not (contract.channels == 1 and shape[2] == 3):
        raise DatasetError(f"{arrays.path}: its images are {'×'.join(map(str, shape))}; the model wants {contract}")
    images: Images
    if _prepared_bytes(total, contract) > most:
        images = LazyImages(_offsets(arrays, contract, most), arrays.parts[0].read, contract)
        hashes = _read(arrays.pieces(), total, contract, None, progress)
    else:
        images = np.empty((total, *contract.shape), np.uint8)
        hashes = _read(arrays.pieces(), total, contract, images, progress)
    return Dataset(images, arrays.labels, arrays.classes, hashes, str(arrays.path), published=arrays.published)


def _offsets(arrays: ArraySet, contract: InputContract, most: int) -> NDArray[np.int64]:
    """Where in the file each image begins; all parts of a set lie in one file."""
    offsets = [part.offsets for part in arrays.parts if part.offsets is not None]
    if len(offsets) < len(arrays.parts):
        count = len(arrays.labels)
        raise DatasetError(
            f"{arrays.path}: {count:,} images take {_prepared_bytes(count, contract) / 2**20:,.0f} MiB of memory at "
            f"{contract.width}×{contract.height} pixels, more than {most / 2**20:,.0f} MiB, and a compressed .npz "
            "cannot be read in parts; write it again with np.savez, or as a folder with images.npy and labels.npy"
        )
    return np.concatenate(offsets)


def _prepared_bytes(count: int, contract: InputContract) -> int:
    return count * contract.height * contract.width * contract.channels


def _read(
    pieces: Pieces, total: int, contract: InputContract, images: NDArray[np.uint8] | None, progress: Progress
) -> NDArray[np.uint8]:
    """Hash every image, and prepare it into its row of `images`.

    Without `images`, one image of each size is prepared as a check: whether an image fits depends on its size alone.
    Pillow and hashlib work outside the interpreter lock, so threads help.
    """
    hashes = np.empty((total, 32), np.uint8)
    sizes_that_fit = set[tuple[int, ...]]()

    def read_row(row: int, item: str | NDArray[np.uint8]) -> None:
        name, pixels = (item, _decoded(item, contract)) if isinstance(item, str) else (f"image {row}", item)
        hashes[row] = np.frombuffer(content_hash(pixels), np.uint8)
        if images is None and pixels.shape in sizes_that_fit:
            return
        prepared = fit(pixels, contract, name)
        sizes_that_fit.add(pixels.shape)
        if images is not None:
            images[row] = prepared

    done = 0
    with ThreadPoolExecutor(usable_cpus()) as pool:
        for piece in pieces:
            deque(pool.map(read_row, count(done), piece), maxlen=0)
            done += len(piece)
            progress.step("reading images", done, total)
    return hashes


def _decoded(name: str, contract: InputContract) -> NDArray[np.uint8]:
    """The pixels of an image file."""
    try:
        return decode(name, contract)
    except InputMismatch as problem:
        raise DatasetError(str(problem)) from None
