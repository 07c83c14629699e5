"""Which pictures of a set are like no other: foreign ones, found without knowing what belongs to the set."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_PICTURES", "THRESHOLD", "outlier_score"]

MIN_PICTURES = 50
"""Different pictures below which none can be called an outlier."""
THRESHOLD = 6.0
"""Outlier score above which a picture is taken for foreign."""
NEIGHBOURS = 10
"""A picture that fewer others resemble is isolated. A second imaging set-up has more, a handful of outliers fewer."""
MOST_COMPARED = 12_000
"""Pictures each one is compared with; of larger sets an even share, so that time does not grow with the square."""

TAIL, HANDFUL, MOST_TAIL = 0.005, 4, 0.1
"""The extremes that do not set a feature's scale, at each end: this share of the pictures, but at least this many
pictures, and at most this share."""
FLAT = 0.02
"""Least scale of a feature: one that hardly varies must not decide."""
PASSES = 6
PIECE = 512


def outlier_score(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far each picture is from the tenth most like it, against what is usual in the set.

    The distance to the k-th nearest neighbour as a score of outliers (Ramaswamy, Rastogi and Shim, SIGMOD 2000), its
    logarithm in units of the set's own spread around the set's median. The outliers of one pass are neither compared
    with nor counted as usual in the next.

    Args:
        features: N × F of N different pictures: a copy would be its picture's nearest neighbour.

    Returns:
        N scores; 0 is the median, above `THRESHOLD` foreign.
    """
    compared = np.unique(np.linspace(0, len(features) - 1, min(len(features), MOST_COMPARED)).astype(np.int64))
    outlier = np.zeros(len(features), bool)
    for _ in range(PASSES):
        scaled = _scaled(features, ~outlier)
        distance = np.log(_distances(scaled, compared[~outlier[compared]]) + 1e-6)
        low, median, high = np.quantile(distance[~outlier], [0.25, 0.5, 0.75])
        score: NDArray[np.float64] = (distance - median) / max(high - low, 1e-6)
        before, outlier = outlier, score > THRESHOLD
        if (outlier == before).all():
            break
    return score


def _scaled(features: NDArray[np.float32], usual: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Each feature around the median of the usual ones, in units of the range of all of them but the extremes."""
    tail = min(max(TAIL, HANDFUL / usual.sum()), MOST_TAIL)
    low, median, high = np.quantile(features[usual], [tail, 0.5, 1 - tail], axis=0)
    scaled: NDArray[np.float32] = ((features - median) / np.maximum(high - low, FLAT)).astype(np.float32)
    return scaled


def _distances(scaled: NDArray[np.float32], compared: NDArray[np.int64]) -> NDArray[np.float64]:
    """Distance of each picture to its k-th nearest among those compared, except itself."""
    others = scaled[compared]
    squares = np.square(others).sum(1)
    nearest = np.empty(len(scaled))
    for start in range(0, len(scaled), PIECE):
        piece = np.arange(start, min(start + PIECE, len(scaled)))
        distance = np.square(scaled[piece]).sum(1)[:, None] + squares - 2 * scaled[piece] @ others.T
        distance[piece[:, None] == compared] = np.inf
        rank = min(NEIGHBOURS, distance.shape[1]) - 1
        nearest[piece] = np.partition(distance, rank, axis=1)[:, rank]
    return np.sqrt(np.maximum(nearest, 0))
