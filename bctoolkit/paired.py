"""Statistics of paired decisions: a reference and an artifact on the same images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.lazy import require

__all__ = ["drop_interval", "mcnemar"]

RESAMPLES = 10_000


def drop_interval(
    reference_right: NDArray[np.bool_], observed_right: NDArray[np.bool_], seed: int = 0
) -> tuple[float, float]:
    """95 % paired bootstrap interval of the drop in accuracy, reference − observed.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13. Where no image is decided differently
    the bootstrap has nothing to draw; then the bound is the exact one on the share of images that could differ.
    """
    difference = reference_right.astype(np.int64) - observed_right.astype(np.int64)
    count = len(difference)
    losses, gains = int((difference > 0).sum()), int((difference < 0).sum())
    if losses + gains == 0:
        bound = float(1 - 0.025 ** (1 / count))  # Clopper & Pearson 1934, for no event in `count` trials
        return -bound, bound
    rng = np.random.default_rng(seed)
    # Resampling N pairs of which only the counts of losses and gains matter is one multinomial draw.
    draws = rng.multinomial(count, [losses / count, gains / count, 1 - (losses + gains) / count], size=RESAMPLES)
    low, high = np.percentile((draws[:, 0] - draws[:, 1]) / count, (2.5, 97.5))
    return float(low), float(high)


def mcnemar(reference_right: NDArray[np.bool_], observed_right: NDArray[np.bool_]) -> float:
    """Exact two-sided McNemar test that both are right equally often (McNemar 1947), by scipy's binomial test."""
    losses = int((reference_right & ~observed_right).sum())
    gains = int((~reference_right & observed_right).sum())
    if losses + gains == 0:
        return 1.0
    stats: Any = require("scipy.stats", "bench")
    return float(stats.binomtest(losses, losses + gains, 0.5).pvalue)
