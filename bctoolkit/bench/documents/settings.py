"""What a benchmark was asked for, and the machine it ran on."""

from msgspec import field

from bctoolkit.documents import Document

__all__ = ["Machine", "Settings"]


class Settings(Document, frozen=True, kw_only=True):
    """How to measure."""

    sessions: int
    """Processes per configuration, one in each round."""
    min_runs: int
    min_seconds: float
    """Of each session, as the fewest runs."""
    warmup_runs: int = 20
    warmup_seconds: float = 0.5
    threads: int
    """Of the engine; in a sweep the first number."""
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
    engines: tuple[str, ...] = ()
    """What each bundle is timed in, as far as its format has them; empty: its format's first."""
    corrupted: int | None = None
    """Most labelled images that go through the corruption suite; None: the suite is left out."""
    profile_runs: int = 0
    """Inferences that the engines' profilers watch; 0: none."""


class Machine(Document, frozen=True, kw_only=True):
    """Where the figures were measured; what the system does not report is None."""

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
