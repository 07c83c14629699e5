"""A few numbers that tell one kind of picture from another: colour in rings, contrast there, and how steep it is.

They cost little beside a network, hardly depend on which way up a picture is, and need numpy alone, so that a device
can tell a picture that is unlike all that the network was checked on (`bctoolkit.statistics.acceptance`).
"""

from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Features", "Pictures", "feature_count", "image_features"]

Features = NDArray[np.float32]
"""N × F."""


class Pictures(Protocol):
    """N × height × width × channels, values 0–255: an array, or read from disk whenever it is indexed."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, index: slice, /) -> NDArray[Any]:
        """Some of them."""


BLOCKS = 12
"""An image is averaged to so many blocks each way."""

RINGS = (0.35, 0.7, 1.0)
"""Radii between the four rings around the centre, in halves of the side; the corners lie in the last."""

MOST_COLOURS = 4
"""Of more channels only the mean is looked at."""

FLAT = 0.25
"""Squares of steps far below this are no contrast."""


CHUNK = 64
"""Images looked at together."""


def feature_count(channels: int) -> int:
    """Features of an image of so many channels."""
    return 2 * (len(RINGS) + 1) * (channels if channels <= MOST_COLOURS else 1) + 2


def image_features(images: Pictures) -> Features:
    """Features of images.

    Mean and standard deviation of each channel in each of four rings around the centre, of 12 × 12 block means; and of
    the middle channel the logarithm of the root mean square step from pixel to pixel, across and down.

    Args:
        images: N of them.

    Returns:
        N × `feature_count(channels)`, float32; above four channels as for one, their mean.
    """
    return np.concatenate([_features(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)])


def _features(images: NDArray[Any]) -> Features:
    pixels = np.asarray(images, np.float32)
    if pixels.shape[3] > MOST_COLOURS:
        pixels = pixels.mean(3, keepdims=True)
    count, height, width, channels = pixels.shape
    down, across, rings = _averages(height, width)
    blocks = across @ (down @ pixels.reshape(count, height, -1)).reshape(count, -1, width, channels)
    flat = blocks.reshape(count, -1, channels)
    features = np.empty((count, feature_count(channels)), np.float32)
    means, spread = features[:, :-2].reshape(count, 2, -1, channels).swapaxes(0, 1)
    np.matmul(rings, flat, out=means)
    np.sqrt(np.maximum(rings @ (flat * flat) - means * means, 0), out=spread)
    plane = pixels[..., channels // 2]
    for column, step in ((-2, plane[:, :, 1:] - plane[:, :, :-1]), (-1, plane[:, 1:] - plane[:, :-1])):
        features[:, column] = np.einsum("nij,nij->n", step, step) / max(step[0].size, 1)
    features[:, -2:] = np.log(features[:, -2:] + FLAT) / 2
    return features


@cache
def _averages(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """What averages rows to blocks, columns to blocks, and blocks to rings: matrices whose rows add up to one."""
    down, across = _blocks(height), _blocks(width)
    y, x = (np.linspace(-1, 1, len(each)) if len(each) > 1 else np.zeros(1) for each in (down, across))
    ring = np.digitize(np.hypot(y[:, None], x[None]), RINGS).ravel()
    inside = np.stack([ring == i for i in range(len(RINGS) + 1)]).astype(np.float32)
    return down, across, inside / np.maximum(inside.sum(1, keepdims=True), 1)


def _blocks(side: int) -> NDArray[np.float32]:
    """Blocks × pixels."""
    count = min(BLOCKS, side)
    block = np.arange(side) * count // side
    inside = (block == np.arange(count)[:, None]).astype(np.float32)
    averages: NDArray[np.float32] = inside / inside.sum(1, keepdims=True)
    return averages
