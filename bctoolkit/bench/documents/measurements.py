"""What was measured of a bundle: latency by session, throughput, streams, sustained runs, energy, operators."""

from collections import Counter
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from bctoolkit.documents import Document

__all__ = [
    "Batch",
    "Bytes",
    "Energy",
    "Interval",
    "Latency",
    "MultiStream",
    "Offline",
    "OperatorTime",
    "Profile",
    "Ratio",
    "Relative",
    "Session",
    "Sustained",
    "TimingWarning",
    "Window",
]

Interval = tuple[float, float]
Positive = Annotated[float, Meta(gt=0, le=1e12)]
"""What ratios are taken of, in a document of others too."""
Bytes = Annotated[int, Meta(ge=1)]


class TimingWarning(StrEnum):
    """Why no verdict rests on a timing."""

    SPREAD = "spread"
    LOAD = "load"
    THROTTLING = "throttling"
    CLOCK = "clock"
    FEW = "few samples"

    @property
    def advice(self) -> str:
        """What was observed, and what to do."""
        return ADVICE[self]


ADVICE = {
    TimingWarning.SPREAD: "sessions lie more than 10 % apart; measure again on a quieter machine, or longer with "
    "--publish",
    TimingWarning.LOAD: "other programs took more than a quarter of the CPUs meanwhile; end them and measure again",
    TimingWarning.THROTTLING: "the CPU throttled itself or its clock fell by more than 10 %; cool it, or fix its "
    "frequency",
    TimingWarning.CLOCK: "one tick of the clock is more than 1 % of a run; measure a batch",
    TimingWarning.FEW: "fewer than 3 sessions or 100 runs; measure without --quick",
}


class Latency(Document, frozen=True, kw_only=True):
    """Milliseconds per run, over all sessions."""

    p50: Positive
    """Median."""
    p90: Positive
    """90th percentile."""
    p99: Positive | None
    """None below 1,000 samples."""
    mean: Positive
    """Arithmetic mean."""
    min: Positive
    """The fastest run."""
    max: Positive
    """The slowest run."""
    ci95_p50: Interval
    """Student's interval over the sessions' medians."""
    ci95_p99: Interval | None = None
    """None below 1,000 samples."""
    samples: int = field(name="n")
    """Timed runs."""
    warnings: tuple[TimingWarning, ...] = ()
    """Empty where the latency is stable; else no verdict rests on it."""
    spread: float
    """(largest − smallest) / median of the sessions' medians."""
    stable: bool = False
    """Whether a verdict may rest on it; follows from `warnings`."""

    def __post_init__(self) -> None:
        """Derive `stable`."""
        self._derive(stable=not self.warnings)


class Session(Document, frozen=True, kw_only=True):
    """One fresh process: what later comparisons rest on."""

    p50_ms: Positive
    """Median of the model alone."""
    end_to_end_p50_ms: Positive | None = None
    """None where no Pillow was there to decode a picture."""
    slices_p50_ms: tuple[Positive, ...] = ()
    """p50 of each slice: slice i of every result's session in the same round was measured in the same moments."""
    slices_end_to_end_p50_ms: tuple[Positive, ...] = ()
    """P50 of each slice from a PNG's bytes to the label."""
    slices_fastest_ms: tuple[Positive, ...] = ()
    """The fastest run of each slice, which other programs disturbed least; like the next, none in earlier reports."""
    end_to_end_fastest_ms: Positive | None = None
    """The fastest run from a PNG's bytes to the label."""
    load_ms: Positive
    """Opening the bundle, hash checks included."""
    first_ms: Positive
    """The first inference after loading."""
    peak_rss_bytes: Bytes
    """Largest resident set of the process."""
    steady_rss_bytes: int
    """Resident set after the last timed run."""


class Ratio(Document, frozen=True):
    """How many times as large as the baseline's a figure is."""

    value: Positive
    """This figure / the baseline's."""
    ci95: Interval | None = None
    """Student's over the rounds' logarithms; None for a single round, both ends alike for a size."""


class Relative(Document, frozen=True, kw_only=True):
    """Figures / those of the report's baseline with as many threads in the same rounds."""

    baseline: str
    """The bundle."""
    latency: Ratio
    """Of the model alone: within a round the median over slices side by side of their fastest runs' ratios."""
    end_to_end: Ratio | None = None
    """Of the sessions' fastest runs from a PNG's bytes to the label, which are too few for slices; None where one did
    not measure it."""
    cold_start: Ratio
    """Loading and the first inference."""
    peak_rss: Ratio
    """Of the sessions' largest resident sets."""
    size: Ratio
    """Of the model's file."""


class Energy(Document, frozen=True, kw_only=True):
    """What inference took, from what the system counts; everything that ran meanwhile is in it."""

    source: str
    """`package`: the processors, counted by RAPL. `battery`: the whole machine, from its power before and after."""
    joules: float
    """Over all timed runs."""
    mj_per_inference: float
    """Millijoules of one inference, mean of the sessions."""
    ci95: Interval | None = None
    """Student's over the sessions; None for a single one."""


class Batch(Document, frozen=True, kw_only=True):
    """Offline at one batch size."""

    batch: int
    """Images at a time."""
    images_per_s: float
    """Mean of the sessions, on the scale of the logarithm."""
    ci95_images_per_s: Interval
    """Student's over the sessions."""
    p50_ms: float
    """Of a whole batch."""
    samples: int
    """Batches timed."""
    peak_rss_bytes: int
    """Largest resident set up to and with this size."""
    top1_agreement: float
    """With the same images one at a time, in the worst session."""
    violations: tuple[str, ...] = ()
    """What of the quantization's tolerance the batch breaks against single images; such a size is no knee."""


class Offline(Document, frozen=True, kw_only=True):
    """Throughput by batch size."""

    batches: tuple[Batch, ...]
    """In the order they were measured."""
    fixed_batch: int | None = None
    """What the format's graph takes at a time, whatever the settings; None where it is free."""
    knee: int
    """The smallest batch within 5 % of the best throughput."""
    knee_range: tuple[int, int]
    """Smallest and largest knee of the sessions, each by itself."""
    stop_reason: str = ""
    """Why the doubling ended; empty where the sizes were given."""
    warnings: tuple[TimingWarning, ...] = ()
    """Why no verdict rests on the figures; empty where they are stable."""


class MultiStream(Document, frozen=True, kw_only=True):
    """Several streams at once in one process, each with a classifier of its own."""

    streams: int
    """Streams at once."""
    threads: int
    """Of each stream, read back."""
    latency_ms: Latency
    """Of a query, all streams together."""
    images_per_s: float
    """All streams together, mean of the sessions on the scale of the logarithm."""
    ci95_images_per_s: Interval
    """Student's over the sessions."""
    ratio: float
    """Throughput / that of single-stream on all threads in the same rounds."""
    ci95_ratio: Interval | None = None
    """Student's over the rounds; None for a single one."""
    peak_rss_bytes: int
    """Largest resident set of any session's process."""


class Window(Document, frozen=True):
    """A part of a sustained run."""

    seconds: float
    """Its end, since the start."""
    samples: int
    """Timed runs in it."""
    p50_ms: float
    """Median of the model alone."""
    p99_ms: float | None
    """None below 1,000 runs."""
    frequency_mhz: float | None
    """At its end, as the temperature; None where the system does not report it."""
    temperature_c: float | None
    """Of the hottest sensor."""


class Sustained(Document, frozen=True, kw_only=True):
    """One process that ran without pause."""

    minutes: float
    """How long it ran."""
    samples: int
    """Timed runs."""
    p50_ms: float
    """Median of the model alone, over all runs."""
    p99_ms: float | None
    """None below 1,000 runs."""
    slow_down: float | None
    """p50 of the last tenth of the runs / of the first; None below 100 runs."""
    warnings: tuple[TimingWarning, ...] = ()
    """Throttling, or other programs."""
    windows: tuple[Window, ...]
    """In the order of time."""
    energy: Energy | None = None
    """Of all these runs; None where the system does not count it."""


class OperatorTime(Document, frozen=True):
    """All operators of one type, in one inference."""

    name: str
    """As the engine calls it."""
    where: str
    """The provider or the delegate that ran it."""
    count: int
    """How many of them run."""
    ms: float
    """Milliseconds of all of them together."""
    share: float
    """Of the time of all operators."""


class Profile(Document, frozen=True, kw_only=True):
    """Where the time of an inference goes, from the engine's own profiler."""

    method: str
    """Whose profiler it was."""
    warmup_runs: int
    """Inferences before the profiler counted."""
    runs: int
    """Inferences that it counted."""
    operators: tuple[OperatorTime, ...]
    """The longest first."""

    @property
    def ms(self) -> float:
        """All operators of one inference; with the profiler on, so longer than without."""
        return sum(operator.ms for operator in self.operators)

    @property
    def nodes(self) -> dict[str, int]:
        """Operators run in one inference, by what ran them."""
        counts = Counter[str]()
        for operator in self.operators:
            counts[operator.where] += operator.count
        return dict(counts)
