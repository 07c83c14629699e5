"""The report document: `report.json`, whose names are contract, and its readable form."""

from enum import StrEnum

from msgspec import field

from bctoolkit.documents import Document
from bctoolkit.metrics import Parity
from bctoolkit.paired import Loss

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

Interval = tuple[float, float]


class Outcome(StrEnum):
    """What a check or a verdict comes to."""

    PASSED = "passed"
    """The whole interval keeps the limit."""
    FAILED = "failed"
    """The whole interval lies beyond it."""
    UNDECIDED = "undecided"
    """The limit lies inside the interval, or there is none: not enough data to say."""


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
    load_ms: float
    first_ms: float
    peak_rss_bytes: int
    steady_rss_bytes: int
    """Resident set after the last timed run."""


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


class Result(Document, frozen=True, kw_only=True):
    """One bundle on this machine."""

    bundle: str
    format: str
    quantization: str
    provider: str
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


class Report(Document, frozen=True, kw_only=True):
    """`report.json`."""

    schema: int = 1
    created: str
    machine: Machine
    settings: Settings
    results: tuple[Result, ...]
    failures: tuple[Failure, ...] = ()
