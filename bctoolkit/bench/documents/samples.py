"""The raw samples that the figures of a report derive from, as child processes hand them over; times in nanoseconds."""

from typing import NamedTuple

import msgspec

from bctoolkit.bench.documents.report import Unstable
from bctoolkit.runtime.backends import Placement

__all__ = ["Answer", "BatchRuns", "Observed", "OfflineAnswer", "Spent", "StreamsAnswer", "SustainAnswer", "WindowEnd"]


class Spent(msgspec.Struct):
    """Energy over a measurement."""

    source: str
    joules: float


class Answer(msgspec.Struct):
    """What a session measured; times in nanoseconds."""

    provider: str
    threads: int
    load: int = 0
    first: int = 0
    model: list[int] = []
    model_slices: list[int] = []
    """How many of these runs each slice holds, in order."""
    end_to_end: list[int] = []
    end_to_end_slices: list[int] = []
    peak_rss: int = 0
    steady_rss: int = 0
    wrong: int = 0
    """Answers while timing that departed from the session's first ones."""
    repeat_ratio: float = 1.0
    """Latency of an image the second time in a row / the first time."""
    disturbed: list[Unstable] = []
    clock_tick: int = 1
    placement: Placement | None = None
    energy: Spent | None = None
    """Over the runs of `model`."""


class BatchRuns(msgspec.Struct):
    """One batch size; times in nanoseconds."""

    batch: int
    runs: list[int]
    peak_rss: int
    top1_agreement: float
    """With the same images one at a time."""
    broken: list[str]
    """What of the quantization's tolerance the answers break against those one at a time."""


class OfflineAnswer(msgspec.Struct):
    """What a session of batches measured."""

    provider: str
    threads: int
    batches: list[BatchRuns]
    wrong: int
    ended: str
    """Why the doubling ended; empty where the sizes were given."""
    disturbed: list[Unstable] = []


class StreamsAnswer(msgspec.Struct):
    """What a session of streams measured; times in nanoseconds."""

    provider: str
    threads: int
    """Of each stream."""
    runs: list[list[int]]
    """Of each stream."""
    wall: int
    """From the first query's begin to the last one's end."""
    wrong: int
    peak_rss: int
    disturbed: list[Unstable] = []
    clock_tick: int = 1


class WindowEnd(msgspec.Struct):
    """The end of a part of a sustained run."""

    runs: int
    """Finished since the start."""
    seconds: float
    """Since the start."""
    mhz: float | None
    celsius: float | None


class SustainAnswer(msgspec.Struct):
    """What a sustained run measured; times in nanoseconds."""

    provider: str
    threads: int
    runs: list[int]
    windows: list[WindowEnd]
    wrong: int
    disturbed: list[Unstable] = []
    energy: Spent | None = None


class Observed(NamedTuple):
    """What a bundle measured in each scenario that was asked for, in the order of the turns."""

    offline: list[OfflineAnswer]
    streams: list[StreamsAnswer]
    sustained: list[SustainAnswer]
