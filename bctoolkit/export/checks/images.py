"""The images an export is checked on; some of the first are the golden images that travel with each bundle."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import ImageKind, InputContract
from bctoolkit.data import Dataset, load_pictures, load_synthetic
from bctoolkit.data.dataset import stratified
from bctoolkit.data.sources.synthetic import CLASSES
from bctoolkit.errors import DatasetError, ExportError
from bctoolkit.export.source import ModelData
from bctoolkit.progress import Progress

__all__ = ["CheckImages", "choose_check_images"]

SPARE = 16
"""Images that may take the place of golden ones which the reference is not sure of."""

FURTHER = 64
"""Images of the test part that an artifact is checked on besides the golden ones."""

FEW = 16
"""Images, chosen among all by lot, on which the forms of a network are compared, and in float64."""


@dataclass(frozen=True)
class CheckImages:
    """The images on which every variant of an export is compared with the one before."""

    images: NDArray[np.uint8]
    """N × height × width × channels."""
    hashes: NDArray[np.uint8]
    """N × 32: SHA-256 of each image's decoded pixels."""
    labels: NDArray[np.int64]
    """N true classes in the order of the network's outputs; -1 where unknown."""
    truth: tuple[str, ...]
    """N names of the true classes as the set has them; empty where unknown."""
    names: tuple[str, ...]
    """N: what a message calls each image."""
    golden: int
    """How many images are golden."""
    candidates: int
    """They are chosen from this many of the first."""
    kind: ImageKind

    @cached_property
    def few(self) -> NDArray[np.intp]:
        """Which of them the forms of a network are compared on: what is wrong with a layer shows on any image."""
        return np.sort(np.random.default_rng(0).permutation(len(self.images))[:FEW])

    @property
    def fewest(self) -> NDArray[np.intp]:
        """Those of them that are computed in float64 too, where each costs as much as five others."""
        return self.few[::2]


def choose_check_images(
    choice: str | None, count: int, data: ModelData | None, contract: InputContract, progress: Progress
) -> CheckImages:
    """Choose the golden images and further ones of the test part.

    Args:
        choice: None for golden images of the test part, `synthetic`, or a path to the user's own.
        count: how many golden images at the most.
        data: the network's images and their parts.
        contract: what images are prepared for.
        progress: shows where the work is.

    Raises:
        ExportError: images of the test part are needed but unknown.
        DatasetError: the user's own images cannot be used.
    """
    if choice is None:
        if data is None:
            raise ExportError("no images to check the export on; say where they are with --data, or --golden synthetic")
        indices = stratified(data.dataset, data.parts.test, count + FURTHER)
        return _of_test_part(data, indices, min(count, len(indices)), len(indices))
    dataset = _load_golden(choice, count + SPARE, contract, progress)
    golden = _unlabelled(dataset.take(stratified(dataset, np.arange(len(dataset)), count + SPARE)), count)
    if data is None:
        return golden
    return _concatenated(golden, _of_test_part(data, stratified(data.dataset, data.parts.test, FURTHER), 0, 0))


def _of_test_part(data: ModelData, indices: NDArray[np.int64], golden: int, candidates: int) -> CheckImages:
    dataset = data.dataset.take(indices)
    truth = tuple(data.truth[indices].tolist())
    return CheckImages(
        dataset.images[:], dataset.hashes, dataset.labels, truth, _names(dataset), golden, candidates, dataset.kind
    )


def _unlabelled(dataset: Dataset, golden: int) -> CheckImages:
    """Images of another set, whose classes may be others than the network's."""
    count = len(dataset)
    labels = np.full(count, -1, np.int64)
    names = _names(dataset)
    return CheckImages(
        dataset.images[:], dataset.hashes, labels, ("",) * count, names, min(golden, count), count, dataset.kind
    )


def _concatenated(golden: CheckImages, further: CheckImages) -> CheckImages:
    return CheckImages(
        images=np.concatenate([golden.images, further.images]),
        hashes=np.concatenate([golden.hashes, further.hashes]),
        labels=np.concatenate([golden.labels, further.labels]),
        truth=golden.truth + further.truth,
        names=golden.names + further.names,
        golden=golden.golden,
        candidates=golden.candidates,
        kind=golden.kind,
    )


def _names(dataset: Dataset) -> tuple[str, ...]:
    if dataset.files is not None:
        return tuple(dataset.files.tolist())
    names = [dataset.classes[label] for label in dataset.labels]
    return tuple(f"{name} {bytes(row[:4]).hex()}…" for name, row in zip(names, dataset.hashes, strict=True))


def _load_golden(choice: str, count: int, contract: InputContract, progress: Progress) -> Dataset:
    """Images named by the user: `synthetic` for that many synthetic ones, a data set, or a plain folder of images."""
    if choice == "synthetic":
        return load_synthetic(contract, per_class=math.ceil(count / len(CLASSES)))
    if not Path(choice).exists():
        raise DatasetError(f"--golden {choice}: no such folder or file; give 'synthetic' or a path to images")
    return load_pictures(choice, contract, progress)
