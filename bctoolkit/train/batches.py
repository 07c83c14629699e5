"""Batches for training and evaluation; each training batch is a function of the recipe's seed and the step's number."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bctoolkit.data import Dataset
from bctoolkit.errors import DatasetError
from bctoolkit.recipes import Shape, TrainRecipe
from bctoolkit.train.augmentation.policy import augment

__all__ = ["evaluation_batches", "steps_per_epoch", "training_batches", "translate_image_errors"]


def steps_per_epoch(count: int, recipe: TrainRecipe) -> int:
    """Batches of one epoch over `count` images, the last one possibly smaller."""
    whole = -(-count // recipe.batch_size)
    return min(whole, recipe.most_steps or whole)


def training_batches(
    dataset: Dataset,
    index: NDArray[np.int64],
    recipe: TrainRecipe,
    first_step: int,
    one_of_share: float = 1.0,
    shape: Shape | None = None,
) -> Any:
    """Endless batches from step `first_step` on, counted over all epochs and phases.

    Each epoch has a new order, each image is augmented anew; both depend on the seed and the step only, so that
    training can resume anywhere. Images are read when their batch is needed: they need not fit in memory.

    Args:
        dataset: all images.
        index: positions of the images to train on.
        recipe: batch size, seed and augmentation.
        first_step: number of the first batch.
        one_of_share: share of the images that get one of the recipe's `augment.one_of`.
        shape: height, width, channels that images are shrunk to before they are varied; None for their own.

    Returns:
        A `tf.data.Dataset` of (float32 images N×H×W×3, float32 labels N×classes, rows summing to 1).
    """
    classes, steps = len(dataset.classes), steps_per_epoch(len(index), recipe)

    @lru_cache(maxsize=2)
    def order(epoch: int) -> NDArray[np.int64]:
        return index[np.random.default_rng((recipe.seed, epoch)).permutation(len(index))]

    def read(step: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        epoch, batch = divmod(int(step), steps)
        rows = order(epoch)[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
        return dataset.images[rows], dataset.labels[rows]

    def load(step: Any) -> tuple[Any, Any]:
        images, labels = tf.numpy_function(read, [step], (tf.uint8, tf.int64), stateful=False)
        images = shrunk(tf.ensure_shape(images, (None, *dataset.images.shape[1:])), shape)
        labels = tf.one_hot(tf.ensure_shape(labels, (None,)), classes)
        seed = tf.stack([tf.constant(recipe.seed, tf.int64), step])
        return augment(images, labels, seed, recipe.augment, one_of_share)

    numbers = tf.data.Dataset.counter(start=first_step)
    return numbers.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(4)


def evaluation_batches(dataset: Dataset, index: NDArray[np.int64], batch_size: int, shape: Shape | None = None) -> Any:
    """The images at `index` in order, as a `tf.data.Dataset` of (float32 images, one-hot labels).

    They are unchanged, or shrunk to a shape of height, width, channels.
    """

    def read(start: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        rows = index[int(start) : int(start) + batch_size]
        return dataset.images[rows], dataset.labels[rows]

    def load(start: Any) -> tuple[Any, Any]:
        images, labels = tf.numpy_function(read, [start], (tf.uint8, tf.int64), stateful=False)
        images = shrunk(tf.ensure_shape(images, (None, *dataset.images.shape[1:])), shape)
        return images, tf.one_hot(tf.ensure_shape(labels, (None,)), len(dataset.classes))

    starts = tf.data.Dataset.range(0, len(index), batch_size)
    return starts.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(2)


def shrunk(images: Any, shape: Shape | None) -> Any:
    """Images as float32, each pixel the mean of the area it covers where the shape is not their own."""
    if shape in (None, tuple(images.shape[1:])):
        return tf.cast(images, tf.float32)
    return tf.image.resize(images, shape[:2], method="area")


@contextmanager
def translate_image_errors() -> Iterator[None]:
    """Undo TensorFlow's wrapping of the error of an image that cannot be read any more.

    Raises:
        DatasetError: the block used batches of such an image.
    """
    try:
        yield
    except tf.errors.OpError as problem:
        message = re.search(r"DatasetError: (.+)", str(problem))
        if message is None:
            raise
        raise DatasetError(message[1]) from None
