"""Which pictures of a set are like no other: foreign ones, found without knowing what belongs to the set."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST", "LIMIT", "oddness"]

FEWEST = 50
"""Different pictures below which none can be called odd."""
LIMIT = 6.0
"""Oddness above which a picture is taken for foreign."""
NEIGHBOURS = 10
"""A picture that fewer others resemble stands alone. A second imaging set-up has more, a handful of odd ones fewer."""
MOST_COMPARED = 12_000
"""Pictures each one is compared with; of larger sets an even share, so that time does not grow with the square."""

TAIL, HANDFUL, MOST_TAIL = 0.005, 4, 0.1
"""The extremes that do not set a feature's scale, at each end: this share of the pictures, but at least this many
pictures, and at most this share."""
FLAT = 0.02
"""Least scale of a feature: one that hardly varies must not decide."""
PASSES = 6
PIECE = 512


def oddness(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far each picture is from the tenth most like it, against what is usual in the set.

    The distance to the k-th nearest neighbour as a score of outliers (Ramaswamy, Rastogi and Shim, SIGMOD 2000), its
    logarithm in units of the set's own spread around the set's median. What one pass finds odd neither vouches for
    others nor counts as usual in the next.

    Args:
        features: N × F of N different pictures: copies would vouch for one another.

    Returns:
        N scores; 0 is the usual, above `LIMIT` foreign.
    """
    compared = np.unique(np.linspace(0, len(features) - 1, min(len(features), MOST_COMPARED)).astype(np.int64))
    odd = np.zeros(len(features), bool)
    for _ in range(PASSES):
        scaled = _scaled(features, ~odd)
        near = np.log(_distances(scaled, compared[~odd[compared]]) + 1e-6)
        low, middle, high = np.quantile(near[~odd], [0.25, 0.5, 0.75])
        score: NDArray[np.float64] = (near - middle) / max(high - low, 1e-6)
        before, odd = odd, score > LIMIT
        if (odd == before).all():
            break
    return score


def _scaled(features: NDArray[np.float32], usual: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Each feature around the median of the usual ones, in units of the range of all of them but the extremes."""
    tail = min(max(TAIL, HANDFUL / usual.sum()), MOST_TAIL)
    low, middle, high = np.quantile(features[usual], [tail, 0.5, 1 - tail], axis=0)
    scaled: NDArray[np.float32] = ((features - middle) / np.maximum(high - low, FLAT)).astype(np.float32)
    return scaled


def _distances(scaled: NDArray[np.float32], compared: NDArray[np.int64]) -> NDArray[np.float64]:
    """Distance of each picture to its k-th nearest among those compared, itself left out."""
    others = scaled[compared]
    squares = np.square(others).sum(1)
    found = np.empty(len(scaled))
    for start in range(0, len(scaled), PIECE):
        own = np.arange(start, min(start + PIECE, len(scaled)))
        apart = np.square(scaled[own]).sum(1)[:, None] + squares - 2 * scaled[own] @ others.T
        apart[own[:, None] == compared] = np.inf
        rank = min(NEIGHBOURS, apart.shape[1]) - 1
        found[own] = np.partition(apart, rank, axis=1)[:, rank]
    return np.sqrt(np.maximum(found, 0))
