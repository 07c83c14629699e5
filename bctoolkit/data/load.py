"""Read images with labels from a folder of class folders, an `.npz`, or the synthetic set."""

import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import InputContract, open_rgb, prepare
from bctoolkit.data.dataset import Dataset, content_hash
from bctoolkit.data.split import PARTS
from bctoolkit.data.synthetic import draw
from bctoolkit.errors import DatasetError, InputMismatch
from bctoolkit.progress import Progress, Silent

__all__ = ["IMAGE_SUFFIXES", "image_files", "load", "load_unlabelled"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MEDMNIST = {"train": "train", "val": "validation", "test": "test"}


def load(source: str, contract: InputContract, progress: Progress | None = None) -> Dataset:
    """Load a whole set into memory, prepared for `contract`.

    Args:
        source: a folder with one folder of JPEG or PNG images per class; an `.npz` with `images` and `labels`
            (optionally `classes`), or MedMNIST's `train_images`, `train_labels`, …; or `synthetic`.
        contract: crop and resize are done as it says.
        progress: told how many images are read.

    Raises:
        DatasetError: nothing there, an empty class, an unreadable or non-RGB image, or arrays that do not fit.
    """
    told = progress or Silent()
    if source == "synthetic":
        return _synthetic(contract)
    path = Path(source)
    if path.is_dir():
        return _load_folder(path, contract, told)
    if path.suffix == ".npz" and path.is_file():
        return _load_npz(path, contract, told)
    if not path.exists():
        raise DatasetError(f"{source}: no such folder or file; give a folder of class folders, an .npz, or 'synthetic'")
    raise DatasetError(f"{source}: neither a folder of class folders nor an .npz")


def load_unlabelled(folder: Path, contract: InputContract) -> Dataset:
    """The images directly in `folder`, as one class called `unlabelled`.

    Raises:
        DatasetError: no image there, or one that cannot be used.
    """
    files = image_files(folder)
    if not files:
        raise DatasetError(f"{folder}: holds no JPEG or PNG image")
    images, hashes = _prepare_all(files, contract, Silent())
    return Dataset(images, np.zeros(len(files), np.int64), ("unlabelled",), hashes, str(folder))


def image_files(folder: Path) -> list[Path]:
    """The JPEG and PNG files directly in `folder`, by name; hidden ones are left out."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))


def _synthetic(contract: InputContract) -> Dataset:
    images, labels, classes = draw(per_class=120, seed=0, size=max(contract.height, contract.width))
    prepared, hashes = _prepare_all(list(images), contract, Silent())
    return Dataset(prepared, labels, classes, hashes, "synthetic", "synthetic")


def _load_folder(path: Path, contract: InputContract, progress: Progress) -> Dataset:
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise DatasetError(f"{path}: holds no class folders")
    files = [image_files(folder) for folder in folders]
    empty = [folder for folder, found in zip(folders, files, strict=True) if not found]
    if empty:
        raise DatasetError(f"{empty[0]}: class folder without a JPEG or PNG image")
    labels = np.repeat(np.arange(len(folders)), [len(found) for found in files])
    images, hashes = _prepare_all([file for found in files for file in found], contract, progress)
    return Dataset(images, labels, tuple(folder.name for folder in folders), hashes, str(path))


def _load_npz(path: Path, contract: InputContract, progress: Progress) -> Dataset:
    arrays = _read_npz(path)
    if "images" in arrays:
        images, labels = _pair(arrays, "", path)
        published = None
    elif "train_images" in arrays:
        parts = [part for part in MEDMNIST if f"{part}_images" in arrays]
        pairs = [_pair(arrays, f"{part}_", path) for part in parts]
        images = _concatenate([images for images, _ in pairs], path)
        labels = np.concatenate([labels for _, labels in pairs])
        published = np.repeat([PARTS.index(MEDMNIST[part]) for part in parts], [len(labels) for _, labels in pairs])
    else:
        held = ", ".join(arrays) or "nothing"
        raise DatasetError(f"{path}: holds neither 'images' nor 'train_images'; it holds: {held}")
    positions, classes = _classes(labels, arrays.get("classes"), path)
    prepared, hashes = _prepare_all(images, contract, progress)
    return Dataset(prepared, positions, classes, hashes, str(path), published=published)


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    if not zipfile.is_zipfile(path):
        raise DatasetError(f"{path}: cannot be read as .npz (not a zip archive)")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, OSError, NotImplementedError, zipfile.BadZipFile, zlib.error) as problem:
        if "pickle" in str(problem).lower():
            raise DatasetError(
                f"{path}: holds pickled Python objects, which are never loaded; save plain arrays"
            ) from None
        raise DatasetError(f"{path}: cannot be read as .npz ({problem})") from None


def _pair(arrays: dict[str, NDArray[Any]], part: str, path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """The images and labels whose names begin with `part`."""
    name = f"{part}labels"
    if name not in arrays:
        raise DatasetError(f"{path}: holds no {name!r}; it holds: {', '.join(arrays)}")
    images, labels = arrays[f"{part}images"], arrays[name].reshape(-1)
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise DatasetError(
            f"{path}: '{part}images' has shape {images.shape} and dtype {images.dtype}; "
            "wanted N×height×width×3 uint8 (RGB)"
        )
    if len(labels) != len(images):
        raise DatasetError(f"{path}: {len(images)} images but {len(labels)} labels in {name!r}")
    return images, labels


def _concatenate(images: list[NDArray[Any]], path: Path) -> NDArray[Any]:
    shapes = {part.shape[1:] for part in images}
    if len(shapes) > 1:
        raise DatasetError(f"{path}: its parts hold images of different shapes: {sorted(shapes)}")
    return np.concatenate(images)


def _classes(labels: NDArray[Any], given: NDArray[Any] | None, path: Path) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels as positions, and the names they stand for."""
    names = None if given is None else tuple(str(name) for name in given)
    if names is not None and len(set(names)) < len(names):
        raise DatasetError(f"{path}: 'classes' holds a name twice: {', '.join(names)}")
    if labels.dtype.kind in "US":
        labels, names = _named_labels(labels.astype(str), names, path)
    if labels.dtype.kind not in "iu" or len(labels) == 0 or labels.min() < 0:
        raise DatasetError(f"{path}: 'labels' must be class names or whole numbers from 0, one for each image")
    if labels.max() >= (len(labels) if names is None else len(names)):
        known = f"only {len(labels)} images" if names is None else f"only {len(names)} names in 'classes'"
        raise DatasetError(f"{path}: label {labels.max()} but {known}")
    classes = names or tuple(f"class_{i}" for i in range(int(labels.max()) + 1))
    empty = np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 0)
    if empty.size:
        raise DatasetError(f"{path}: class {classes[empty[0]]!r} has no image")
    return labels.astype(np.int64), classes


def _named_labels(
    labels: NDArray[Any], names: tuple[str, ...] | None, path: Path
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Positions of labels given as names: in the order of `names`, or of the alphabet."""
    order = names or tuple(np.unique(labels).tolist())
    unknown = sorted(set(labels.tolist()) - set(order))
    if unknown:
        raise DatasetError(f"{path}: label {unknown[0]!r} is not in 'classes': {', '.join(order)}")
    position = {name: index for index, name in enumerate(order)}
    return np.array([position[label] for label in labels.tolist()], np.int64), order


def _prepare_all(
    items: Sequence[Path] | Sequence[NDArray[np.uint8]] | NDArray[np.uint8], contract: InputContract, progress: Progress
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Prepare and hash every image; Pillow decodes outside the interpreter lock, so threads help."""
    images = np.empty((len(items), *contract.shape), np.uint8)
    hashes = np.empty((len(items), 32), np.uint8)

    def one(index: int) -> None:
        pixels = _pixels(items[index])
        hashes[index] = np.frombuffer(content_hash(pixels), np.uint8)
        images[index] = _named(lambda: prepare(pixels, contract), items[index], index)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, _ in enumerate(pool.map(one, range(len(items))), 1):
            if done % 256 == 0 or done == len(items):
                progress.step("reading images", done, len(items))
    return images, hashes


def _pixels(item: Path | NDArray[np.uint8]) -> NDArray[np.uint8]:
    if isinstance(item, np.ndarray):
        return item
    try:
        return np.asarray(open_rgb(item))
    except InputMismatch as problem:
        raise DatasetError(str(problem)) from None


def _named(call: Callable[[], NDArray[Any]], item: Path | NDArray[np.uint8], index: int) -> NDArray[Any]:
    """Let an error of `call` name the image it happened on."""
    try:
        return call()
    except InputMismatch as problem:
        name = item if isinstance(item, Path) else f"image {index}"
        raise DatasetError(f"{name}: {problem}") from None
