"""Train, validation and test parts, decided by each image's content.

An image's hash, read as a number in [0, 1), decides its part by fixed thresholds, the same in every class. So the same
image lands in the same part in every run, on every machine and in every later version of the set; copies of it never
straddle two parts; and every class is split in the same proportions, up to the chance of a binomial draw.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data.dataset import PARTS, Dataset, positions, rows
from bctoolkit.errors import DatasetError
from bctoolkit.progress import Progress, Silent
from bctoolkit.recipes import Split
from bctoolkit.untrusted.arrays import ArraySpec, read_npz
from bctoolkit.untrusted.files import read_bounded

__all__ = ["Parts", "read", "save", "split"]

STORED = {"hashes": ArraySpec((None, 32), "|u1"), "part": ArraySpec((None,), "|u1")}
MOST_BYTES = 2**29
"""Of a stored split: 33 for each of 10,000,000 images."""

SMALL = 50
"""A class of fewer images may miss a part of 15 % by chance: 0.85⁵⁰ = 0.0003."""


@dataclass(frozen=True)
class Parts:
    """Positions of the images of each part."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]

    def counts(self, dataset: Dataset) -> dict[str, dict[str, int]]:
        """Part → class → number of images."""
        return {
            part: {
                name: int((dataset.labels[getattr(self, part)] == i).sum()) for i, name in enumerate(dataset.classes)
            }
            for part in PARTS
        }


def split(dataset: Dataset, shares: Split, progress: Progress | None = None) -> Parts:
    """Divide a set by content hash.

    A set that its publisher already split keeps that split unless `shares.by` says otherwise, except that an image
    found in several parts stays only in the first of train, validation, test, so that nothing trained on is tested on,
    and that a part which is missing is taken from the images for training.

    A set of groups is divided by group instead: all images of a patient or a slide land in one part.

    Args:
        dataset: what to divide.
        shares: of validation and test.
        progress: told of a published split and its faults, and of small classes that have no image to validate or
            test on.

    Raises:
        DatasetError: there is one class only, a class has no image to train on, one that is not small has none to
            validate or test on, or a part is empty.
    """
    progress = progress or Silent()
    if dataset.published is None or shares.by == "content":
        part = _by_content(dataset, shares)
    else:
        part = _as_published(dataset, dataset.published, shares, progress)
    parts = Parts(*(np.flatnonzero(part == i) for i in range(len(PARTS))))
    _require_images(dataset, parts, progress)
    return parts


def _by_content(dataset: Dataset, shares: Split) -> NDArray[np.int64]:
    number = _number(dataset.hashes if dataset.groups is None else _hashes_of(dataset.groups))
    return np.where(number < shares.test, 2, np.where(number < shares.test + shares.validation, 1, 0))


def _as_published(
    dataset: Dataset, published: NDArray[np.int64], shares: Split, progress: Progress
) -> NDArray[np.int64]:
    part = _without_copies(dataset.hashes, published)
    copies = int((part != published).sum())
    if copies:
        progress.say(
            f"{dataset.source}: {copies:,} images of a later part are in an earlier one, too, and count for that "
            "alone; figures on the rest are a little stricter than published ones"
        )
    if dataset.groups is not None:
        straddling = len({*dataset.groups[part == 0]} & {*dataset.groups[part > 0]})
        if straddling:
            progress.say(
                f"{dataset.source}: {straddling:,} groups have images for training and for other parts, as published; "
                "figures on those are not about new groups: --split content parts by group"
            )
    missing = [i for i in (1, 2) if not (published == i).any()]
    if missing:
        names = " and ".join(PARTS[i] for i in missing)
        progress.say(f"{dataset.source}: comes without images for {names}: they are taken from those for training")
        by_content = _by_content(dataset, shares)
        part = np.where((part == 0) & np.isin(by_content, missing), by_content, part)
    return part


def save(path: Path, dataset: Dataset, parts: Parts) -> None:
    """Store which image, by hash, belongs to which part."""
    index = np.concatenate([getattr(parts, part) for part in PARTS])
    part = np.repeat(np.arange(len(PARTS), dtype=np.uint8), [len(getattr(parts, name)) for name in PARTS])
    np.savez_compressed(path, hashes=dataset.hashes[index], part=part)


def read(path: Path, dataset: Dataset) -> Parts:
    """The stored parts of the images of `dataset`; images the stored split does not hold are left out.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    content = read_bounded(path, MOST_BYTES, DatasetError)
    stored = read_npz(content, STORED, str(path), DatasetError, most=MOST_BYTES)
    if len(stored["part"]) != len(stored["hashes"]):
        raise DatasetError(f"{path}: damaged; copy the run again")
    row = positions(dataset.hashes, stored["hashes"])
    part = np.where(row < 0, -1, np.append(stored["part"].astype(np.int64), -1)[row])
    return Parts(*(np.flatnonzero(part == i) for i in range(len(PARTS))))


def _hashes_of(groups: NDArray[np.object_]) -> NDArray[np.uint8]:
    """N × 32: the hash of each image's group, so that a group lands in one part."""
    digests = {group: hashlib.sha256(str(group).encode("utf-8", "surrogateescape")).digest() for group in set(groups)}
    return np.frombuffer(b"".join(digests[group] for group in groups), np.uint8).reshape(-1, 32)


def _number(hashes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The first 8 bytes of each hash as a number in [0, 1)."""
    return np.ascontiguousarray(hashes[:, :8]).view(">u8")[:, 0] / 2.0**64


def _without_copies(hashes: NDArray[np.uint8], published: NDArray[np.int64]) -> NDArray[np.int64]:
    first: dict[bytes, int] = {}
    for key, part in zip(rows(hashes), published.tolist(), strict=True):
        first[key] = min(part, first.get(key, part))
    return np.array([first[key] for key in rows(hashes)])


def _require_images(dataset: Dataset, parts: Parts, progress: Progress) -> None:
    if len(dataset.classes) < 2:
        raise DatasetError(
            f"{dataset.source}: holds one class only, {dataset.classes[0]!r}; a classifier needs two or more"
        )
    counts = parts.counts(dataset)
    for name, count in counts["train"].items():
        if count == 0:
            raise DatasetError(f"{dataset.source}: class {name!r} has no image in the train part; add images of it")
    for part in PARTS:
        if sum(counts[part].values()) == 0:
            raise DatasetError(f"{dataset.source}: the {part} part is empty with {len(dataset)} images; add images")
    for part in PARTS[1:]:
        for name in (name for name, count in counts[part].items() if count == 0):
            size = sum(counts[part][name] for part in PARTS)
            fact = f"{dataset.source}: class {name!r} has none of its {size} images in the {part} part"
            if size >= SMALL:
                change = f"give split.{part} a larger share" if dataset.published is None else "move some of them there"
                raise DatasetError(f"{fact}; add images of it that are no copies of each other, or {change}")
            progress.say(f"{fact}: no figure of that part says anything about it; add images of it")
