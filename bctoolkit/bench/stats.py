"""Statistics of samples. Raw samples are the truth; everything here is derived from them."""

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.report import Latency

__all__ = ["latency"]

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
