"""Batches for training and evaluation, reproducible from the seed alone."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bctoolkit.data import Dataset
from bctoolkit.recipes import TrainRecipe
from bctoolkit.train.augment import augment

__all__ = ["evaluation_batches", "steps_per_epoch", "training_batches"]


def steps_per_epoch(count: int, recipe: TrainRecipe) -> int:
    """Batches of one epoch over `count` images, the last one possibly smaller."""
    whole = -(-count // recipe.batch_size)
    return min(whole, recipe.most_steps or whole)


def training_batches(dataset: Dataset, index: NDArray[np.int64], recipe: TrainRecipe, first_epoch: int) -> Any:
    """Endless batches: each epoch is a new order, each image changed anew.

    Order and changes depend on the recipe's seed, the epoch and the step only.

    Args:
        dataset: all images.
        index: positions of the images to train on.
        recipe: batch size, seed and augmentation.
        first_epoch: number of the first epoch, counted over all phases.

    Returns:
        A `tf.data.Dataset` of (float32 images N×H×W×3, float32 one-hot labels N×classes).
    """
    images, labels = tf.constant(dataset.images[index]), tf.constant(dataset.labels[index])
    classes, steps = len(dataset.classes), steps_per_epoch(len(index), recipe)

    def epoch_of_batches(epoch: Any) -> Any:
        order = tf.random.experimental.stateless_shuffle(tf.range(len(index)), seed=[recipe.seed, epoch])
        positions = tf.data.Dataset.from_tensor_slices(order).batch(recipe.batch_size).take(steps).enumerate()
        return positions.map(lambda step, batch: (epoch, step, batch))

    def load(epoch: Any, step: Any, batch: Any) -> Any:
        seed = tf.cast([recipe.seed, epoch * steps + step], tf.int32)
        pixels = augment(tf.cast(tf.gather(images, batch), tf.float32), seed, recipe.augment)
        return pixels, tf.one_hot(tf.gather(labels, batch), classes)

    epochs = tf.data.Dataset.counter(start=first_epoch).flat_map(epoch_of_batches)
    return epochs.map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def evaluation_batches(dataset: Dataset, index: NDArray[np.int64], batch_size: int) -> Any:
    """The images at `index` in order and unchanged, as a `tf.data.Dataset` of (images, one-hot labels)."""
    images, labels = dataset.images[index], np.eye(len(dataset.classes), dtype=np.float32)[dataset.labels[index]]
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(batch_size)
    return batches.map(lambda x, y: (tf.cast(x, tf.float32), y)).prefetch(2)
