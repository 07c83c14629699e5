"""The evaluation document: `evaluation.json` and what `bctk evaluate --json` prints; its names are contract."""

from typing import Literal

from bctoolkit.contract import ImageKind
from bctoolkit.documents import Document
from bctoolkit.statistics.metrics import ReliabilityBin

__all__ = ["Corrupted", "Evaluation", "Part", "Worst"]

Part = Literal["test", "validation", "train", "all"]


class Corrupted(Document, frozen=True):
    """Accuracy under one corruption."""

    mild: float
    middle: float
    severe: float
    mean: float
    kin: tuple[str, ...]
    """Changes of training's augmentation that resemble it; empty: nothing trained for it."""


class Worst(Document, frozen=True):
    """The corruption with the lowest accuracy at the middle severity."""

    name: str
    accuracy: float


class Evaluation(Document, frozen=True, kw_only=True):
    """`evaluation.json`."""

    schema: int = 1
    subject: str
    """The run's or bundle's name."""
    kind: Literal["run", "bundle"]
    model_sha256: str
    source: str
    """Where the images come from, in the user's words."""
    images: ImageKind
    part: Part
    """What was asked for."""
    selection: str
    """Which images that were, in words."""
    count: int
    labels: tuple[str, ...]
    counts: dict[str, int]
    """Images of each class."""
    accuracy: float
    accuracy_ci95: tuple[float, float]
    """Exact binomial interval."""
    precision: dict[str, float | None]
    recall: dict[str, float | None]
    f1: dict[str, float | None]
    macro_f1: float
    ece: float
    """Expected calibration error over 15 bins of equal width."""
    reliability: tuple[ReliabilityBin, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows are the true class, columns the predicted one, in the order of the labels."""
    corruptions: dict[str, Corrupted] | None = None
    """None where the suite was not asked for, as in all fields below."""
    corruption_suite: int | None = None
    """Version of the suite: figures compare only within one."""
    corruption_mean: float | None = None
    """Over all corruptions and severities, each counting the same."""
    corruption_mean_without_kin: float | None = None
    """Over those corruptions only that training's augmentation has nothing like."""
    corruption_by_severity: dict[str, float] | None = None
    corruption_worst: Worst | None = None
    tools: dict[str, str]
    created: str
