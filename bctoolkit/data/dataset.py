"""`Dataset`: images as the model eats them, their labels, and the content hash that identifies each."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import ImageKind
from bctoolkit.data.stores import Images, take
from bctoolkit.errors import DatasetError

__all__ = ["PARTS", "PART_CALLED", "Dataset", "content_hash", "dataset_sha256", "positions", "rows", "stratified"]

PARTS = ("train", "validation", "test")

PART_CALLED = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What parts are called in published sets, in small letters → the part."""


@dataclass(frozen=True)
class Dataset:
    """N labelled images."""

    images: Images
    """N × height × width × channels, prepared for the model: an array, or read from disk whenever it is indexed."""
    labels: NDArray[np.int64]
    """N positions in `classes`."""
    classes: tuple[str, ...]
    hashes: NDArray[np.uint8]
    """N × 32: SHA-256 of each image's decoded pixels, before crop and resize."""
    source: str
    """Where the images come from, in the user's words."""
    kind: ImageKind = "real"
    published: NDArray[np.int64] | None = None
    """N positions in `PARTS`, where the publisher already split the set."""
    files: NDArray[np.object_] | None = None
    """N names of files, where each image has one."""
    groups: NDArray[np.object_] | None = None
    """N names of what an image was made of, such as a patient or a slide, where that is known."""
    unreadable: dict[str, int] = field(default_factory=dict)
    """Class → how many files of it could not be read, and are not among the N; only classes with any."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def take(self, index: NDArray[Any]) -> "Dataset":
        """The images at `index`, in that order; what is on disk stays there."""
        return replace(
            self,
            images=take(self.images, index),
            labels=self.labels[index],
            hashes=self.hashes[index],
            published=None if self.published is None else self.published[index],
            files=None if self.files is None else self.files[index],
            groups=None if self.groups is None else self.groups[index],
        )

    def groups_of(self, hashes: NDArray[np.uint8]) -> NDArray[np.object_] | None:
        """The group of each of N × 32 hashes, all of images of this set; None where groups are not known."""
        return None if self.groups is None else self.groups[positions(hashes, self.hashes)]

    @cached_property
    def sha256(self) -> str:
        """One hash of all images and labels, whatever their order."""
        return dataset_sha256(self.hashes, self.labels, self.classes)

    def in_order_of(self, classes: tuple[str, ...]) -> "Dataset":
        """The same images with labels that count in the order of `classes`.

        Raises:
            DatasetError: the set has a class that `classes` lacks.
        """
        unknown = [name for name in self.classes if name not in classes]
        if unknown:
            names = ", ".join(classes[:20]) + (f", … ({len(classes):,} classes)" if len(classes) > 20 else "")
            raise DatasetError(f"{self.source}: class {unknown[0]!r} is not one of {names}")
        position = np.array([classes.index(name) for name in self.classes])
        return replace(self, labels=position[self.labels], classes=classes)


def content_hash(pixels: NDArray[np.uint8]) -> bytes:
    """SHA-256 over shape and pixels of one decoded image, so that a file's format and name do not matter."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def dataset_sha256(hashes: NDArray[np.uint8], labels: NDArray[np.int64], classes: tuple[str, ...]) -> str:
    """One hash of N × 32 content hashes and N labels, whatever their order."""
    names = [classes[label].encode() for label in labels]
    entries = sorted(bytes(row) + name for row, name in zip(hashes, names, strict=True))
    return hashlib.sha256(b"\n".join(entries)).hexdigest()


def rows(hashes: NDArray[np.uint8]) -> list[bytes]:
    """Each row of N × 32 hashes as a key for sets and dictionaries."""
    return [bytes(row) for row in hashes]


def positions(hashes: NDArray[np.uint8], table: NDArray[np.uint8]) -> NDArray[np.int64]:
    """For each row of N × 32 `hashes` the row of `table` that equals it; -1 where there is none."""
    row_of = {key: row for row, key in enumerate(rows(table))}
    return np.array([row_of.get(key, -1) for key in rows(hashes)], np.int64)


def stratified(dataset: Dataset, index: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Up to `count` of the positions `index`, one of each class in turn; an image's content decides its turn."""
    ordered = index[np.lexsort(dataset.hashes[index].T[::-1])]
    labels = dataset.labels[ordered]
    turn = np.empty(len(ordered), np.int64)
    for label in np.unique(labels):
        turn[labels == label] = np.arange((labels == label).sum())
    return ordered[np.lexsort((labels, turn))][:count]
