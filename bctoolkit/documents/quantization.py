"""What a recipe says about quantization: which images set the ranges, how, and what an artifact may lose by it."""

from typing import Annotated, Literal

from msgspec import Meta

from bctoolkit.documents import Document

__all__ = ["CalibrationSettings", "Gate", "Method"]

Method = Literal["minmax", "percentile", "entropy"]
Share = Annotated[float, Meta(gt=0.0, lt=1.0)]


class CalibrationSettings(Document, frozen=True):
    """How the range of each activation is set, for the forms that need ranges."""

    images: Annotated[int, Meta(ge=1)] = 256
    """How many images of the training part, one of each class in turn."""
    method: Method = "minmax"
    """`minmax` keeps every value inside, `percentile` a share of them, `entropy` what loses least information."""
    percentile: Annotated[float, Meta(gt=0.0, le=100.0)] = 99.99
    """Share of the values, in percent, that `percentile` keeps inside; the rest is cut evenly off both ends."""


class Gate(Document, frozen=True):
    """What a quantized artifact may lose against the float32 reference on the labelled validation part."""

    max_accuracy_drop: Share = 0.005
    """0–1; compared with the upper end of the accuracy drop's paired 95 % interval."""
    max_recall_drop: Share = 0.02
    """0–1; a class fails where its observed drop is larger and the drop's paired 95 % interval lies above zero."""
