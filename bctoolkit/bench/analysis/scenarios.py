"""Figures of the scenarios beside single-stream, and of energy, from raw samples."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bctoolkit.bench.analysis import statistics
from bctoolkit.bench.documents.measurements import (
    Batch,
    Energy,
    Interval,
    MultiStream,
    Offline,
    Sustained,
    TimingWarning,
    Window,
)
from bctoolkit.bench.documents.report import Result
from bctoolkit.bench.documents.samples import (
    EnergyUse,
    OfflineSamples,
    ScenarioSamples,
    SessionSamples,
    StreamsSamples,
    SustainedSamples,
)
from bctoolkit.documents.formats import FORMATS

__all__ = ["energy", "multi_stream", "offline", "sustained", "with_scenarios"]

KNEE = 0.95
"""Share of the best throughput."""


def with_scenarios(result: Result, single: list[SessionSamples], samples: ScenarioSamples) -> Result:
    """The result with the figures of the scenarios beside the single-stream sessions."""
    return msgspec.structs.replace(
        result,
        offline=offline(samples.offline, FORMATS[result.format].batch) if samples.offline else None,
        multi_stream=multi_stream(samples.streams, single) if samples.streams else None,
        sustained=sustained(samples.sustained[0]) if samples.sustained else None,
    )


def offline(sessions: list[OfflineSamples], fixed_batch: int | None) -> Offline:
    """Throughput by batch size and its knee.

    Args:
        sessions: all with the same sizes; at least one.
        fixed_batch: what the format's graph takes at a time; None where it is free.
    """
    sizes = [runs.batch for runs in sessions[0].batches]
    rates = np.array(
        [[_per_second(runs.batch * len(runs.runs), sum(runs.runs)) for runs in each.batches] for each in sessions]
    )
    batches = tuple(_batch(sessions, index, rates[:, index]) for index in range(len(sizes)))
    sound = [not batch.violations for batch in batches]
    knees = [_knee(sizes, of_session, sound) for of_session in rates]
    knee = _knee(sizes, np.array([batch.images_per_s for batch in batches]), sound)
    at_knee = rates[:, sizes.index(knee)]
    return Offline(
        batches=batches,
        fixed_batch=fixed_batch,
        knee=knee,
        knee_range=(min(knees), max(knees)),
        stop_reason=sessions[0].stop_reason,
        warnings=_warnings([session.interference for session in sessions], at_knee),
    )


def _batch(sessions: list[OfflineSamples], index: int, rates: NDArray[np.float64]) -> Batch:
    runs = [session.batches[index] for session in sessions]
    mean, interval = _mean(rates)
    return Batch(
        batch=runs[0].batch,
        images_per_s=mean,
        ci95_images_per_s=interval,
        p50_ms=float(np.median(np.concatenate([each.runs for each in runs]))) / 1e6,
        samples=sum(len(each.runs) for each in runs),
        peak_rss_bytes=max(each.peak_rss for each in runs),
        top1_agreement=min(each.top1_agreement for each in runs),
        violations=tuple(next((each.violations for each in runs if each.violations), [])),
    )


def _knee(sizes: list[int], rates: NDArray[np.float64], sound: list[bool]) -> int:
    """The smallest size within 5 % of the best, among those whose answers are sound if there are such."""
    able = [(size, rate) for size, rate, fine in zip(sizes, rates, sound, strict=True) if fine or not any(sound)]
    best = max(rate for _, rate in able)
    return min(size for size, rate in able if rate >= KNEE * best)


def multi_stream(sessions: list[StreamsSamples], single: list[SessionSamples]) -> MultiStream:
    """Latency and throughput of streams at once.

    Args:
        sessions: at least one.
        single: single-stream of the same rounds.
    """
    rates = [_per_second(sum(map(len, session.runs)), session.wall) for session in sessions]
    alone = [_per_second(len(session.model), sum(session.model)) for session in single]
    mean, interval = _mean(rates)
    ratio = statistics.ratio(alone, rates, paired=True) if len(rates) > 1 else None
    samples = [np.concatenate([np.array(runs, np.float64) for runs in session.runs]) for session in sessions]
    warnings = statistics.warnings_of(
        [session.interference for session in sessions], [session.clock_tick for session in sessions], samples
    )
    return MultiStream(
        streams=len(sessions[0].runs),
        threads=sessions[0].threads,
        latency_ms=statistics.latency([runs / 1e6 for runs in samples], warnings),
        images_per_s=mean,
        ci95_images_per_s=interval,
        ratio=rates[0] / alone[0] if ratio is None else ratio.value,
        ci95_ratio=None if ratio is None else (ratio.low, ratio.high),
        peak_rss_bytes=max(session.peak_rss for session in sessions),
    )


def sustained(samples: SustainedSamples) -> Sustained:
    """Latency, temperature and frequency over time."""
    runs = np.array(samples.runs, np.float64) / 1e6
    ends = [end.runs for end in samples.windows]
    tenths = [float(np.median(part)) for part in np.array_split(runs, 10)] if len(runs) >= statistics.FEW_RUNS else []
    return Sustained(
        minutes=samples.windows[-1].seconds / 60,
        samples=len(runs),
        p50_ms=float(np.median(runs)),
        p99_ms=_p99(runs),
        slow_down=tenths[-1] / tenths[0] if tenths else None,
        warnings=tuple(samples.interference),
        windows=tuple(
            Window(end.seconds, len(part), float(np.median(part)), _p99(part), end.mhz, end.celsius)
            for end, part in zip(samples.windows, np.split(runs, ends[:-1]), strict=True)
        ),
        energy=energy([samples.energy], [len(runs)]),
    )


def energy(uses: list[EnergyUse | None], runs: list[int]) -> Energy | None:
    """Energy per run; None where any session has none.

    Args:
        uses: of each session.
        runs: how many runs each used it for.
    """
    counted = [each for each in uses if each is not None]
    if not counted or len(counted) < len(uses):
        return None
    mean, interval = _mean([1000 * each.joules / count for each, count in zip(counted, runs, strict=True)])
    return Energy(
        source=counted[0].source,
        joules=sum(each.joules for each in counted),
        mj_per_inference=mean,
        ci95=interval if len(counted) > 1 else None,
    )


def _per_second(count: int, nanoseconds: int) -> float:
    return count * 1e9 / nanoseconds


def _mean(values: ArrayLike) -> tuple[float, Interval]:
    """Mean on the scale of the logarithm, with Student's interval."""
    logs: NDArray[Any] = np.log(np.asarray(values, np.float64))
    return float(np.exp(logs.mean())), statistics.mean_interval(values)


def _warnings(interference: list[list[TimingWarning]], rates: NDArray[np.float64]) -> tuple[TimingWarning, ...]:
    warnings = {reason for each in interference for reason in each}
    if (rates.max() - rates.min()) / np.median(rates) > statistics.STABLE_SPREAD:
        warnings.add(TimingWarning.SPREAD)
    if len(rates) < statistics.FEW_SESSIONS:
        warnings.add(TimingWarning.FEW)
    return tuple(reason for reason in TimingWarning if reason in warnings)


def _p99(runs: NDArray[np.float64]) -> float | None:
    return float(np.percentile(runs, 99)) if len(runs) >= statistics.P99_SAMPLES else None
