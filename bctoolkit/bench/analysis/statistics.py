"""Statistics of samples. Raw samples are the truth; everything here is derived from them.

The session is the independent unit: runs within one share a process, and often a moment of the machine. So intervals
rest on what differs between sessions, however many runs each has.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bctoolkit.bench.documents.measurements import Latency, TimingWarning
from bctoolkit.statistics.distributions import beta_quantile, student_quantile

__all__ = ["Ratio", "latency", "mean_interval", "ratio", "warnings_of"]

Samples = NDArray[np.float64]

BLOCKS, BLOCK_RUNS = 20, 10
"""Most blocks a session is cut into, and fewest runs in each."""
STABLE_SPREAD = 0.10
P99_SAMPLES = 1_000
FEW_SESSIONS, FEW_RUNS = 3, 100
COARSE_TICK = 0.01
"""Share of a run that one tick of the clock may be."""


class Ratio(NamedTuple):
    """How many times as large the second of two figures is, with its 95 % interval."""

    value: float
    low: float
    high: float


def latency(sessions: list[Samples], warnings: tuple[TimingWarning, ...] = ()) -> Latency:
    """Summarize samples in milliseconds, one array per session. No sample is ever left out.

    Args:
        sessions: at least one, each with at least one sample.
        warnings: those of `warnings_of`.
    """
    samples = np.concatenate(sessions)
    medians = np.array([np.median(session) for session in sessions])
    spread = float((medians.max() - medians.min()) / np.median(medians))
    p50, p90, p99 = np.percentile(samples, (50, 90, 99))
    low, high = mean_interval(medians if len(medians) > 1 else _block_medians(sessions[0]))
    reasons = list(warnings)
    if spread > STABLE_SPREAD:
        reasons.append(TimingWarning.SPREAD)
    if len(sessions) < FEW_SESSIONS or len(samples) < FEW_RUNS:
        reasons.append(TimingWarning.FEW)
    has_p99 = len(samples) >= P99_SAMPLES
    return Latency(
        p50=float(p50),
        p90=float(p90),
        p99=float(p99) if has_p99 else None,
        mean=float(samples.mean()),
        min=float(samples.min()),
        max=float(samples.max()),
        ci95_p50=(min(low, float(p50)), max(high, float(p50))),
        ci95_p99=_quantile_interval(sessions, 0.99) if has_p99 else None,
        samples=len(samples),
        warnings=tuple(reasons),
        spread=spread,
    )


def warnings_of(
    interference: Iterable[Iterable[TimingWarning]], ticks: Iterable[int], runs: Iterable[ArrayLike]
) -> tuple[TimingWarning, ...]:
    """The warnings of all sessions together.

    Args:
        interference: what each session has detected itself.
        ticks: the clock's tick in each, in nanoseconds.
        runs: the runs of each, in nanoseconds.
    """
    warnings = {reason for session in interference for reason in session}
    if any(
        tick > COARSE_TICK * float(np.median(np.asarray(session))) for tick, session in zip(ticks, runs, strict=True)
    ):
        warnings.add(TimingWarning.CLOCK)
    return tuple(reason for reason in TimingWarning if reason in warnings)


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """Student's 95 % interval of the mean of one figure per session, on the scale of its logarithm.

    The logarithm because interference multiplies, and because a time's interval must not reach below 0. A single value
    bounds nothing and is its own interval.
    """
    logs = np.log(np.asarray(values, np.float64))
    if len(logs) < 2:
        return float(np.exp(logs[0])), float(np.exp(logs[0]))
    low, high = _student(logs.mean(), logs.std(ddof=1) / np.sqrt(len(logs)), len(logs) - 1)
    return float(np.exp(low)), float(np.exp(high))


def ratio(old: ArrayLike, new: ArrayLike, *, paired: bool) -> Ratio:
    """New / old with a 95 % interval, each given as one positive figure per session.

    Args:
        old: the sessions' figures.
        new: the same of what is compared with it.
        paired: whether session i of both was measured in the same round, so that a drifting machine cancels out:
            Student's interval of the log ratios. Otherwise Welch's (Welch 1947, Biometrika 34:28–35) of the logarithms.

    Raises:
        ValueError: fewer than two sessions, or paired ones that differ in number.
    """
    before, after = np.log(np.asarray(old, np.float64)), np.log(np.asarray(new, np.float64))
    if min(len(before), len(after)) < 2 or (paired and len(before) != len(after)):
        raise ValueError(f"{len(before)} and {len(after)} sessions give no interval")
    if paired:
        logs = after - before
        centre, error, freedom = logs.mean(), logs.std(ddof=1) / np.sqrt(len(logs)), len(logs) - 1.0
    else:
        shares = np.array([logs.var(ddof=1) / len(logs) for logs in (before, after)])
        centre, error = after.mean() - before.mean(), np.sqrt(shares.sum())
        parts = shares**2 / np.array([len(before) - 1, len(after) - 1])
        freedom = float(shares.sum() ** 2 / parts.sum()) if parts.sum() > 0 else 1.0
    low, high = _student(centre, error, freedom)
    return Ratio(float(np.exp(centre)), float(np.exp(low)), float(np.exp(high)))


def _student(centre: float, error: float, freedom: float) -> tuple[float, float]:
    reach = student_quantile(0.975, freedom) * error
    return centre - reach, centre + reach


def _blocks(session: Samples) -> list[Samples]:
    """A session's runs cut in order into blocks."""
    return list(np.array_split(session, np.clip(len(session) // BLOCK_RUNS, 1, BLOCKS)))


def _block_medians(session: Samples) -> Samples:
    """What stands in for sessions where there is one: it sees nothing of what differs between processes."""
    return np.array([np.median(block) for block in _blocks(session)])


def _quantile_interval(sessions: list[Samples], share: float) -> tuple[float, float]:
    """95 % interval of a quantile of all samples (Woodruff 1952, JASA 47:635–646).

    An interval of the share of runs below it, turned into quantiles. How far blocks of neighbouring runs differ in that
    share tells how many independent runs the samples are worth (Korn & Graubard 1998, Survey Methodology 24:193–201).
    The share's interval is Jeffreys's (Brown, Cai & DasGupta 2001, Statistical Science 16:101–133).
    """
    samples = np.concatenate(sessions)
    limit = np.quantile(samples, share)
    blocks = [block for session in sessions for block in _blocks(session)]
    over = np.array([(block > limit).mean() for block in blocks])
    sizes = np.array([len(block) for block in blocks])
    expected = share * (1 - share) * (1 / sizes).mean()
    worth = len(samples) / max(1.0, float(over.var(ddof=1)) / expected)
    shares = [beta_quantile(tail, worth * share + 0.5, worth * (1 - share) + 0.5) for tail in (0.025, 0.975)]
    low, high = np.quantile(samples, shares, method="weibull")  # the mean share below the i-th of n is i / (n + 1)
    return float(low), float(high)
