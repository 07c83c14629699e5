"""The raw samples that the figures of a report derive from, as child processes hand them over; times in nanoseconds."""

from typing import NamedTuple

import msgspec

from bctoolkit.bench.documents.measurements import TimingWarning
from bctoolkit.runtime.backends import Placement

__all__ = [
    "BatchRuns",
    "EnergyUse",
    "OfflineSamples",
    "ScenarioSamples",
    "SessionSamples",
    "StreamsSamples",
    "SustainedSamples",
    "WindowEnd",
]


class EnergyUse(msgspec.Struct):
    """Energy over a measurement."""

    source: str
    joules: float


class SessionSamples(msgspec.Struct):
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
    mismatches: int = 0
    """Outputs while timing that differed from the session's first ones."""
    repeat_ratio: float = 1.0
    """Latency of an image the second time in a row / the first time."""
    interference: list[TimingWarning] = []
    clock_tick: int = 1
    placement: Placement | None = None
    energy: EnergyUse | None = None
    """Over the runs of `model`."""
    engine: str | None = None


class BatchRuns(msgspec.Struct):
    """One batch size; times in nanoseconds."""

    batch: int
    runs: list[int]
    peak_rss: int
    top1_agreement: float
    """With the same images one at a time."""
    violations: list[str]
    """What of the quantization's tolerance the outputs break against those one at a time."""


class OfflineSamples(msgspec.Struct):
    """What a session of batches measured."""

    provider: str
    threads: int
    batches: list[BatchRuns]
    mismatches: int
    stop_reason: str
    """Why the doubling ended; empty where the sizes were given."""
    interference: list[TimingWarning] = []


class StreamsSamples(msgspec.Struct):
    """What a session of streams measured; times in nanoseconds."""

    provider: str
    threads: int
    """Of each stream."""
    runs: list[list[int]]
    """Of each stream."""
    wall: int
    """From the first query's begin to the last one's end."""
    mismatches: int
    peak_rss: int
    interference: list[TimingWarning] = []
    clock_tick: int = 1


class WindowEnd(msgspec.Struct):
    """The end of a part of a sustained run."""

    runs: int
    """Finished since the start."""
    seconds: float
    """Since the start."""
    mhz: float | None
    celsius: float | None


class SustainedSamples(msgspec.Struct):
    """What a sustained run measured; times in nanoseconds."""

    provider: str
    threads: int
    runs: list[int]
    windows: list[WindowEnd]
    mismatches: int
    interference: list[TimingWarning] = []
    energy: EnergyUse | None = None


class ScenarioSamples(NamedTuple):
    """What a target measured in each scenario of the settings, in the order of the rounds."""

    offline: list[OfflineSamples]
    streams: list[StreamsSamples]
    sustained: list[SustainedSamples]
