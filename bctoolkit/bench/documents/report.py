"""`report.json`, whose names are contract: `settings` and machine, `measurements`, `judgements`."""

from typing import Literal

from bctoolkit.bench.documents.judgements import ParityReport, Verdict
from bctoolkit.bench.documents.measurements import (
    Bytes,
    Energy,
    Latency,
    MultiStream,
    Offline,
    Profile,
    Relative,
    Session,
    Sustained,
)
from bctoolkit.bench.documents.settings import Machine, Settings
from bctoolkit.documents import Document
from bctoolkit.documents.adopted import Adopted
from bctoolkit.documents.names import name_fault
from bctoolkit.runtime.backends import Placement

__all__ = ["PREDICTIONS", "REPORT", "Failure", "Report", "Result"]

REPORT, PREDICTIONS = "report.json", "predictions"
"""In a report's folder: the document, and each bundle's probabilities for each image."""


class Failure(Document, frozen=True):
    """A bundle that could not be measured."""

    bundle: str
    """Its name."""
    format: str
    """Of its artifact."""
    quantization: str
    """Of its artifact."""
    message: str
    """What went wrong."""
    provider: str | None = None
    """What it was to run on; None where that was each engine's first."""
    engine: str | None = None
    """What it was to run in; None where that was each format's first."""


class Result(Document, frozen=True, kw_only=True):
    """One bundle on this machine, one image at a time."""

    key: str
    """Its name among the samples: that of the target, and in a sweep the number of threads."""
    target: str
    """The name of its predictions: that of the bundle, and where there are several engines or providers theirs."""
    bundle: str
    """Its name."""
    format: str
    """Of its artifact."""
    quantization: str
    """Of its artifact."""
    adopted: Adopted | None = None
    """The file that it was made of, where that was made elsewhere."""
    engine: str | None = None
    """What it ran in; None in reports from before there was a choice."""
    provider: str
    """What it ran on, read back from the engine."""
    placement: Placement | None = None
    """What ran the operators, read back from the engine; None where it does not report it."""
    threads: int
    """Of the engine."""
    batch: Literal[1] = 1
    """Images at a time, of all figures but `offline`."""
    size_bytes: Bytes
    """Of the artifact's file."""
    model_sha256: str = ""
    """Of the model's file; empty in earlier reports."""
    load_ms: float
    """Median over the sessions, each a fresh process: opening the bundle, hash checks included."""
    first_ms: float
    """Median over the sessions: the first inference after loading."""
    latency_ms: Latency
    """The model alone."""
    end_to_end_ms: Latency | None = None
    """From a PNG's bytes to the label: decode, prepare, check, model; None where no Pillow was there to decode it."""
    throughput_per_s: float = 0.0
    """Images per second, one after the other, model alone; follows from `latency_ms`."""
    peak_rss_bytes: int
    """Largest resident set of a session's process."""
    steady_rss_bytes: int
    """Median over the sessions: resident set after the last timed run."""
    repeat_ratio: float
    """Latency of an image the second time in a row / the first time, median over the sessions; below 0.9 it fails."""
    sessions: tuple[Session, ...]
    """In the order of the rounds: session i of every result was measured in round i."""
    relative: Relative | None = None
    """None for the baseline itself, and where the report has none."""
    parity: ParityReport
    """Against the float32 reference."""
    verdict: Verdict | None = None
    """By the budget; None where there was none."""
    energy: Energy | None = None
    """Of the runs of `latency_ms`; None where the system does not count it."""
    offline: Offline | None = None
    """This and the next two where the settings ask for them; in a sweep, with the first number of threads."""
    multi_stream: MultiStream | None = None
    """Several classifiers at once."""
    sustained: Sustained | None = None
    """Runs without pause."""
    profile: Profile | None = None
    """Where the time of an inference goes; taken in a process of its own, with `--profile`."""

    def __post_init__(self) -> None:
        """Derive `throughput_per_s`, and refuse names that could be paths or steer a terminal."""
        for key in ("key", "target", "bundle"):
            fault = name_fault(getattr(self, key))
            if fault is not None:
                raise ValueError(f"{key}: {fault}")
        self._derive(throughput_per_s=1000 / self.latency_ms.mean)


class Report(Document, frozen=True, kw_only=True):
    """What a benchmark measured, and how: `report.json`."""

    schema: int = 1
    """Version of this document."""
    created: str
    """When, in UTC, ISO 8601."""
    machine: Machine
    """Where it was measured."""
    settings: Settings
    """How it was measured."""
    baseline: str | None = None
    """The bundle that figures are relative to; None where one bundle was measured alone."""
    results: tuple[Result, ...]
    """What was measured of each bundle."""
    failures: tuple[Failure, ...] = ()
    """What could not be measured."""
