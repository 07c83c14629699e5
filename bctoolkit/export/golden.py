"""The images that travel with a bundle, and what the float32 Keras reference says of them."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bctoolkit.bundle import Golden, Reference
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, Parts, load, load_unlabelled
from bctoolkit.data.dataset import stratified
from bctoolkit.data.stores import Images
from bctoolkit.errors import DatasetError, ExportError
from bctoolkit.progress import Progress

__all__ = ["answers", "freeze_golden", "freeze_reference"]

BATCH = 32


def answers(model: keras.Model, images: Images, label: str, progress: Progress) -> NDArray[np.float32]:
    """A Keras model's probabilities, N × classes, of images N × height × width × channels."""
    signature = tf.TensorSpec((None, *images.shape[1:]), tf.float32)
    compiled = tf.function(lambda batch: model(batch, training=False), input_signature=[signature])
    parts = []
    for start in range(0, len(images), BATCH):
        progress.step(label, start, len(images))
        parts.append(compiled(images[start : start + BATCH].astype(np.float32)).numpy())
    progress.step(label, len(images), len(images))
    return np.concatenate(parts)


def freeze_golden(
    reference: keras.Model,
    choice: str | None,
    count: int,
    known: tuple[Dataset, Parts] | None,
    contract: InputContract,
    progress: Progress,
) -> Golden:
    """Choose the golden images and ask the reference about them.

    Args:
        reference: the float32 Keras reference.
        choice: None for images of the test part, `synthetic` for drawn ones, or a path to images of the user's own.
        count: how many at the most.
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
        dataset, parts = known
        chosen = dataset.take(stratified(dataset, parts.test, count))
        labels = chosen.labels
    else:
        dataset = _given(choice, contract, progress)
        chosen = dataset.take(stratified(dataset, np.arange(len(dataset)), count))
        labels = np.full(len(chosen), -1, np.int64)
    images = chosen.images[:]
    return Golden(images, answers(reference, images, "golden images", progress), labels, chosen.kind)


def freeze_reference(reference: keras.Model, dataset: Dataset, parts: Parts, progress: Progress) -> Reference:
    """The reference's probabilities of the whole test part, keyed by content hash."""
    probabilities = answers(reference, dataset.take(parts.test).images, "reference on the test part", progress)
    return Reference(dataset.hashes[parts.test], probabilities, dataset.kind)


def _given(choice: str, contract: InputContract, progress: Progress) -> Dataset:
    """Images named by the user: `synthetic`, a data set, or a plain folder of images."""
    path = Path(choice)
    if path.is_dir() and not any(p.is_dir() for p in path.iterdir()):
        return load_unlabelled(path, contract)
    if choice != "synthetic" and not path.exists():
        raise DatasetError(f"--golden {choice}: no such folder or file; give 'synthetic' or a path to images")
    return load(choice, contract, progress)
