"""How a bundle was judged: parity with the reference, robustness, and the limits of a budget."""

from msgspec import field

from bctoolkit.bench.documents.measurements import Interval
from bctoolkit.documents import Document, Outcome
from bctoolkit.statistics.metrics import Parity
from bctoolkit.statistics.paired import PairedChange
from bctoolkit.statistics.selective import AcceptedAnswers, ForeignPictures, RiskCoverage
from bctoolkit.statistics.site import SiteCheck

__all__ = ["Check", "Labelled", "ParityReport", "Robustness", "UnderCorruption", "Verdict"]


class UnderCorruption(Document, frozen=True):
    """The artifact under one corruption at one severity."""

    accuracy: float
    """Share that was right, 0–1."""
    float_accuracy: float | None = None
    """That of the float bundle on the same images."""
    change: PairedChange | None = None
    """Relative to the float bundle, on the same corrupted images."""
    mcnemar_p: float | None = None
    """Of `change`: exact, two-sided."""


class Robustness(Document, frozen=True, kw_only=True):
    """The artifact under the corruption suite; what needs a float bundle is None where none was measured with it."""

    suite: int
    """Version of the suite: figures compare only within one."""
    count: int
    """Images, each under every corruption and severity."""
    baseline: str | None = None
    """The float bundle: the same network at the highest precision among the bundles measured."""
    clean_accuracy: float
    """On the same images as they are."""
    accuracy: float
    """Mean over all corruptions and severities, as all figures below."""
    drop: float | None = None
    """Accuracy of the float bundle − this one's."""
    drop_ci95: Interval | None = None
    """Of `drop`."""
    clean_drop: float | None = None
    """The same on the images as they are."""
    relative_corruption_drop: float | None = None
    """`drop` − `clean_drop`: what is lost under corruptions beyond what is lost anyway."""
    relative_corruption_drop_ci95: Interval | None = None
    """Of `relative_corruption_drop`."""
    corruptions: dict[str, dict[str, UnderCorruption]]
    """By corruption and severity."""


class Labelled(Document, frozen=True, kw_only=True):
    """The artifact on labelled images; what needs the reference is None where the bundle does not carry it."""

    split: str
    """`test part` where the images are those of the bundle's reference, else `all images`."""
    source: str
    """Where the images were read from."""
    count: int
    """Labelled images."""
    accuracy: float
    """Share that was right, 0–1."""
    accuracy_ci95: Interval
    """Exact binomial; over groups where there are such, see `statistics.clustered`."""
    groups: int | None = None
    """How many groups the images come from, which intervals of decisions respect; None where that is not known."""
    reference_accuracy: float | None = None
    """That of the float32 reference on the same images."""
    change: PairedChange | None = None
    """Relative to the reference, over all images; its interval is the paired score interval (Tango 1998)."""
    accuracy_drop: float | None = None
    """The reference's accuracy − the artifact's; this and its interval follow from `change`."""
    accuracy_drop_ci95: Interval | None = None
    """That of `change`."""
    mcnemar_p: float | None = None
    """Exact, two-sided; of groups where there are such, see `statistics.paired`."""
    top1_agreement: float | None = None
    """Share of images with the reference's top-1 class, 0–1."""
    top1_agreement_ci95: Interval | None = None
    """Exact binomial; over groups where there are such."""
    recall: dict[str, float | None]
    """By class, 0–1; None for one without images."""
    class_changes: dict[str, PairedChange] = field(default_factory=dict)
    """As `change` within each class that has images: `drop` is that of its recall."""
    worst_recall_drop: float | None = None
    """The largest drop of any class's recall; follows from `class_changes`."""
    regressed_classes: tuple[str, ...] = ()
    """Classes whose recall has fallen beyond chance, that of looking at several classes included."""
    ece: float
    """Expected calibration error of the artifact's own probabilities, over 15 bins of equal width."""
    ece_drift: float | None = None
    """ECE − the reference's on the same images."""
    ece_drift_ci95: Interval | None = None
    """On the safe side: see `bench.analysis.calibration_drift`."""
    temperature: float | None = None
    """Fitted anew to this artifact on these images; 1 where it is as sure as it is right. Nothing applies it: the one
    that the bundle applies is in `accepted`."""
    ece_tempered: float | None = None
    """ECE at that temperature, on the images it was fitted to."""
    risk_coverage: RiskCoverage | None = None
    """Of the answers ranked by confidence: calibrated where the bundle has an acceptance rule."""
    accepted: AcceptedAnswers | None = None
    """None where the bundle has no acceptance rule, as the next."""
    site: SiteCheck | None = None
    """Whether the images look like those the bundle was validated on."""
    robustness: Robustness | None = None
    """None where the corruption suite was left out."""

    def __post_init__(self) -> None:
        """Derive the drops from the changes."""
        self._derive(
            accuracy_drop=self.change and self.change.drop,
            accuracy_drop_ci95=self.change and self.change.ci95,
            worst_recall_drop=max((change.drop for change in self.class_changes.values()), default=None),
        )


class ParityReport(Document, frozen=True, kw_only=True):
    """The artifact against the float32 Keras reference."""

    golden: Parity
    """On the golden images."""
    golden_images: str
    """`real` or `synthetic`."""
    golden_agreement_ci95: Interval
    """Exact binomial."""
    labelled: Labelled | None = None
    """On labelled images; None where none were given."""
    foreign: ForeignPictures | None = None
    """None where no foreign pictures were given, or the bundle has no acceptance rule."""

    @property
    def headline_accuracy(self) -> float:
        """On labelled images where there are some, else the agreement on golden ones."""
        return self.golden.top1_agreement if self.labelled is None else self.labelled.accuracy


class Check(Document, frozen=True, kw_only=True):
    """One limit of a budget against what was measured."""

    name: str
    """The budget's key."""
    limit: float
    """Its value in the budget."""
    outcome: Outcome
    """Whether the limit is kept."""
    observed: float | None = None
    """The unfavourable end of the interval; None where nothing was measured."""
    interval: Interval | None = None
    """95 %; both ends alike for what has no error of measurement."""
    images_needed: int | None = None
    """How many images would decide, if the rates stay what they are; None where more images are no remedy."""
    note: str = ""
    """What there is to say of it, in words."""
    passed: bool = False
    """Whether the limit is shown to hold; follows from `outcome`."""

    def __post_init__(self) -> None:
        """Derive `passed`."""
        self._derive(passed=self.outcome is Outcome.PASSED)


class Verdict(Document, frozen=True):
    """All checks of a budget."""

    outcome: Outcome
    """Failed if one check is, else undecided if one is."""
    checks: tuple[Check, ...]
    """One for each limit that the budget sets."""
    passed: bool = False
    """Whether every limit is shown to hold; follows from `outcome`."""

    def __post_init__(self) -> None:
        """Derive `passed`."""
        self._derive(passed=self.outcome is Outcome.PASSED)
