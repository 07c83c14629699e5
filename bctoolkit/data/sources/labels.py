"""Which class each image of a set of arrays is of, and what the classes are called."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import DatasetError
from bctoolkit.untrusted.files import read_bounded

__all__ = ["MOST_IMAGES", "positions_and_classes", "read_names", "read_texts"]

MOST_IMAGES, MOST_CLASSES = 10_000_000, 100_000
MOST_NAME_BYTES = 2**24
"""Of a file of names."""


def read_names(path: Path) -> tuple[str, ...] | None:
    """Class names from a text file, one a line; None where there is no such file."""
    if not os.path.lexists(path):
        return None
    try:
        lines = read_bounded(path, MOST_NAME_BYTES, DatasetError).decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise DatasetError(f"{path}: not UTF-8 text; write one class name a line") from None
    return tuple(line.strip() for line in lines if line.strip())


def read_texts(names: NDArray[Any]) -> tuple[str, ...]:
    """Class names from an array.

    Raises:
        ValueError: it is no list of texts.
    """
    if names.ndim != 1 or names.dtype.kind not in "USiu":
        raise ValueError(f"'classes' has shape {names.shape} and dtype {names.dtype}; wanted one name for each class")
    return tuple(_as_text(names).tolist())


def _as_text(values: NDArray[Any]) -> NDArray[np.str_]:
    """Numbers as their digits, bytes as UTF-8."""
    if values.dtype.kind == "S":
        return np.array([value.decode("utf-8") for value in values.tolist()])
    return values.astype(str)


def positions_and_classes(
    labels: NDArray[Any], names: tuple[str, ...] | None, path: Path
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels as positions, and the names they stand for.

    Args:
        labels: of N images: names, or positions in `names`.
        names: of the classes, where they are known.
        path: of the set, for messages.

    Raises:
        DatasetError: labels that are neither, or stand for no class; a class without an image; too many classes.
    """
    try:
        if labels.dtype.kind in "US":
            labels, names = _named_labels(_as_text(labels), names, path)
    except ValueError:  # of numpy and of UTF-8: no characters
        raise DatasetError(f"{path}: 'labels' holds what is no text; write names in UTF-8, or numbers") from None
    if labels.dtype.kind not in "iu" or len(labels) == 0 or labels.min() < 0:
        raise DatasetError(f"{path}: 'labels' must be class names or whole numbers from 0, one for each image")
    if labels.max() >= (len(labels) if names is None else len(names)):
        count = f"only {len(labels)} images" if names is None else f"only {len(names)} names in 'classes'"
        raise DatasetError(f"{path}: label {labels.max()} but {count}")
    positions = labels.astype(np.int64)
    classes = names or tuple(f"class_{i}" for i in range(int(positions.max()) + 1))
    if len(classes) > MOST_CLASSES:
        raise DatasetError(f"{path}: {len(classes):,} classes; wanted at most {MOST_CLASSES:,}")
    empty = np.flatnonzero(np.bincount(positions, minlength=len(classes)) == 0)
    if empty.size:
        raise DatasetError(f"{path}: class {classes[empty[0]]!r} has no image")
    return positions, classes


def _named_labels(
    labels: NDArray[Any], names: tuple[str, ...] | None, path: Path
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Positions of labels given as names: in the order of `names`, or of the alphabet."""
    order = names or tuple(np.unique(labels).tolist())
    unknown = sorted(set(labels.tolist()) - set(order))
    if unknown:
        some = ", ".join(order[:20]) + (", …" if len(order) > 20 else "")
        raise DatasetError(f"{path}: label {unknown[0]!r} is not in 'classes': {some}")
    position = {name: index for index, name in enumerate(order)}
    return np.array([position[label] for label in labels.tolist()], np.int64), order
