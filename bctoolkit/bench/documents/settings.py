"""What a benchmark was asked for, and the machine it ran on."""

from msgspec import field

from bctoolkit.documents import Document

__all__ = ["Machine", "Settings"]


class Settings(Document, frozen=True, kw_only=True):
    """How to measure."""

    sessions: int
    """Processes per configuration, one in each round."""
    min_runs: int
    """Fewest timed runs of a session."""
    min_seconds: float
    """Least time of a session's timed runs, in all."""
    warmup_runs: int = 20
    """Fewest inferences before timing."""
    warmup_seconds: float = 0.5
    """Least time before timing."""
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
    """Operating system and its version."""
    cpu: str
    """Its name."""
    cpu_flags: tuple[str, ...]
    """Those that matter for inference."""
    cores: int
    """Logical CPUs of the machine."""
    cores_usable: int
    """Those that the process may use."""
    memory_bytes: int
    """All of it."""
    governor: str | None
    """Of the CPU's clock, as Linux names it."""
    frequency_mhz: float | None
    """Mean clock of the CPUs."""
    temperature_c: float | None
    """Of the hottest sensor."""
    load_average: float | None
    """Of the last minute."""
    versions: dict[str, str] = field(default_factory=dict)
    """Version of each package that matters, by name."""
