"""The images an export is checked on; some of the first are the golden images that travel with each bundle."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import ImageKind, InputContract
from bctoolkit.data import Dataset, load, load_synthetic, load_unlabelled
from bctoolkit.data.dataset import stratified
from bctoolkit.data.sources.synthetic import CLASSES
from bctoolkit.errors import DatasetError, ExportError
from bctoolkit.export.source import Known
from bctoolkit.progress import Progress

__all__ = ["Evidence", "choose_evidence"]

SPARE = 16
"""Images that may take the place of golden ones which the reference is not sure of."""

FURTHER = 64
"""Images of the test part that an artifact is checked on besides the golden ones."""


@dataclass(frozen=True)
class Evidence:
    """The images on which every stage of an export is compared with the one before."""

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
    """They are chosen from so many of the first."""
    kind: ImageKind


def choose_evidence(
    choice: str | None, count: int, known: Known | None, contract: InputContract, progress: Progress
) -> Evidence:
    """Choose the golden images and further ones of the test part.

    Args:
        choice: None for golden images of the test part, `synthetic` for drawn ones, or a path to the user's own.
        count: how many golden images at the most.
        known: the network's images and their parts.
        contract: what images are prepared for.
        progress: told where the work is.

    Raises:
        ExportError: images of the test part are wanted but none are known.
        DatasetError: the user's own images cannot be used.
    """
    if choice is None:
        if known is None:
            raise ExportError("no images to check the export on; say where they are with --data, or --golden synthetic")
        chosen = stratified(known.dataset, known.parts.test, count + FURTHER)
        return _of_test_part(known, chosen, min(count, len(chosen)), len(chosen))
    given = _given(choice, count + SPARE, contract, progress)
    own = _unlabelled(given.take(stratified(given, np.arange(len(given)), count + SPARE)), count)
    if known is None:
        return own
    return _joined(own, _of_test_part(known, stratified(known.dataset, known.parts.test, FURTHER), 0, 0))


def _of_test_part(known: Known, chosen: NDArray[np.int64], golden: int, candidates: int) -> Evidence:
    dataset = known.dataset.take(chosen)
    truth = tuple(known.truth[chosen].tolist())
    return Evidence(
        dataset.images[:], dataset.hashes, dataset.labels, truth, _names(dataset), golden, candidates, dataset.kind
    )


def _unlabelled(dataset: Dataset, golden: int) -> Evidence:
    """Images of another set, whose classes may be others than the network's."""
    count = len(dataset)
    labels = np.full(count, -1, np.int64)
    names = _names(dataset)
    return Evidence(
        dataset.images[:], dataset.hashes, labels, ("",) * count, names, min(golden, count), count, dataset.kind
    )


def _joined(golden: Evidence, further: Evidence) -> Evidence:
    return Evidence(
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


def _given(choice: str, count: int, contract: InputContract, progress: Progress) -> Dataset:
    """Images named by the user: `synthetic` for so many drawn ones, a data set, or a plain folder of images."""
    if choice == "synthetic":
        return load_synthetic(contract, per_class=math.ceil(count / len(CLASSES)))
    path = Path(choice)
    if path.is_dir() and not any(p.is_dir() for p in path.iterdir()):
        return load_unlabelled(path, contract)
    if not path.exists():
        raise DatasetError(f"--golden {choice}: no such folder or file; give 'synthetic' or a path to images")
    return load(choice, contract, progress)
