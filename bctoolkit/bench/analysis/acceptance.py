"""Which of a bundle's answers are accepted: of labelled images, with what that gains, and of foreign pictures."""

import msgspec

from bctoolkit.bench.documents.judgements import Labelled, ParityReport
from bctoolkit.bench.documents.predictions import LabelledPredictions, Predictions
from bctoolkit.bundle import Bundle
from bctoolkit.data import Dataset
from bctoolkit.data.dataset import positions
from bctoolkit.statistics.acceptance import AcceptanceRule
from bctoolkit.statistics.selective import ForeignPictures, foreign_pictures, risk_coverage

__all__ = ["with_acceptance"]


def with_acceptance(
    parity: ParityReport, bundle: Bundle, predictions: Predictions, images: Dataset | None, foreign: Dataset | None
) -> ParityReport:
    """The same with what the bundle's acceptance rule makes of its predictions; without a rule the curve alone.

    Args:
        parity: of the bundle.
        bundle: whose predictions they are.
        predictions: of all images.
        images: the labelled ones, in any order.
        foreign: pictures of which none belongs to a class, as they were predicted.
    """
    rule = bundle.acceptance_rule()
    labelled = parity.labelled
    if labelled is not None and predictions.labelled is not None and images is not None:
        labelled = _judged(labelled, rule, predictions.labelled, images)
    return msgspec.structs.replace(parity, labelled=labelled, foreign=_foreign(rule, predictions, foreign))


def _judged(
    labelled: Labelled, rule: AcceptanceRule | None, predictions: LabelledPredictions, images: Dataset
) -> Labelled:
    right = predictions.observed.argmax(1) == predictions.labels
    if rule is None:
        return msgspec.structs.replace(labelled, risk_coverage=risk_coverage(predictions.observed.max(1), right))
    order = images.take(positions(predictions.hashes, images.hashes))
    judged = rule.judge(order.images, predictions.observed)
    return msgspec.structs.replace(
        labelled,
        risk_coverage=risk_coverage(judged.confidence, right),
        accepted=rule.accepted_answers(predictions.labels, judged),
        site=rule.site(judged),
    )


def _foreign(rule: AcceptanceRule | None, predictions: Predictions, foreign: Dataset | None) -> ForeignPictures | None:
    if rule is None or foreign is None or predictions.foreign is None:
        return None
    judged = rule.judge(foreign.images, predictions.foreign)
    return foreign_pictures(foreign.source, judged.accepted, foreign.labels, foreign.classes)
