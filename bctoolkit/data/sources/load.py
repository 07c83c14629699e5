"""Read images with labels from a folder of class folders, numpy arrays on disk, or the synthetic set."""

import shlex
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import InputContract, decode
from bctoolkit.data.dataset import Dataset, content_hash
from bctoolkit.data.sources.arrays import ArraySet
from bctoolkit.data.sources.folders import PIECE, ClassFolders, class_folders, image_files
from bctoolkit.data.sources.reading import ArrayReader, array_reader
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

    Every image is read once, to check and hash it. Files that cannot be read are left out, and counted by class. A set
    whose prepared images take more than `most_in_memory` bytes stays on disk; its `images` then read what is asked for.

    Args:
        source: a folder with one folder of image files per class; an `.npz`, an `.npy` or a folder of them, as
            `sources.arrays.open_arrays` takes them; or `synthetic`.
        contract: crop and resize are done as it says.
        progress: shows how many images are read, and is told of what is left out.
        most_in_memory: from which size on the images stay on disk.

    Raises:
        DatasetError: nothing there, a class of whose files none can be read, an image smaller than the crop, arrays
            that do not fit, or a compressed `.npz` that is too large to be held in memory.
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
    if path.is_dir() and not class_folders(path) and image_files(path):
        return load_unlabelled(path, contract, progress)
    return load(source, contract, progress)


def load_unlabelled(folder: Path, contract: InputContract, progress: Progress | None = None) -> Dataset:
    """The images directly in `folder`, as one class called `unlabelled`.

    Raises:
        DatasetError: no image there that can be used.
    """
    files = image_files(folder)
    if not files:
        raise DatasetError(f"{folder}: holds no image")
    found = ClassFolders(folder.parent, ("unlabelled",), (tuple(files),))
    return _load_files(found, str(folder), contract, progress or Silent(), MOST_IN_MEMORY)


def load_synthetic(contract: InputContract, per_class: int = 120) -> Dataset:
    """The synthetic set, prepared for `contract`."""
    if contract.channels not in (1, 3):
        raise DatasetError(f"synthetic images are RGB or grey; the model wants {contract}")
    pixels, labels, classes = draw(per_class, seed=0, size=max(contract.height, contract.width))
    images = np.empty((len(pixels), *contract.shape), np.uint8)
    hashes = _read([pixels], len(pixels), contract, images, Silent())
    return Dataset(images, labels, classes, hashes, "synthetic", "synthetic")


def _load_folders(folders: ClassFolders, contract: InputContract, progress: Progress, most: int) -> Dataset:
    for note in folders.notes:
        progress.say(f"{folders.path}: {note}")
    return _load_files(folders, str(folders.path), contract, progress, most)


def _load_files(folders: ClassFolders, source: str, contract: InputContract, progress: Progress, most: int) -> Dataset:
    names = np.array([str(file) for file in folders.images], object)
    images, hashes, problems = _read_files(names, contract, progress, most)
    dataset = Dataset(
        images,
        folders.labels,
        folders.classes,
        hashes,
        source,
        published=folders.published,
        files=names,
        groups=folders.groups,
    )
    return _without(problems, dataset, progress) if problems else dataset


def _without(problems: dict[int, str], dataset: Dataset, progress: Progress) -> Dataset:
    """The images that can be read, once it has been said how many of each class cannot.

    Args:
        problems: position → why an image cannot be read.
        dataset: all images, with nothing in the rows of those.
        progress: told of them.

    Raises:
        DatasetError: a class would be left without an image.
    """
    bad = sorted(problems)
    total, unread = (
        dict(zip(dataset.classes, np.bincount(labels, minlength=len(dataset.classes)).tolist(), strict=True))
        for labels in (dataset.labels, dataset.labels[bad])
    )
    first, source = problems[bad[0]], shlex.quote(dataset.source)
    for name in dataset.classes:
        if unread[name] == total[name]:
            raise DatasetError(
                f"{dataset.source}: of class {name!r} none of {total[name]:,} images can be read; the first: {first}; "
                f"see them all with: bctk data inspect {source}"
            )
    by_class = ", ".join(f"{name} {number:,}" for name, number in unread.items() if number)
    progress.say(
        f"NOT READ: {len(bad):,} of {len(dataset):,} images of {dataset.source}, which are left out: {by_class}; the "
        f"first: {first}; write the set without them with: bctk data clean {source} --out DIR"
    )
    kept = dataset.take(np.setdiff1d(np.arange(len(dataset)), bad))
    return replace(kept, unreadable={name: number for name, number in unread.items() if number})


def _read_files(
    names: NDArray[np.object_], contract: InputContract, progress: Progress, most: int
) -> tuple[Images, NDArray[np.uint8], dict[int, str]]:
    pieces = [names[start : start + PIECE].tolist() for start in range(0, len(names), PIECE)]
    problems = dict[int, str]()
    if _prepared_bytes(len(names), contract) > most:
        hashes = _read(pieces, len(names), contract, None, progress, problems)
        return LazyImages(names, partial(_decoded, contract=contract), contract), hashes, problems
    images = np.empty((len(names), *contract.shape), np.uint8)
    return images, _read(pieces, len(names), contract, images, progress, problems), problems


def _load_arrays(arrays: ArraySet, contract: InputContract, progress: Progress, most: int) -> Dataset:
    total, reader = len(arrays.labels), array_reader(arrays.parts, contract, progress)
    images: Images
    if _prepared_bytes(total, contract) > most:
        images = LazyImages(_locations(reader, total, most), reader.read, contract)
        hashes = _read(reader.pieces(), total, contract, None, progress)
    else:
        images = np.empty((total, *contract.shape), np.uint8)
        hashes = _read(reader.pieces(), total, contract, images, progress)
    return Dataset(images, arrays.labels, arrays.classes, hashes, str(arrays.path), published=arrays.published)


def _locations(reader: ArrayReader, count: int, most: int) -> NDArray[np.int64]:
    """Where each image begins."""
    if reader.locations is None:
        contract, path = reader.contract, reader.parts[0].path
        raise DatasetError(
            f"{path}: {count:,} images take {_prepared_bytes(count, contract) / 2**20:,.0f} MiB of memory at "
            f"{contract.width}×{contract.height} pixels, more than {most / 2**20:,.0f} MiB, and a compressed .npz "
            "cannot be read in parts; write it again with np.savez, or as a folder with images.npy and labels.npy"
        )
    return reader.locations


def _prepared_bytes(count: int, contract: InputContract) -> int:
    return count * contract.height * contract.width * contract.channels


def _read(
    pieces: Pieces,
    total: int,
    contract: InputContract,
    images: NDArray[np.uint8] | None,
    progress: Progress,
    problems: dict[int, str] | None = None,
) -> NDArray[np.uint8]:
    """Hash every image, and prepare it into its row of `images`; `problems` gets why a row stays as it is.

    Without `images`, one image of each size is prepared as a check: whether an image fits depends on its size alone.
    Pillow and hashlib work outside the interpreter lock, so threads help.
    """
    hashes = np.empty((total, 32), np.uint8)
    sizes_that_fit = set[tuple[int, ...]]()

    def read_row(row: int, item: str | NDArray[np.uint8]) -> None:
        try:
            name, pixels = (item, _decoded(item, contract)) if isinstance(item, str) else (f"image {row}", item)
        except DatasetError as problem:
            if problems is None:
                raise
            problems[row] = str(problem)
            return
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
