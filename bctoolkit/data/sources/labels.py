"""Which class each image of a set of arrays is of, and what the classes are called."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import DatasetError
from bctoolkit.untrusted.files import read_bounded

__all__ = ["MOST_IMAGES", "flat", "positions_and_classes", "read_names", "read_texts"]

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


def flat(labels: NDArray[Any], name: str, path: Path) -> NDArray[Any]:
    """One label for each image: of N, of N×1, or of N×classes where each row holds a single 1 (one-hot).

    Raises:
        DatasetError: rows of another kind; the message ends in the code that mends it.
    """
    if labels.ndim != 2 or labels.shape[1] < 2 or labels.dtype.kind not in "biuf":
        return labels.reshape(-1)
    if labels.shape[0] == 1:
        raise DatasetError(f"{path}: {name!r} has shape {labels.shape}: {name} = {name}.reshape(-1)")
    if ((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all():
        return np.asarray(labels.argmax(1))
    code = f"{name} = {name}.argmax(1)"
    raise DatasetError(
        f"{path}: {name!r} has shape {labels.shape} and rows that hold not a single 1 beside zeros; save one label for "
        f"each image, as of the largest in each row: {code}"
    )


def positions_and_classes(
    parts: Sequence[NDArray[Any]], names: tuple[str, ...] | None, path: Path, stored: Sequence[str] = ("labels",)
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels as positions, and the names they stand for.

    Numbers are positions in `names`. They count from 0; from 1 where they are 1 to the number of classes, each of them
    there. Without names a class is called by its number: `class_1`.

    Args:
        parts: labels of the images, part by part: names or numbers.
        names: of the classes, where they are known.
        path: of the set, for messages.
        stored: what the parts' labels are called there.

    Raises:
        DatasetError: labels that are neither, or stand for no class; a class without an image; too many classes.
    """
    labels = _joined(parts, path, stored)
    try:
        if labels.dtype.kind in "US":
            labels, names = _named_labels(_as_text(labels), names, path)
    except ValueError:  # of numpy and of UTF-8: no characters
        raise DatasetError(f"{path}: 'labels' holds what is no text; write names in UTF-8, or numbers") from None
    _require_numbers(labels, path, stored)
    used = np.unique(labels.astype(np.int64))
    first = 1 if used[0] == 1 and used[-1] == len(used) and (names is None or len(names) == len(used)) else 0
    positions = labels.astype(np.int64) - first
    if positions.max() >= (len(labels) if names is None else len(names)):
        count = f"only {len(labels)} images" if names is None else f"only {len(names)} names in 'classes'"
        raise DatasetError(f"{path}: label {labels.max()} but {count}")
    classes = names or tuple(f"class_{i + first}" for i in range(int(positions.max()) + 1))
    if len(classes) > MOST_CLASSES:
        raise DatasetError(f"{path}: {len(classes):,} classes; wanted at most {MOST_CLASSES:,}")
    empty = np.flatnonzero(np.bincount(positions, minlength=len(classes)) == 0)
    if empty.size:
        count_on = "" if names or len(stored) > 1 else f"; count those there are: {_renumbered(stored[0])}"
        raise DatasetError(f"{path}: class {classes[empty[0]]!r} has no image{count_on}")
    return positions, classes


def _joined(parts: Sequence[NDArray[Any]], path: Path, stored: Sequence[str]) -> NDArray[Any]:
    """All labels; truth values and whole floating-point numbers as integers."""
    if len({part.dtype.kind in "US" for part in parts}) > 1:
        raise DatasetError(f"{path}: {' and '.join(stored)} hold names here and numbers there; write one or the other")
    labels = np.concatenate(list(parts))
    whole = labels.dtype.kind == "f" and np.isfinite(labels).all() and (np.abs(labels) < 2**53).all()
    if labels.dtype.kind == "b" or (whole and (labels == np.rint(labels)).all()):
        return labels.astype(np.int64)
    return labels


def _require_numbers(labels: NDArray[Any], path: Path, stored: Sequence[str]) -> None:
    """Refuse what are no whole numbers from 0."""
    if labels.dtype.kind in "iu" and len(labels) and labels.min() >= 0:
        return
    remedy = ""
    if len(labels) and len(stored) == 1 and labels.dtype.kind in "iuf":
        remedy = f"; count those there are: {_renumbered(stored[0])}"
    raise DatasetError(f"{path}: 'labels' must be class names or whole numbers from 0, one for each image{remedy}")


def _renumbered(name: str) -> str:
    return f"{name} = np.unique({name}, return_inverse=True)[1]"


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
