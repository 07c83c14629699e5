"""The operations that augmentation draws from: each takes a batch, a seed and the recipe's strength.

Every operation draws one amount per image, uniform up to its strength; strength 0 is never called. Images are float32
tensors N×H×W×3 with values 0–255, clipped where an operation needs it.
"""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

__all__ = ["GEOMETRY", "OPERATIONS", "middles", "transform"]

Operation = Callable[[Any, Any, float], Any]

GEOMETRY = ("rotate", "translate", "zoom")
"""The operations that are done together, in one interpolation."""

SPOTS, SHARPNESS = 6, 8.0
"""Of dirt: how many at most, and how steep their edges are."""

BLUR_RADIUS = 3.0
"""A Gaussian is cut off at so many standard deviations."""


def transform(images: Any, selected: dict[str, tuple[Any, float]], seed: Any, edge: str = "mirror") -> Any:
    """Turn, shift and scale about the centre in one bilinear interpolation.

    Args:
        images: the batch.
        selected: of `GEOMETRY`, which images get the operation (bool, N) and its strength.
        seed: int32 tensor of shape (2,).
        edge: what lies outside an image: itself, `mirror`ed, or its `background`.
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    turn, down, across, scale = tf.unstack(tf.random.split(seed, 4))

    def amount(name: str, key: Any) -> Any:
        mask, strength = selected.get(name, (tf.zeros((count,), tf.bool), 0.0))
        return tf.where(mask, tf.random.stateless_uniform((count,), key, -strength, strength), 0.0)

    angle = amount("rotate", turn) * math.pi / 180
    zoom = tf.exp(amount("zoom", scale))
    cos, sin = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    x, y = (width - 1) / 2, (height - 1) / 2
    dx = x - cos * x + sin * y + width * amount("translate", across)
    dy = y - sin * x - cos * y + height * amount("translate", down)
    zero = tf.zeros_like(cos)
    rows = tf.stack([cos, -sin, dx, sin, cos, dy, zero, zero], axis=1)
    index = tf.where(tf.reduce_any(tf.stack([mask for mask, _ in selected.values()]), axis=0))
    chosen = tf.gather(images, index[:, 0])
    outside = background(chosen) if edge == "background" else 0.0
    transformed = outside + tf.raw_ops.ImageProjectiveTransformV3(
        images=chosen - outside,
        transforms=tf.gather(rows, index[:, 0]),
        output_shape=(height, width),
        interpolation="BILINEAR",
        fill_mode="CONSTANT" if edge == "background" else "REFLECT",
        fill_value=0.0,
    )
    return tf.tensor_scatter_nd_update(images, index, transformed)


def background(images: Any) -> Any:
    """The colour of each image's brightest square, an eighth of the side wide: N×1×1×3."""
    cell = max(1, min(images.shape[1:3]) // 8)
    squares = tf.nn.avg_pool2d(images, cell, cell, "VALID")
    flat = tf.reshape(squares, (tf.shape(images)[0], -1, images.shape[3]))
    brightest = tf.argmax(tf.reduce_sum(flat, axis=2), axis=1)
    return tf.gather(flat, brightest, axis=1, batch_dims=1)[:, None, None]


def middles(size: int) -> Any:
    """Where the middles of so many pixels lie along a side of length 1."""
    return (tf.range(size, dtype=tf.float32) + 0.5) / size


def brightness(images: Any, seed: Any, strength: float) -> Any:
    """Add a share of the value range."""
    return images + 255 * _amount(images, seed, strength)


def contrast(images: Any, seed: Any, strength: float) -> Any:
    """Stretch or shrink the distance from the image's mean colour."""
    mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
    return mean + (images - mean) * (1 + _amount(images, seed, strength))


def gamma(images: Any, seed: Any, strength: float) -> Any:
    """Raise values to the power 2^amount."""
    return 255 * (tf.clip_by_value(images, 0.0, 255.0) / 255) ** (2 ** _amount(images, seed, strength))


def saturation(images: Any, seed: Any, strength: float) -> Any:
    """Stretch or shrink the distance from grey."""
    grey = tf.image.rgb_to_grayscale(images)
    return grey + (images - grey) * (1 + _amount(images, seed, strength))


def hue(images: Any, seed: Any, strength: float) -> Any:
    """Turn the colours about the grey axis; strength 1 is half a turn."""
    angle = math.pi * _amount(images, seed, strength)[:, 0]
    third = tf.constant(1 / 3)
    cos, sin = tf.cos(angle), tf.sin(angle) * math.sqrt(1 / 3)
    same, following, previous = cos + third * (1 - cos), third * (1 - cos) - sin, third * (1 - cos) + sin
    rows = [[same, following, previous], [previous, same, following], [following, previous, same]]
    matrix = tf.stack([tf.concat(row, axis=-1) for row in rows], axis=1)
    return tf.einsum("nhwc,ndc->nhwd", images, tf.reshape(matrix, (-1, 3, 3)))


def stain(images: Any, seed: Any, strength: float) -> Any:
    """Scale and shift each channel's optical density, as another stain or another batch of it does.

    After Tellez et al. 2018 (doi:10.1109/TMI.2018.2820199), in RGB rather than in the space of one stain.
    """
    first, second = tf.unstack(tf.random.split(seed, 2))
    density = -tf.math.log((tf.clip_by_value(images, 0.0, 255.0) + 1) / 256)
    scale = 1 + tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 3), first, -strength, strength)
    shift = tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 3), second, -strength, strength) / 4
    return 256 * tf.exp(-(density * scale + shift)) - 1


def stain_mix(images: Any, seed: Any, strength: float) -> Any:
    """Add to each channel's optical density a share of each other's, or take it away, as dyes of other spectra do.

    What factors on single channels cannot do and `stain` does not: of Ruifrok & Johnston's (2001, Anal Quant Cytol
    Histol 23:291) dye vectors each points elsewhere in another stain, so density is multiplied by a 3×3 matrix.
    """
    count = tf.shape(images)[0]
    others = tf.random.stateless_uniform((count, 3, 3), seed, -strength, strength) * (1 - tf.eye(3))
    density = -tf.math.log((tf.clip_by_value(images, 0.0, 255.0) + 1) / 256)
    mixed = density + tf.einsum("nhwc,ncd->nhwd", density, others)
    return 256 * tf.exp(-mixed) - 1


def white_balance(images: Any, seed: Any, strength: float) -> Any:
    """Multiply each channel by a gain of its own, e to the power of the amount; what grows too bright is cut off."""
    gains = tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 3), seed, -strength, strength)
    return images * tf.exp(gains)


def blur(images: Any, seed: Any, strength: float) -> Any:
    """Blur with a Gaussian of a standard deviation up to so many pixels."""
    sigma = tf.maximum(tf.abs(_amount(images, seed, strength)), 1e-3)
    radius = math.ceil(BLUR_RADIUS * strength)
    offsets = range(-radius, radius + 1)
    weights = [tf.exp(-(offset**2) / (2 * sigma**2)) for offset in offsets]
    total = tf.add_n(weights)
    for axis in (1, 2):
        edges = [[0, 0], [0, 0], [0, 0], [0, 0]]
        edges[axis] = [radius, radius]
        padded = tf.pad(images, edges, "SYMMETRIC")
        size = images.shape[axis]
        shifted = (padded[:, o : o + size] if axis == 1 else padded[:, :, o : o + size] for o in range(2 * radius + 1))
        images = tf.add_n([part * weight for part, weight in zip(shifted, weights, strict=True)]) / total
    return images


def noise(images: Any, seed: Any, strength: float) -> Any:
    """Add Gaussian noise of a standard deviation up to so large a share of the value range."""
    first, second = tf.unstack(tf.random.split(seed, 2))
    return images + 255 * _amount(images, first, strength) * tf.random.stateless_normal(tf.shape(images), second)


def jpeg(images: Any, seed: Any, strength: float) -> Any:
    """Encode as JPEG and decode; the quality goes down from 100 to 100 − 95·strength."""
    quality = tf.cast(tf.round(100 - 95 * tf.abs(_amount(images, seed, strength))), tf.int32)[:, 0, 0, 0]
    pixels = tf.cast(tf.clip_by_value(tf.round(images), 0.0, 255.0), tf.uint8)
    coded = tf.map_fn(
        lambda pair: tf.image.adjust_jpeg_quality(pair[0], pair[1]),
        (pixels, quality),
        fn_output_signature=tf.TensorSpec(images.shape[1:], tf.uint8),
    )
    return tf.cast(coded, tf.float32)


def solarize(images: Any, seed: Any, strength: float) -> Any:
    """Invert the values above a threshold; strength 1 lets it fall to 0."""
    threshold = 255 * (1 - tf.abs(_amount(images, seed, strength)))
    return tf.where(images > threshold, 255 - images, images)


def cutout(images: Any, seed: Any, strength: float) -> Any:
    """Cover a rectangle, each side up to so large a share of the image's, by one random colour.

    After DeVries & Taylor 2017, arXiv:1708.04552.
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    position_seed, size_seed, colour_seed = tf.unstack(tf.random.split(seed, 3))
    centre = tf.random.stateless_uniform((count, 2), position_seed)
    half = tf.random.stateless_uniform((count, 2), size_seed, 0.0, strength) / 2
    rows = tf.abs(middles(height) - centre[:, :1]) < half[:, :1]
    columns = tf.abs(middles(width) - centre[:, 1:]) < half[:, 1:]
    colour = tf.random.stateless_uniform((count, 1, 1, 3), colour_seed, 0.0, 255.0)
    return tf.where((rows[:, :, None] & columns[:, None, :])[..., None], colour, images)


def dirt(images: Any, seed: Any, strength: float) -> Any:
    """Lay soft-edged ellipses of one colour over it, up to `SPOTS` of them, that cover up to a share of its area.

    Their sizes are drawn from a Dirichlet distribution of small concentration: now one blot, now several grains.
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    area, place, shape, sizes, colour, cover = tf.unstack(tf.random.split(seed, 6))
    shares = tf.random.stateless_gamma((count, SPOTS), sizes, 0.3) + 1e-6
    shares *= tf.random.stateless_uniform((count, 1), area, 0.0, strength) / tf.reduce_sum(shares, 1, keepdims=True)
    centre = tf.random.stateless_uniform((count, SPOTS, 2), place)
    turn, stretch = tf.unstack(tf.random.stateless_uniform((count, SPOTS, 2), shape), axis=2)
    angle, ratio = math.pi * turn, 1 + stretch
    rows = middles(height)[:, None] - centre[..., 0, None, None]
    columns = middles(width) - centre[..., 1, None, None]
    cos, sin = tf.cos(angle)[..., None, None], tf.sin(angle)[..., None, None]
    along, across = columns * cos + rows * sin, rows * cos - columns * sin
    ratio = ratio[..., None, None]
    squared = (along**2 / ratio + across**2 * ratio) * math.pi / tf.maximum(shares, 1e-9)[..., None, None]
    inside = tf.reduce_max(tf.sigmoid((1 - squared) * SHARPNESS), axis=1)[..., None]
    opacity = tf.random.stateless_uniform((count, 1, 1, 1), cover, 0.6, 1.0)
    drawn = tf.random.stateless_uniform((count, 1, 1, 3), colour, 0.0, 255.0)
    return images + inside * opacity * (drawn - images)


def vignette(images: Any, seed: Any, strength: float) -> Any:
    """Let the light fall off with the square of the distance from a spot anywhere in the image.

    The amount is what is lost at a distance of one side.
    """
    loss, spot = tf.unstack(tf.random.split(seed, 2))
    height, width = images.shape[1], images.shape[2]
    y, x = tf.unstack(tf.random.stateless_uniform((tf.shape(images)[0], 2, 1, 1), spot), axis=1)
    rows = middles(height)[:, None] - y
    columns = middles(width) - x
    lost = tf.abs(_amount(images, loss, strength)) * tf.minimum(rows**2 + columns**2, 1.0)[..., None]
    return images * (1 - lost)


OPERATIONS: dict[str, Operation] = {
    "brightness": brightness,
    "contrast": contrast,
    "gamma": gamma,
    "saturation": saturation,
    "hue": hue,
    "white_balance": white_balance,
    "stain": stain,
    "stain_mix": stain_mix,
    "solarize": solarize,
    "vignette": vignette,
    "blur": blur,
    "noise": noise,
    "jpeg": jpeg,
    "cutout": cutout,
    "dirt": dirt,
}
"""In the order they are applied: light and colour, sharpness, sensor, file, then what lies on top."""


def _amount(images: Any, seed: Any, strength: float) -> Any:
    """One number per image between −strength and strength, of shape N×1×1×1."""
    return tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), seed, -strength, strength)
