"""Figures of the scenarios beside single-stream, and of energy, from raw samples."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bctoolkit.bench.analysis import statistics
from bctoolkit.bench.documents.measured import (
    Batch,
    Energy,
    Interval,
    MultiStream,
    Offline,
    Sustained,
    Unstable,
    Window,
)
from bctoolkit.bench.documents.report import Result
from bctoolkit.bench.documents.samples import Answer, Observed, OfflineAnswer, Spent, StreamsAnswer, SustainAnswer
from bctoolkit.documents.formats import FORMATS

__all__ = ["added", "energy", "multi_stream", "offline", "sustained"]

KNEE = 0.95
"""Share of the best throughput."""


def added(result: Result, single: list[Answer], observed: Observed) -> Result:
    """The result with the figures of what was observed beside the single-stream sessions."""
    return msgspec.structs.replace(
        result,
        offline=offline(observed.offline, FORMATS[result.format].batch) if observed.offline else None,
        multi_stream=multi_stream(observed.streams, single) if observed.streams else None,
        sustained=sustained(observed.sustained[0]) if observed.sustained else None,
    )


def offline(answers: list[OfflineAnswer], fixed_batch: int | None) -> Offline:
    """Throughput by batch size and its knee.

    Args:
        answers: of the sessions, all with the same sizes; at least one.
        fixed_batch: what the format's graph takes at a time; None where it is free.
    """
    sizes = [runs.batch for runs in answers[0].batches]
    rates = np.array(
        [[_per_second(runs.batch * len(runs.runs), sum(runs.runs)) for runs in each.batches] for each in answers]
    )
    batches = tuple(_batch(answers, place, rates[:, place]) for place in range(len(sizes)))
    sound = [not batch.broken for batch in batches]
    knees = [_knee(sizes, of_session, sound) for of_session in rates]
    knee = _knee(sizes, np.array([batch.images_per_s for batch in batches]), sound)
    at_knee = rates[:, sizes.index(knee)]
    return Offline(
        batches=batches,
        fixed_batch=fixed_batch,
        knee=knee,
        knee_range=(min(knees), max(knees)),
        ended=answers[0].ended,
        unstable=_reasons([answer.disturbed for answer in answers], at_knee),
    )


def _batch(answers: list[OfflineAnswer], place: int, rates: NDArray[np.float64]) -> Batch:
    runs = [answer.batches[place] for answer in answers]
    mean, interval = _mean(rates)
    return Batch(
        batch=runs[0].batch,
        images_per_s=mean,
        ci95_images_per_s=interval,
        p50_ms=float(np.median(np.concatenate([each.runs for each in runs]))) / 1e6,
        n=sum(len(each.runs) for each in runs),
        peak_rss_bytes=max(each.peak_rss for each in runs),
        top1_agreement=min(each.top1_agreement for each in runs),
        broken=tuple(next((each.broken for each in runs if each.broken), [])),
    )


def _knee(sizes: list[int], rates: NDArray[np.float64], sound: list[bool]) -> int:
    """The smallest size within 5 % of the best, among those whose answers are sound if there are such."""
    able = [(size, rate) for size, rate, fine in zip(sizes, rates, sound, strict=True) if fine or not any(sound)]
    best = max(rate for _, rate in able)
    return min(size for size, rate in able if rate >= KNEE * best)


def multi_stream(answers: list[StreamsAnswer], single: list[Answer]) -> MultiStream:
    """Latency and throughput of streams at once.

    Args:
        answers: of the sessions; at least one.
        single: single-stream of the same turns.
    """
    rates = [_per_second(sum(map(len, answer.runs)), answer.wall) for answer in answers]
    alone = [_per_second(len(answer.model), sum(answer.model)) for answer in single]
    mean, interval = _mean(rates)
    ratio = statistics.ratio(alone, rates, paired=True) if len(rates) > 1 else None
    samples = [np.concatenate([np.array(runs, np.float64) for runs in answer.runs]) for answer in answers]
    conditions = statistics.conditions(
        [answer.disturbed for answer in answers], [answer.clock_tick for answer in answers], samples
    )
    return MultiStream(
        streams=len(answers[0].runs),
        threads=answers[0].threads,
        latency_ms=statistics.latency([runs / 1e6 for runs in samples], conditions),
        images_per_s=mean,
        ci95_images_per_s=interval,
        ratio=rates[0] / alone[0] if ratio is None else ratio.value,
        ci95_ratio=None if ratio is None else (ratio.low, ratio.high),
        peak_rss_bytes=max(answer.peak_rss for answer in answers),
    )


def sustained(answer: SustainAnswer) -> Sustained:
    """Latency, temperature and frequency over time."""
    runs = np.array(answer.runs, np.float64) / 1e6
    ends = [end.runs for end in answer.windows]
    tenths = [float(np.median(part)) for part in np.array_split(runs, 10)] if len(runs) >= statistics.FEW_RUNS else []
    return Sustained(
        minutes=answer.windows[-1].seconds / 60,
        n=len(runs),
        p50_ms=float(np.median(runs)),
        p99_ms=_p99(runs),
        slow_down=tenths[-1] / tenths[0] if tenths else None,
        unstable=tuple(answer.disturbed),
        windows=tuple(
            Window(end.seconds, len(part), float(np.median(part)), _p99(part), end.mhz, end.celsius)
            for end, part in zip(answer.windows, np.split(runs, ends[:-1]), strict=True)
        ),
        energy=energy([answer.energy], [len(runs)]),
    )


def energy(spent: list[Spent | None], runs: list[int]) -> Energy | None:
    """Energy per run; None where any session has none.

    Args:
        spent: of each session.
        runs: how many runs each spent it on.
    """
    known = [each for each in spent if each is not None]
    if not known or len(known) < len(spent):
        return None
    mean, interval = _mean([1000 * each.joules / count for each, count in zip(known, runs, strict=True)])
    return Energy(
        source=known[0].source,
        joules=sum(each.joules for each in known),
        mj_per_inference=mean,
        ci95=interval if len(known) > 1 else None,
    )


def _per_second(count: int, nanoseconds: int) -> float:
    return count * 1e9 / nanoseconds


def _mean(values: ArrayLike) -> tuple[float, Interval]:
    """Mean on the scale of the logarithm, with Student's interval."""
    logs: NDArray[Any] = np.log(np.asarray(values, np.float64))
    return float(np.exp(logs.mean())), statistics.mean_interval(values)


def _reasons(disturbed: list[list[Unstable]], rates: NDArray[np.float64]) -> tuple[Unstable, ...]:
    found = {reason for each in disturbed for reason in each}
    if (rates.max() - rates.min()) / np.median(rates) > statistics.STABLE_SPREAD:
        found.add(Unstable.SPREAD)
    if len(rates) < statistics.FEW_SESSIONS:
        found.add(Unstable.FEW)
    return tuple(reason for reason in Unstable if reason in found)


def _p99(runs: NDArray[np.float64]) -> float | None:
    return float(np.percentile(runs, 99)) if len(runs) >= statistics.P99_SAMPLES else None
