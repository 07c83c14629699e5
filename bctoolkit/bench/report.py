"""The report document: `report.json`, whose names are contract, and its readable form."""

from msgspec import field

from bctoolkit.documents import Document
from bctoolkit.metrics import Parity

__all__ = ["Check", "Labelled", "Latency", "Machine", "ParityReport", "Report", "Result", "Settings", "Verdict"]


class Latency(Document, frozen=True, kw_only=True):
    """Milliseconds per run at the stated batch size, over all sessions."""

    p50: float
    p90: float
    p99: float | None
    """None below 1,000 samples."""
    mean: float
    min: float
    max: float
    ci95_p50: tuple[float, float]
    """Bootstrap interval of the median over sessions and blocks."""
    n: int
    stable: bool
    """False where the sessions' medians lie more than 10 % apart: no verdict rests on such a result."""
    spread: float
    """(largest − smallest) / median of the sessions' medians."""


class Labelled(Document, frozen=True, kw_only=True):
    """The artifact on labelled images; what needs the reference is None where the bundle does not know it."""

    split: str
    """`test part` where the images are those of the bundle's reference, else `all images`."""
    source: str
    count: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    reference_accuracy: float | None = None
    accuracy_drop: float | None = None
    accuracy_drop_ci95: tuple[float, float] | None = None
    """Paired bootstrap over the images."""
    mcnemar_p: float | None = None
    """Exact, two-sided."""
    top1_agreement: float | None = None
    recall: dict[str, float | None]
    worst_recall_drop: float | None = None
    ece: float
    ece_drift: float | None = None


class ParityReport(Document, frozen=True):
    """The artifact against the float32 Keras reference."""

    golden: Parity
    golden_images: str
    """`real` or `synthetic`."""
    labelled: Labelled | None = None


class Check(Document, frozen=True):
    """One limit of a budget against what was measured."""

    name: str
    limit: float
    observed: float | None
    passed: bool
    note: str = ""


class Verdict(Document, frozen=True):
    """All checks of a budget; passed only if each one is."""

    passed: bool
    checks: tuple[Check, ...]


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


class Report(Document, frozen=True, kw_only=True):
    """`report.json`."""

    schema: int = 1
    created: str
    machine: Machine
    settings: Settings
    results: tuple[Result, ...]
