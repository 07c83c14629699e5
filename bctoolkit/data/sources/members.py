"""Which arrays of a file or folder hold images and which their labels: told by the names that people give them."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from bctoolkit.data.dataset import PART_CALLED
from bctoolkit.errors import DatasetError

__all__ = ["CLASS_NAMES", "Pair", "is_images", "is_labels", "labels_beside", "pairs"]

LABELS_OF = {"images": "labels", "image": "label", "x": "y", "data": "target"}
"""Names of images → the name that labels beside them usually have."""
LABELS = frozenset({*LABELS_OF.values(), "targets"})
CLASS_NAMES = ("classes", "class_names", "target_names")

PART, WORD = "|".join(PART_CALLED), "|".join([*LABELS_OF, *sorted(LABELS)])
NAME = re.compile(rf"(?:({PART})_)?({WORD})(?:_({PART}))?", re.IGNORECASE)


class Pair(NamedTuple):
    """An array of images, and that of their labels."""

    part: str | None
    """Of `data.dataset.PARTS`; None where the set is not split."""
    images: str
    labels: str | None


class _Read(NamedTuple):
    """A name that says what its array holds."""

    part: str | None
    images: bool


def _read(name: str) -> _Read | None:
    """What a name says, in large or small letters: `images`, `X_train`, `val_labels`."""
    match = NAME.fullmatch(name)
    if match is None or (match[1] and match[3]):
        return None
    part = match[1] or match[3]
    return _Read(PART_CALLED[part.lower()] if part else None, match[2].lower() in LABELS_OF)


def is_images(name: str) -> bool:
    """Whether an array of this name holds images."""
    read = _read(name)
    return read is not None and read.images


def is_labels(name: str) -> bool:
    """Whether an array of this name holds labels."""
    read = _read(name)
    return read is not None and not read.images


def pairs(names: Iterable[str], source: str) -> tuple[Pair, ...]:
    """The images and labels among arrays of these names, part by part; empty where no name says that it is of images.

    Raises:
        DatasetError: two names for one thing, or parts beside a whole.
    """
    found: dict[_Read, str] = {}
    for name in names:
        read = _read(name)
        if read is None:
            continue
        if read in found:
            what = "images" if read.images else "labels"
            part = f" of the {read.part} part" if read.part else ""
            raise DatasetError(
                f"{source}: both {found[read]!r} and {name!r} could hold the {what}{part}; save one of them"
            )
        found[read] = name
    parts = [part for part in (None, *dict.fromkeys(PART_CALLED.values())) if _Read(part, True) in found]
    if None in parts and len(parts) > 1:
        both = [found[_Read(part, True)] for part in parts[:2]]
        raise DatasetError(f"{source}: holds {both[0]!r} beside {both[1]!r}; save the whole set or its parts")
    return tuple(Pair(part, found[_Read(part, True)], found.get(_Read(part, False))) for part in parts)


def labels_beside(images: str) -> str:
    """How labels beside images of this name are usually called: `y_train` beside `X_train`."""
    match = NAME.fullmatch(images)
    if match is None:
        return "labels"
    word = LABELS_OF[match[2].lower()]
    return images[: match.start(2)] + word + images[match.end(2) :]
