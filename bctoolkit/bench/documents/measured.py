"""The documents inside a report that tell what was measured in time, by session and by scenario."""

from enum import StrEnum

from bctoolkit.documents import Document

__all__ = [
    "Batch",
    "Energy",
    "Interval",
    "Latency",
    "MultiStream",
    "Offline",
    "Session",
    "Sustained",
    "Unstable",
    "Window",
]

Interval = tuple[float, float]


class Unstable(StrEnum):
    """Why no verdict rests on a latency."""

    SPREAD = "spread"
    LOAD = "load"
    THROTTLING = "throttling"
    CLOCK = "clock"
    FEW = "few samples"

    @property
    def advice(self) -> str:
        """What was seen, and what to do."""
        return ADVICE[self]


ADVICE = {
    Unstable.SPREAD: "sessions lie more than 10 % apart; measure again on a quieter machine, or longer with --publish",
    Unstable.LOAD: "other programs took more than a quarter of the CPUs meanwhile; end them and measure again",
    Unstable.THROTTLING: "the CPU throttled itself or its clock fell by more than 10 %; cool it, or fix its frequency",
    Unstable.CLOCK: "one tick of the clock is more than 1 % of a run; measure a batch",
    Unstable.FEW: "fewer than 3 sessions or 100 runs; measure without --quick",
}


class Latency(Document, frozen=True, kw_only=True):
    """Milliseconds per run at the stated batch size, over all sessions."""

    p50: float
    p90: float
    p99: float | None
    """None below 1,000 samples."""
    mean: float
    min: float
    max: float
    ci95_p50: Interval
    """Student's interval over the sessions' medians."""
    ci95_p99: Interval | None = None
    """None below 1,000 samples."""
    n: int
    stable: bool
    """False where `unstable` names a reason: no verdict rests on such a result."""
    unstable: tuple[Unstable, ...] = ()
    spread: float
    """(largest − smallest) / median of the sessions' medians."""


class Session(Document, frozen=True, kw_only=True):
    """One fresh process: what later comparisons rest on."""

    p50_ms: float
    end_to_end_p50_ms: float
    slices_p50_ms: tuple[float, ...] = ()
    """p50 of each slice: slice i of every result's session in the same turn was measured in the same moments."""
    slices_end_to_end_p50_ms: tuple[float, ...] = ()
    load_ms: float
    first_ms: float
    peak_rss_bytes: int
    steady_rss_bytes: int
    """Resident set after the last timed run."""


class Energy(Document, frozen=True, kw_only=True):
    """What inference took, from what the system counts; everything that ran meanwhile is in it."""

    source: str
    """`package`: the processors, counted by RAPL. `battery`: the whole machine, from its power before and after."""
    joules: float
    """Over all timed runs."""
    mj_per_inference: float
    ci95: Interval | None = None
    """Student's over the sessions; None for a single one."""


class Batch(Document, frozen=True, kw_only=True):
    """Offline at one batch size."""

    batch: int
    images_per_s: float
    """Mean of the sessions, on the scale of the logarithm."""
    ci95_images_per_s: Interval
    """Student's over the sessions."""
    p50_ms: float
    """Of a whole batch."""
    n: int
    """Batches timed."""
    peak_rss_bytes: int
    """Largest resident set up to and with this size."""
    top1_agreement: float
    """With the same images one at a time, in the worst session."""
    broken: tuple[str, ...] = ()
    """What that departs by beyond the quantization's tolerance; such a size is no knee."""


class Offline(Document, frozen=True, kw_only=True):
    """Throughput by batch size."""

    batches: tuple[Batch, ...]
    """In the order they were measured."""
    fixed_batch: int | None = None
    """What the format's graph takes at a time, whatever was asked for; None where it is free."""
    knee: int
    """The smallest batch within 5 % of the best throughput."""
    knee_range: tuple[int, int]
    """Smallest and largest knee of the sessions, each by itself."""
    ended: str = ""
    """Why the doubling ended; empty where the sizes were given."""
    unstable: tuple[Unstable, ...] = ()


class MultiStream(Document, frozen=True, kw_only=True):
    """Several streams at once in one process, each with a classifier of its own."""

    streams: int
    threads: int
    """Of each stream, read back."""
    latency_ms: Latency
    """Of a query, all streams together."""
    images_per_s: float
    """All streams together, mean of the sessions on the scale of the logarithm."""
    ci95_images_per_s: Interval
    """Student's over the sessions."""
    ratio: float
    """Throughput / that of single-stream on all threads in the same turns."""
    ci95_ratio: Interval | None = None
    """Student's over the turns; None for a single one."""
    peak_rss_bytes: int


class Window(Document, frozen=True):
    """A part of a sustained run."""

    seconds: float
    """Its end, since the start."""
    n: int
    p50_ms: float
    p99_ms: float | None
    """None below 1,000 runs."""
    frequency_mhz: float | None
    """At its end, as the temperature; None where the system does not tell."""
    temperature_c: float | None


class Sustained(Document, frozen=True, kw_only=True):
    """One process that ran without pause."""

    minutes: float
    n: int
    p50_ms: float
    p99_ms: float | None
    """None below 1,000 runs."""
    slow_down: float | None
    """p50 of the last tenth of the runs / of the first; None below 100 runs."""
    unstable: tuple[Unstable, ...] = ()
    """What disturbed it: throttling, or other programs."""
    windows: tuple[Window, ...]
    energy: Energy | None = None
