"""Quantization: which images set the ranges, how, what an artifact may lose by it, and what it was found to lose."""

from typing import Annotated, Literal

from msgspec import Meta

from bctoolkit.documents import Document, Outcome
from bctoolkit.documents.bounds import OpenShare, Positive

__all__ = ["CalibrationSettings", "Gate", "GateResult", "Method"]

Method = Literal["minmax", "percentile", "entropy"]


class CalibrationSettings(Document, frozen=True):
    """How the range of each activation is set, for the forms that need ranges."""

    images: Positive = 256
    """How many images of the training part, one of each class in turn."""
    method: Method = "minmax"
    """`minmax` keeps every value inside, `percentile` a share of them, `entropy` what loses least information."""
    percentile: Annotated[float, Meta(gt=0.0, le=100.0)] = 99.99
    """Share of the values, in percent, that `percentile` keeps inside; the rest is cut evenly off both ends."""


class Gate(Document, frozen=True):
    """What a quantized artifact may lose against the float32 reference on the labelled validation part."""

    max_accuracy_drop: OpenShare = 0.005
    """0–1; compared with the upper end of the accuracy drop's paired 95 % interval."""
    max_recall_drop: OpenShare = 0.02
    """0–1; a class fails where its observed drop is larger and the drop's paired 95 % interval lies above zero."""


class GateResult(Document, frozen=True, kw_only=True):
    """What a quantized artifact loses on the labelled validation part, and whether the gate lets it pass."""

    outcome: Outcome
    """`undecided`: too few images, or groups, to show that the accuracy holds, and nothing shows that it does not."""
    reasons: tuple[str, ...]
    """What speaks against the artifact, the gravest first; empty where nothing does."""
    count: int
    """Images the artifact was compared on."""
    groups: int | None = None
    """How many groups they come from, which the intervals respect; None where that is not known."""
    accuracy: float
    """Of the artifact, 0–1."""
    accuracy_drop: float
    """Reference − artifact, 0–1."""
    accuracy_drop_ci95: tuple[float, float]
    """Paired interval, see `statistics.paired`."""
    recall_drop: dict[str, float | None]
    """Of each class; None for a class without images."""
    worst_class: str
    """The class that loses most recall."""
    worst_recall_drop: float
    """What it loses, 0–1."""
