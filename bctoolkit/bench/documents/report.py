"""The report document: `report.json`, whose names are contract, and its readable form."""

from enum import StrEnum

from msgspec import field

from bctoolkit.bench.documents.measured import (
    Energy,
    Interval,
    Latency,
    MultiStream,
    Offline,
    Session,
    Sustained,
    Unstable,
)
from bctoolkit.bench.documents.profiles import Profile
from bctoolkit.documents import Document
from bctoolkit.runtime.backends import Placement
from bctoolkit.statistics.metrics import Parity
from bctoolkit.statistics.paired import Loss

__all__ = [
    "ANSWERS",
    "REPORT",
    "Check",
    "Failure",
    "Labelled",
    "Latency",
    "Machine",
    "Outcome",
    "ParityReport",
    "Report",
    "Result",
    "Robustness",
    "Session",
    "Settings",
    "UnderCorruption",
    "Unstable",
    "Verdict",
]

REPORT, ANSWERS = "report.json", "answers"
"""In a report's folder: the document, and what each bundle said of each image."""


class Outcome(StrEnum):
    """What a check or a verdict comes to."""

    PASSED = "passed"
    """The whole interval keeps the limit."""
    FAILED = "failed"
    """The whole interval lies beyond it."""
    UNDECIDED = "undecided"
    """The limit lies inside the interval, or there is none: not enough data to say."""


class UnderCorruption(Document, frozen=True):
    """The artifact under one corruption at one severity."""

    accuracy: float
    float_accuracy: float | None = None
    loss: Loss | None = None
    """Against the float bundle, on the same corrupted images."""
    mcnemar_p: float | None = None


class Robustness(Document, frozen=True, kw_only=True):
    """The artifact under the corruption suite; what needs a float bundle is None where none was measured beside it."""

    suite: int
    """Version of the suite: figures compare only within one."""
    count: int
    """Images, each under every corruption and severity."""
    against: str | None = None
    """The float bundle: the same network at the highest precision among the bundles measured."""
    clean_accuracy: float
    """On the same images as they are."""
    accuracy: float
    """Mean over all corruptions and severities, as all figures below."""
    drop: float | None = None
    """Accuracy of the float bundle − this one's."""
    drop_ci95: Interval | None = None
    clean_drop: float | None = None
    """The same on the images as they are."""
    excess: float | None = None
    """`drop` − `clean_drop`: what is lost under corruptions beyond what is lost anyway."""
    excess_ci95: Interval | None = None
    corruptions: dict[str, dict[str, UnderCorruption]]
    """By corruption and severity."""


class Labelled(Document, frozen=True, kw_only=True):
    """The artifact on labelled images; what needs the reference is None where the bundle does not know it."""

    split: str
    """`test part` where the images are those of the bundle's reference, else `all images`."""
    source: str
    count: int
    accuracy: float
    accuracy_ci95: Interval
    """Exact binomial."""
    reference_accuracy: float | None = None
    accuracy_drop: float | None = None
    accuracy_drop_ci95: Interval | None = None
    """Paired score interval (Tango 1998)."""
    mcnemar_p: float | None = None
    """Exact, two-sided."""
    top1_agreement: float | None = None
    top1_agreement_ci95: Interval | None = None
    """Exact binomial."""
    recall: dict[str, float | None]
    worst_recall_drop: float | None = None
    loss: Loss | None = None
    """What the artifact is right on beside the reference, over all images."""
    class_loss: dict[str, Loss] = field(default_factory=dict)
    """The same within each class that has images: `drop` is that of its recall."""
    losing: tuple[str, ...] = ()
    """Classes whose recall has fallen beyond chance, that of looking at several classes included."""
    ece: float
    ece_drift: float | None = None
    """ECE − the reference's on the same images."""
    ece_drift_ci95: Interval | None = None
    """On the safe side: see `bench.calibration`."""
    temperature: float | None = None
    """Fitted anew to this artifact on these images; 1 where it is as sure as it is right. Nothing applies it."""
    ece_tempered: float | None = None
    """ECE at that temperature, on the images it was fitted to."""
    robustness: Robustness | None = None
    """None where the corruption suite was not asked for."""


class ParityReport(Document, frozen=True):
    """The artifact against the float32 Keras reference."""

    golden: Parity
    golden_images: str
    """`real` or `synthetic`."""
    labelled: Labelled | None = None
    golden_agreement_ci95: Interval | None = None
    """Exact binomial."""


class Check(Document, frozen=True):
    """One limit of a budget against what was measured."""

    name: str
    limit: float
    observed: float | None
    """The unfavourable end of the interval; None where nothing was measured."""
    passed: bool
    note: str = ""
    outcome: Outcome | None = None
    """None in reports written when there were two."""
    interval: Interval | None = None
    """95 %; both ends alike for what has no error of measurement."""
    enough: int | None = None
    """How many images would decide, if the rates stay what they are; None where more images are no remedy."""


class Verdict(Document, frozen=True):
    """All checks of a budget; passed only if each one is."""

    passed: bool
    checks: tuple[Check, ...]
    outcome: Outcome | None = None
    """Failed if one check is, else undecided if one is. None in reports written when there were two outcomes."""


class Failure(Document, frozen=True):
    """A bundle that could not be measured."""

    bundle: str
    format: str
    quantization: str
    message: str
    provider: str | None = None
    """What it was to run on; None where that was each engine's first."""


class Result(Document, frozen=True, kw_only=True):
    """One bundle on this machine."""

    bundle: str
    format: str
    quantization: str
    provider: str
    """What it ran on, read back from the engine."""
    placement: Placement | None = None
    """What ran the operators, read back from the engine; None where it does not tell."""
    threads: int
    batch: int
    size_bytes: int
    load_ms: float
    """Median over the sessions, each a fresh process: opening the bundle, hash checks included."""
    first_ms: float
    """Median over the sessions: the first inference after loading."""
    latency_ms: Latency
    """The model alone."""
    end_to_end_ms: Latency
    """From a PNG's bytes to the label: decode, prepare, check, model."""
    throughput_per_s: float
    """Images per second, one after the other, model alone."""
    peak_rss_bytes: int
    """Largest resident set of a session's process."""
    steady_rss_bytes: int | None = None
    """Median over the sessions: resident set after the last timed run."""
    repeat_ratio: float | None = None
    """Latency of an image the second time in a row / the first time, median over the sessions; below 0.9 it fails."""
    sessions: tuple[Session, ...] = ()
    """In the order of the turns: session i of every result was measured in turn i."""
    parity: ParityReport
    verdict: Verdict | None = None
    energy: Energy | None = None
    """Of the runs of `latency_ms`; None where the system does not tell."""
    offline: Offline | None = None
    """This and the next two where they were asked for; in a sweep, with the first number of threads."""
    multi_stream: MultiStream | None = None
    sustained: Sustained | None = None
    profile: Profile | None = None
    """Where the time of an inference goes; taken in a process of its own, with `--profile`."""


class Machine(Document, frozen=True, kw_only=True):
    """Where the figures were measured; what the system does not tell is None."""

    system: str
    cpu: str
    cpu_flags: tuple[str, ...]
    """Those that matter for inference."""
    cores: int
    cores_usable: int
    memory_bytes: int
    governor: str | None
    frequency_mhz: float | None
    temperature_c: float | None
    load_average: float | None
    versions: dict[str, str] = field(default_factory=dict)


class Settings(Document, frozen=True):
    """How it was measured."""

    sessions: int
    min_runs: int
    min_seconds: float
    warmup_runs: int
    warmup_seconds: float
    threads: int
    seed: int
    """Decides the order of the images."""
    sweep: tuple[int, ...] = ()
    """Numbers of threads that each bundle is timed with; empty: `threads` alone."""
    batches: tuple[int, ...] | None = None
    """Batch sizes of offline; empty: doubled to the knee. None: not measured."""
    streams: int | None = None
    """Streams at once; None: not measured."""
    sustain_minutes: float | None = None
    """How long each bundle runs without pause in the end; None: not at all."""
    providers: tuple[str, ...] = ()
    """What each bundle is timed on; empty: each engine's first."""
    corrupted: int | None = None
    """Most labelled images that go through the corruption suite; None: it is left out."""
    profile_runs: int = 0
    """Inferences that the engines' profilers watch; 0: none."""


class Report(Document, frozen=True, kw_only=True):
    """`report.json`."""

    schema: int = 1
    created: str
    machine: Machine
    settings: Settings
    results: tuple[Result, ...]
    failures: tuple[Failure, ...] = ()
