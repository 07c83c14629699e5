"""The bootstrap over images: what a sum becomes on other draws (Efron 1979, Annals of Statistics 7:1–26)."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["RESAMPLES", "sums"]

RESAMPLES = 2_000
AT_ONCE = 1_000_000
"""Draws held in memory at a time."""


def sums(values: NDArray[np.float64], seed: int = 0, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """Sums over N images drawn with replacement; an image's whole row comes along each time it is drawn.

    Args:
        values: N × columns.
        seed: of the draws: the same for the same number of images, so that a report can be computed again.
        resamples: how often N images are drawn.

    Returns:
        Array resamples × columns.
    """
    generator, count = np.random.default_rng(seed), len(values)
    found = np.empty((resamples, values.shape[1]))
    step = max(1, AT_ONCE // count)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = generator.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        found[start : start + rows] = times @ values
    return found
