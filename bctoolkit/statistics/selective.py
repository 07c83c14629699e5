"""Selective classification: which answers to accept, and what refusing the others gains."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents import Document
from bctoolkit.statistics.metrics import Labels, Probabilities, exact_interval, expected_calibration_error

__all__ = [
    "AcceptedAnswers",
    "ForeignPictures",
    "RefusedKind",
    "RiskCoverage",
    "Thresholds",
    "accepted_answers",
    "choose_thresholds",
    "foreign_pictures",
    "risk_coverage",
]

Values = NDArray[np.floating[Any]]
"""N."""

POINTS = 50
"""Of a stored curve."""


class Thresholds(NamedTuple):
    """An answer is accepted that keeps both."""

    confidence: float
    """The least."""
    distance: float
    """The largest."""


class RiskCoverage(Document, frozen=True):
    """The share of errors among the surest answers, by how many of all are accepted."""

    coverage: tuple[float, ...]
    """Ascending, to 1."""
    risk: tuple[float, ...]
    """Share of errors among the accepted answers at each coverage, 0–1."""
    area: float
    """Mean risk over all coverages (AURC): 0 where the surest answers are all right until none is left."""

    def at(self, coverage: float) -> float:
        """The risk where so large a share is accepted, between the stored points."""
        return float(np.interp(coverage, self.coverage, self.risk))


class AcceptedAnswers(Document, frozen=True, kw_only=True):
    """What a bundle's acceptance rule makes of labelled images."""

    stated_coverage: float
    """Least share of validation images that the rule was fitted to accept."""
    coverage: float
    """Share of these images whose answer is accepted."""
    coverage_ci95: tuple[float, float]
    """Exact binomial interval, as all here."""
    accuracy: float | None
    """Of the accepted answers; None where there is none."""
    accuracy_ci95: tuple[float, float] | None
    """Of that accuracy; None where there is none."""
    errors: int
    """Wrong answers in all."""
    errors_refused: int
    """Wrong answers that the rule refuses."""
    temperature: float
    """The bundle's own, by which probabilities are calibrated."""
    ece: float
    """Expected calibration error of all calibrated probabilities, over 15 bins of equal width."""


class RefusedKind(Document, frozen=True):
    """Foreign pictures of one kind."""

    count: int
    """Pictures of the kind."""
    accepted: int
    """Those taken for one of the classes."""
    ci95: tuple[float, float]
    """Exact binomial interval of the share that is accepted."""


class ForeignPictures(Document, frozen=True, kw_only=True):
    """How many foreign pictures are taken for one of the classes all the same."""

    source: str
    """Where the pictures were read from."""
    count: int
    """Pictures in all."""
    accepted: int
    """Those taken for one of the classes."""
    share: float
    """False-accept rate: accepted / count."""
    share_ci95: tuple[float, float]
    """Exact binomial interval."""
    kinds: dict[str, RefusedKind]
    """By folder; empty where all lie in one."""


def choose_thresholds(confidence: Values, distance: Values, coverage: float) -> Thresholds:
    """Thresholds that accept a share of the images, and are equally strict on both scores.

    An image's level is how many others are worse, by whichever score it does worse on; the images of the highest levels
    are accepted. As for split conformal prediction, ⌈coverage · (N + 1)⌉ of N are: then as many of new images like
    these are accepted, on average over the draw of the N (Vovk 2012, arXiv:1209.2673; Angelopoulos & Bates 2021,
    arXiv:2107.07511, section 1).

    Args:
        confidence: of N images, the higher the better.
        distance: of the same images, the lower the better.
        coverage: 0–1.
    """
    count = len(confidence)
    needed = min(count, math.ceil(coverage * (count + 1)))
    sure, near = _worse_than(confidence), _worse_than(-distance)
    level = np.sort(np.minimum(sure, near))[count - needed]
    return Thresholds(float(confidence[sure >= level].min()), float(distance[near >= level].max()))


def risk_coverage(confidence: Values, right: NDArray[np.bool_]) -> RiskCoverage:
    """The risk–coverage curve (Geifman & El-Yaniv 2017, arXiv:1705.08500) of answers ranked by confidence.

    Images of the same confidence are in no order: their errors are spread evenly among them.

    Args:
        confidence: of N images.
        right: whether each was classified correctly.
    """
    values, group = np.unique(-confidence, return_inverse=True)
    ends = np.cumsum(np.bincount(group, minlength=len(values)))
    errors = np.cumsum(np.bincount(group, ~right, minlength=len(values)))
    accepted = np.arange(1, len(right) + 1)
    risk = np.interp(accepted, [0, *ends], [0, *errors]) / accepted
    shown = np.unique(np.linspace(0, len(right) - 1, min(POINTS, len(right))).round().astype(int))
    shares = accepted / len(right)
    return RiskCoverage(tuple(shares[shown].tolist()), tuple(risk[shown].tolist()), float(risk.mean()))


def accepted_answers(
    labels: Labels, probabilities: Probabilities, accepted: NDArray[np.bool_], stated: tuple[float, float]
) -> AcceptedAnswers:
    """Coverage, and accuracy of what is accepted.

    Args:
        labels: N true classes.
        probabilities: N × classes, calibrated.
        accepted: N.
        stated: coverage and temperature of the rule.
    """
    right, count = probabilities.argmax(1) == labels, int(accepted.sum())
    kept = int((right & accepted).sum())
    return AcceptedAnswers(
        stated_coverage=stated[0],
        coverage=count / len(labels),
        coverage_ci95=exact_interval(count, len(labels)),
        accuracy=kept / count if count else None,
        accuracy_ci95=exact_interval(kept, count) if count else None,
        errors=int((~right).sum()),
        errors_refused=int((~right & ~accepted).sum()),
        temperature=stated[1],
        ece=expected_calibration_error(labels, probabilities),
    )


def foreign_pictures(
    source: str, accepted: NDArray[np.bool_], kind: NDArray[np.int64], names: tuple[str, ...]
) -> ForeignPictures:
    """The false-accept rate on pictures of which none belongs to a class.

    Args:
        source: where they come from, in the user's words.
        accepted: N, whether the answer to each is accepted.
        kind: N positions in `names`.
        names: of kinds.
    """
    members = {name: accepted[kind == position] for position, name in enumerate(names)}
    kinds = {
        name: RefusedKind(len(each), int(each.sum()), exact_interval(int(each.sum()), len(each)))
        for name, each in members.items()
        if len(each)
    }
    total = int(accepted.sum())
    return ForeignPictures(
        source=source,
        count=len(accepted),
        accepted=total,
        share=total / len(accepted),
        share_ci95=exact_interval(total, len(accepted)),
        kinds=kinds if len(names) > 1 else {},
    )


def _worse_than(values: Values) -> NDArray[np.int64]:
    """Of each value how many are lower."""
    return np.searchsorted(np.sort(values), values).astype(np.int64)
