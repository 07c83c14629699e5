"""Budgets: the limits that a bundle must keep on its device, as data."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from bctoolkit.documents.base import Document, parse, read_toml
from bctoolkit.errors import RecipeError

__all__ = ["Budget", "read_budget"]

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Rate = Annotated[float, Meta(gt=0.0)]


class Budget(Document, frozen=True):
    """Limits a bundle must keep on its device; a limit left out is not checked.

    A limit is kept where the whole 95 % interval of the figure keeps it, broken where the whole interval lies beyond.
    """

    device: str
    """What the limits are for, in words."""
    max_p50_ms: Rate | None = None
    """Median latency of the model alone, milliseconds."""
    max_p99_ms: Rate | None = None
    """99th percentile of it."""
    max_load_ms: Rate | None = None
    """From opening the bundle to a session that is ready."""
    max_first_ms: Rate | None = None
    """First answer of a fresh session."""
    max_cold_start_ms: Rate | None = None
    """From opening the bundle in a fresh process to the first answer."""
    max_end_to_end_p50_ms: Rate | None = None
    """From a PNG's bytes to the label."""
    max_latency_ratio: Rate | None = None
    """Times the latency of the report's baseline, which is not held against itself."""
    max_size_mb: Rate | None = None
    """Of the model file, millions of bytes."""
    max_peak_rss_mb: Rate | None = None
    """Largest resident memory of the process, millions of bytes."""
    max_abs_diff: Rate | None = None
    """Largest |Δp| of any class of any golden image, against the float32 reference."""
    min_top1_agreement: Share | None = None
    """Share of images with the reference's class."""
    min_accuracy: Share | None = None
    """On labelled images, 0–1."""
    max_accuracy_drop: Rate | None = None
    """Against the float32 reference on the same labelled images; a share, 0–1."""
    max_worst_recall_drop: Rate | None = None
    """Of the recall of any class, a share, 0–1; the gate of an export has a rule of its own for small classes."""
    max_corruption_excess: Rate | None = None
    """What is lost under corruptions beyond the loss on clean images, against the float bundle; a share, 0–1."""
    why: dict[str, str] = field(default_factory=dict)
    """The reason of each limit, by its name."""


def read_budget(path: Path) -> Budget:
    """Read a device budget."""
    return parse(Budget, read_toml(path, RecipeError), str(path), RecipeError)
