"""The evaluation document: `evaluation.json` and what `bctk evaluate --json` prints; its names are contract."""

from typing import Literal

from msgspec import field

from bctoolkit.contract import ImageKind
from bctoolkit.documents import Document
from bctoolkit.statistics.independent import Estimate
from bctoolkit.statistics.metrics import ReliabilityBin
from bctoolkit.statistics.selective import AcceptedAnswers, ForeignPictures, RiskCoverage
from bctoolkit.statistics.site import SiteCheck

__all__ = ["CorruptionAccuracy", "Evaluation", "Part", "WorstCorruption"]

Part = Literal["test", "validation", "train", "all"]


class CorruptionAccuracy(Document, frozen=True):
    """Accuracy under one corruption."""

    mild: float
    middle: float
    severe: float
    mean: float
    similar_augmentations: tuple[str, ...]
    """Operations of training's augmentation that resemble it; empty where none does."""


class WorstCorruption(Document, frozen=True):
    """The corruption with the lowest accuracy at the middle severity."""

    name: str
    accuracy: float


class Restricted(Document, frozen=True):
    """Figures where the network may only answer with classes that the set has."""

    classes: tuple[str, ...]
    accuracy: Estimate
    macro_recall: Estimate


class Home(Document, frozen=True, kw_only=True):
    """These images against the test part that the figures of the run or the bundle are from: here minus there.

    Intervals are those of two independent samples (`statistics.independent.difference`). A class counts where both have
    images of it.
    """

    part: str
    """Of the set it was trained on, from which the figures there are."""
    count: int
    """Images there."""
    accuracy: float
    """There."""
    accuracy_change: Estimate
    macro_recall: float
    """There, over the classes that both have."""
    macro_recall_change: Estimate
    recall_change: dict[str, Estimate]


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
    """The part of the set that was requested."""
    selection: str
    """Which images were taken, in words."""
    count: int
    labels: tuple[str, ...]
    counts: dict[str, int]
    """Images of each class."""
    unreadable: dict[str, int] = field(default_factory=dict)
    """Class → how many files of it, in the whole set, could not be read and are left out; only classes with any."""
    accuracy: float
    accuracy_ci95: tuple[float, float]
    """Exact binomial interval; over groups where there are such, see `statistics.clustered`."""
    groups: int | None = None
    """How many groups the images come from; None where that is not known."""
    macro_recall: Estimate | None = None
    """Mean of the recalls of the classes that have images, each counting the same; None in older evaluations."""
    recall_ci95: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Exact interval of each class's recall; one without images is not there."""
    restricted: Restricted | None = None
    """None unless a map was given, as `mapped`."""
    mapped: dict[str, str] | None = None
    """Each class of the site → what it was taken for."""
    home: Home | None = None
    """None where no figures of a test part are known, or these images are that part."""
    precision: dict[str, float | None]
    recall: dict[str, float | None]
    f1: dict[str, float | None]
    macro_f1: float
    ece: float
    """Expected calibration error over 15 bins of equal width."""
    reliability: tuple[ReliabilityBin, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows are the true class, columns the predicted one, in the order of the labels."""
    risk_coverage: RiskCoverage
    """Of the answers ranked by confidence: calibrated where the subject has an acceptance rule."""
    site: SiteCheck | None = None
    """Whether the images look like those the bundle was validated on; None without an acceptance rule, as the next."""
    accepted: AcceptedAnswers | None = None
    foreign: ForeignPictures | None = None
    """None where no foreign pictures were given."""
    corruptions: dict[str, CorruptionAccuracy] | None = None
    """None where the suite was not run, as in all fields below."""
    corruption_suite: int | None = None
    """Version of the suite: only figures of the same version compare."""
    corruption_mean: float | None = None
    """Over all corruptions and severities, each counting the same."""
    corruption_mean_unseen: float | None = None
    """Over those corruptions only that no operation of training's augmentation resembles."""
    corruption_by_severity: dict[str, float] | None = None
    corruption_worst: WorstCorruption | None = None
    tools: dict[str, str]
    created: str
