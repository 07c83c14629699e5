"""Random operations on training images, drawn for each image anew, as tensor operations outside the network.

Everything is decided by the seed that is passed in: the same images, recipe and seed give the same result on every
run, whichever thread computes it.
"""

from itertools import product
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bctoolkit.recipes import Augment, AugmentOps
from bctoolkit.train.augmentation.operations import GEOMETRY, OPERATIONS, middles, transform

__all__ = ["augment"]


def augment(images: Any, labels: Any, seed: Any, recipe: Augment, one_of_share: float = 1.0) -> tuple[Any, Any]:
    """Augment a batch of images, and where images are mixed their labels.

    Args:
        images: float32 tensor N×H×W×3, values 0–255.
        labels: float32 tensor N×classes, rows summing to 1.
        seed: int32 tensor of shape (2,); the same seed gives the same result.
        recipe: which operations, how strong.
        one_of_share: share of the images that get one of the recipe's `one_of`.

    Returns:
        Images and labels of the same shapes; values 0–255, rows summing to 1.
    """
    base_seed, one_of_seed, mix_seed, *seeds = tf.unstack(tf.random.split(seed, 3 + len(recipe.one_of)))
    images = _apply(images, base_seed, recipe)
    if recipe.one_of:
        choice = tf.random.stateless_uniform((_count(images),), one_of_seed, 0, len(recipe.one_of), tf.int32)
        included = tf.random.stateless_uniform((_count(images),), tf.random.fold_in(one_of_seed, 1)) < one_of_share
        for position, (ops, key) in enumerate(zip(recipe.one_of, seeds, strict=True)):
            images = _apply_to(images, included & (choice == position), lambda part, o=ops, k=key: _apply(part, k, o))
    images = tf.clip_by_value(images, 0.0, 255.0)
    return _mix(images, labels, mix_seed, recipe)


def _apply(images: Any, seed: Any, ops: AugmentOps) -> Any:
    """Apply one table of operations to a batch."""
    flip_seed, turn_seed, select_seed, geometry_seed, *seeds = tf.unstack(tf.random.split(seed, 4 + len(OPERATIONS)))
    if ops.flip or ops.rotate90:
        images = _turn(images, _coins(images, flip_seed, ops.flip) + _coins(images, turn_seed, ops.rotate90))
    active = [name for name in (*GEOMETRY, *OPERATIONS) if getattr(ops, name)]
    if not active:
        return images
    columns = tf.unstack(_select(_count(images), len(active), select_seed, ops), axis=1)
    selected = dict(zip(active, columns, strict=True))
    geometry = {name: (selected[name], getattr(ops, name)) for name in GEOMETRY if name in selected}
    if geometry:
        images = transform(images, geometry, geometry_seed, ops.edge)
    for (name, operation), key in zip(OPERATIONS.items(), seeds, strict=True):
        if name in selected:
            strength = getattr(ops, name)
            images = _apply_to(images, selected[name], lambda part, o=operation, k=key, s=strength: o(part, k, s))
    return images


def _select(count: Any, active: int, seed: Any, ops: AugmentOps) -> Any:
    """Which of the active operations each image gets: bool, count × active.

    With `randaugment`, exactly so many of each image (Cubuk et al. 2020, arXiv:1909.13719); else each by `chance`.
    """
    noise = tf.random.stateless_uniform((count, active), seed)
    if ops.randaugment:
        rank = tf.argsort(tf.argsort(noise, axis=1), axis=1)
        return rank < ops.randaugment
    return noise < ops.chance


def _apply_to(images: Any, mask: Any, operation: Any) -> Any:
    """Apply an operation to the images of the mask only, so that an expensive one costs what it is used."""
    index = tf.where(mask)
    return tf.tensor_scatter_nd_update(images, index, operation(tf.gather(images, index[:, 0])))


def _mix(images: Any, labels: Any, seed: Any, recipe: Augment) -> tuple[Any, Any]:
    """MixUp (Zhang et al. 2018, arXiv:1710.09412) or CutMix (Yun et al. 2019, arXiv:1905.04899), each pair by a coin.

    The partner of an image is the next one of the batch; batches are shuffled.
    """
    if not (recipe.mixup or recipe.cutmix):
        return images, labels
    coin_seed, share_seed, box_seed = tf.unstack(tf.random.split(seed, 3))
    other, other_labels = tf.roll(images, 1, 0), tf.roll(labels, 1, 0)
    cut = _coin(images, coin_seed) if recipe.mixup and recipe.cutmix else tf.fill((_count(images),), recipe.cutmix > 0)
    share = tf.where(cut, _beta(images, share_seed, recipe.cutmix), _beta(images, share_seed, recipe.mixup))
    box = _box(images, box_seed, share)
    pixels = tf.where(cut[:, None, None, None], tf.cast(box, tf.float32), 1 - share[:, None, None, None])
    weight = 1 - tf.reduce_mean(pixels, axis=(1, 2))
    return images + pixels * (other - images), labels * weight + other_labels * (1 - weight)


def _beta(images: Any, seed: Any, alpha: float) -> Any:
    """One number of Beta(alpha, alpha) per image; 1, no mixing, where alpha is 0."""
    if not alpha:
        return tf.ones((_count(images),))
    first, second = tf.unstack(tf.random.split(seed, 2))
    a = tf.random.stateless_gamma((_count(images),), first, alpha)
    b = tf.random.stateless_gamma((_count(images),), second, alpha)
    return tf.math.divide_no_nan(a, a + b)  # with a small alpha both may be too small for float32


def _box(images: Any, seed: Any, share: Any) -> Any:
    """For each image a rectangle that covers 1 − share of it, cut off at the edges: bool, N×H×W×1."""
    count, height, width = _count(images), images.shape[1], images.shape[2]
    centre = tf.random.stateless_uniform((count, 2), seed)
    half = tf.sqrt(1 - share) / 2
    rows = tf.abs(middles(height) - centre[:, :1]) < half[:, None]
    columns = tf.abs(middles(width) - centre[:, 1:]) < half[:, None]
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def _turn(images: Any, coins: list[Any]) -> Any:
    """Mirror and turn each image by its four coins: across, down, by 90° and by 180°; 90° of square images only.

    One pass that moves whole pixels, for what would be seven over the batch.
    """
    height, width, channels = images.shape[1:]
    outcomes = list(product((False, True), repeat=4))
    table = np.stack([_pixels(height, width, *outcome) for outcome in outcomes])
    outcome = tf.add_n([tf.cast(coin, tf.int32) * 2**place for place, coin in enumerate(reversed(coins))])
    moved = tf.gather(tf.reshape(images, (-1, height * width, channels)), tf.gather(table, outcome), batch_dims=1)
    return tf.reshape(moved, tf.shape(images))


def _pixels(height: int, width: int, across: bool, down: bool, quarter: bool, half: bool) -> NDArray[np.int32]:
    """Which pixel comes to each place."""
    grid = np.arange(height * width, dtype=np.int32).reshape(height, width)
    grid = grid[:, ::-1] if across else grid
    grid = grid[::-1] if down else grid
    grid = grid.T[::-1] if quarter and height == width else grid
    return (grid[::-1, ::-1] if half else grid).reshape(-1)


def _coins(images: Any, seed: Any, tossed: bool) -> list[Any]:
    """Two coins for each image, all tails where they are not tossed."""
    if not tossed:
        return [tf.zeros((_count(images),), tf.bool)] * 2
    return [_coin(images, key) for key in tf.unstack(tf.random.split(seed, 2))]


def _coin(images: Any, seed: Any) -> Any:
    return tf.random.stateless_uniform((_count(images),), seed) < 0.5


def _count(images: Any) -> Any:
    return tf.shape(images)[0]
