"""A picture of what a network sees while it is trained, beside the images as they are."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from bctoolkit.data import Dataset
from bctoolkit.files import atomic_path
from bctoolkit.recipes import TrainRecipe
from bctoolkit.train.augmentation.policy import augment

__all__ = ["draw_preview"]

COLUMNS = 12
GAP = 4


def draw_preview(path: Path, dataset: Dataset, recipe: TrainRecipe) -> None:
    """Write a PNG: a row for one image of each class, first as it is, then augmented twelve times.

    Args:
        path: the file to write.
        dataset: where the images come from.
        recipe: its seed and augmentation decide the rest.
    """
    first = np.array([np.flatnonzero(dataset.labels == i)[0] for i in range(len(dataset.classes))])
    images = tf.constant(dataset.images[first], tf.float32)
    labels = tf.one_hot(dataset.labels[first], len(dataset.classes))
    augmented = [augment(images, labels, tf.constant([recipe.seed, i]), recipe.augment)[0] for i in range(COLUMNS)]
    cells = np.stack([images, *augmented], axis=1).round().astype(np.uint8)
    framed = np.pad(cells, ((0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=255)
    framed[:, 0] = np.pad(framed[:, 0, :, :-GAP], ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=0)
    rows, columns, height, width, _ = framed.shape
    with atomic_path(path) as partial:
        Image.fromarray(framed.swapaxes(1, 2).reshape(rows * height, columns * width, 3)).save(partial, "PNG")
