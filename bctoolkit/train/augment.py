"""Random changes of training images, drawn for each image anew, as tensor operations outside the network."""

from typing import Any

import tensorflow as tf

from bctoolkit.recipes import Augment

__all__ = ["augment"]


def augment(images: Any, seed: Any, recipe: Augment) -> Any:
    """Change a batch of images.

    Args:
        images: float32 tensor N×H×W×3, values 0–255.
        seed: int32 tensor of shape (2,); the same seed gives the same changes.
        recipe: which changes, how strong.

    Returns:
        float32 tensor of the same shape, values 0–255.
    """
    seeds = tf.random.split(seed, 6)
    if recipe.flip:
        images = _where(_coin(images, seeds[0]), images[:, :, ::-1], images)
        images = _where(_coin(images, seeds[1]), images[:, ::-1], images)
    if recipe.rotate90:
        images = _rotate90(images, seeds[2])
    images = images + _uniform(images, seeds[3], 255 * recipe.brightness)
    mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
    images = mean + (images - mean) * (1 + _uniform(images, seeds[4], recipe.contrast))
    grey = tf.image.rgb_to_grayscale(images)
    images = grey + (images - grey) * (1 + _uniform(images, seeds[5], recipe.saturation))
    return tf.clip_by_value(images, 0.0, 255.0)


def _rotate90(images: Any, seed: Any) -> Any:
    """Turn each image by 0°, 90°, 180° or 270°; images that are not square by 0° or 180°."""
    quarter, half = tf.unstack(tf.random.split(seed, 2))
    if images.shape[1] == images.shape[2]:
        turned = tf.transpose(images, (0, 2, 1, 3))[:, ::-1]
        images = _where(_coin(images, quarter), turned, images)
    return _where(_coin(images, half), images[:, ::-1, ::-1], images)


def _where(mask: Any, yes: Any, no: Any) -> Any:
    return tf.where(mask[:, None, None, None], yes, no)


def _coin(images: Any, seed: Any) -> Any:
    return tf.random.stateless_uniform((tf.shape(images)[0],), seed) < 0.5


def _uniform(images: Any, seed: Any, bound: float) -> Any:
    return tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), seed, -bound, bound)
