"""Which images of a set are the same picture: equal pixel by pixel, or saved again as JPEG or at another size."""

import numpy as np
from numpy.typing import NDArray

from bctoolkit.lazy import require

__all__ = ["exact_copies", "near_copies"]

BLOCK, AXES = 4, 12
"""Candidates are searched by the means of 4×4 pixels, along their principal axes. Neither averaging nor projecting
lengthens a distance, so none is missed."""

SLACK = 1.5
"""Grey levels by which thumbnails of the same picture may differ whatever their contrast: rounding."""
SHARE = 0.15
"""Share of the picture's contrast by which they may differ besides: what JPEG and resampling change at hard edges."""


def exact_copies(hashes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """A group's number for each of N images: the same for the same decoded pixels.

    Args:
        hashes: N × 32.
    """
    keys = np.ascontiguousarray(hashes).view(f"V{hashes.shape[1]}").ravel()
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def near_copies(coarse: NDArray[np.uint8]) -> NDArray[np.int64]:
    """A group's number for each of N images: the same where small thumbnails hardly differ.

    Two thumbnails are the same picture if the root mean square of their difference is at most `SLACK` grey
    levels and `SHARE` of the lesser standard deviation of both.

    Args:
        coarse: N × height × width × 3 thumbnails.
    """
    sparse, graph = require("scipy.sparse", "data"), require("scipy.sparse.csgraph", "data")
    flat = coarse.reshape(len(coarse), -1).astype(np.float32)
    allowed = SLACK + SHARE * flat.reshape(len(flat), -1, 3).std(1).mean(1)
    first, second = _candidates(coarse, allowed)
    distance = np.sqrt(_mean_square(flat, first, second))
    same = distance <= np.minimum(allowed[first], allowed[second])
    ones = np.ones(int(same.sum()), bool)
    links = sparse.coo_matrix((ones, (first[same], second[same])), shape=(len(flat), len(flat)))
    groups: NDArray[np.int64] = graph.connected_components(links, directed=False)[1].astype(np.int64)
    return groups


def _candidates(coarse: NDArray[np.uint8], allowed: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs that may be the same picture: a superset of those that are."""
    spatial = require("scipy.spatial", "data")
    count, height, width, channels = coarse.shape
    blocks = coarse.reshape(count, height // BLOCK, BLOCK, width // BLOCK, BLOCK, channels)
    means = blocks.mean((2, 4), dtype=np.float64).reshape(count, -1)
    centred = means - means.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    projected = centred @ axes[:, -AXES:]
    radius = allowed * np.sqrt(means.shape[1]) * (1 + 1e-5)
    neighbours = spatial.cKDTree(projected).query_ball_point(projected, radius, workers=-1)
    first = np.repeat(np.arange(count), [len(near) for near in neighbours])
    second = np.concatenate([np.asarray(near, np.int64) for near in neighbours])
    return first[first < second], second[first < second]


def _mean_square(flat: NDArray[np.float32], first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float32]:
    """Mean square difference of each pair, some at a time: a picture with 1,600 copies makes a million pairs."""
    difference = np.empty(len(first), np.float32)
    for start in range(0, len(first), 4096):
        piece = slice(start, start + 4096)
        difference[piece] = np.square(flat[first[piece]] - flat[second[piece]]).mean(1)
    return difference
