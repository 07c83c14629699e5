"""Statistics of samples and of paired decisions. Raw samples are the truth; everything here is derived from them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.report import Latency
from bctoolkit.lazy import require

__all__ = ["drop_interval", "latency", "mcnemar"]

RESAMPLES = 2_000
BLOCKS, BLOCK_RUNS = 20, 10
"""Most blocks a session is cut into, and fewest runs in each: a resample keeps neighbouring runs together."""
STABLE_SPREAD = 0.10
P99_SAMPLES = 1_000


def latency(sessions: list[NDArray[np.float64]], seed: int = 0) -> Latency:
    """Summarize samples in milliseconds, one array per session. No sample is ever left out."""
    samples = np.concatenate(sessions)
    medians = np.array([np.median(session) for session in sessions])
    spread = float((medians.max() - medians.min()) / np.median(medians))
    p50, p90, p99 = np.percentile(samples, (50, 90, 99))
    return Latency(
        p50=float(p50),
        p90=float(p90),
        p99=float(p99) if len(samples) >= P99_SAMPLES else None,
        mean=float(samples.mean()),
        min=float(samples.min()),
        max=float(samples.max()),
        ci95_p50=_median_interval(sessions, seed),
        n=len(samples),
        stable=spread <= STABLE_SPREAD,
        spread=spread,
    )


def _median_interval(sessions: list[NDArray[np.float64]], seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of the median: sessions are drawn, then blocks within them.

    Runs near each other in time share the machine's state, so they are resampled together (Davison & Hinkley 1997,
    section 3.8).
    """
    rng = np.random.default_rng(seed)
    blocks = [np.array_split(session, np.clip(len(session) // BLOCK_RUNS, 1, BLOCKS)) for session in sessions]
    medians = np.array([[np.median(block) for block in session[: min(map(len, blocks))]] for session in blocks])
    count, width = medians.shape
    drawn = rng.integers(count, size=(RESAMPLES, count, 1))
    inside = rng.integers(width, size=(RESAMPLES, count, width))
    resampled = np.median(medians[drawn, inside].reshape(RESAMPLES, -1), axis=1)
    low, high = np.percentile(resampled, (2.5, 97.5))
    return float(low), float(high)


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
    draws = rng.multinomial(count, [losses / count, gains / count, 1 - (losses + gains) / count], size=RESAMPLES * 5)
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
