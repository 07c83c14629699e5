"""An artifact beside the float32 Keras reference: on golden images always, on labelled ones when there are some."""

from dataclasses import replace

import msgspec
import numpy as np

from bctoolkit.bench.analysis.calibration_drift import drift_interval
from bctoolkit.bench.documents.judgements import Labelled, ParityReport, Robustness
from bctoolkit.bench.documents.predictions import LabelledPredictions, Predictions
from bctoolkit.bundle import Bundle
from bctoolkit.data import Dataset
from bctoolkit.statistics import metrics, paired
from bctoolkit.statistics.clustered import number_of, taken
from bctoolkit.statistics.metrics import Probabilities

__all__ = ["compare_with_reference", "with_groups", "with_robustness"]


def compare_with_reference(bundle: Bundle, predictions: Predictions, source: str) -> ParityReport:
    """Compare a bundle's predictions with the reference's.

    Args:
        bundle: whose predictions they are.
        predictions: what `predict_all` returned.
        source: where the labelled images come from, in the user's words.
    """
    golden = bundle.golden()
    parity = metrics.parity(golden.probabilities, predictions.golden)
    agreeing = round(parity.top1_agreement * parity.count)
    labelled = predictions.labelled
    return ParityReport(
        golden=parity,
        golden_images=golden.kind,
        golden_agreement_ci95=metrics.exact_interval(agreeing, parity.count),
        labelled=None if labelled is None else _labelled(labelled, bundle.manifest.labels, source),
    )


def with_groups(predictions: Predictions, dataset: Dataset | None) -> Predictions:
    """The same predictions, which know the groups of the labelled images where the set they are of does."""
    labelled = predictions.labelled
    if labelled is None or dataset is None or (names := dataset.groups_of(labelled.hashes)) is None:
        return predictions
    groups = np.unique(names.astype(str), return_inverse=True)[1].astype(np.int64)
    return replace(predictions, labelled=replace(labelled, groups=groups))


def with_robustness(parity: ParityReport, robustness: Robustness | None) -> ParityReport:
    """The same with the figures under the corruption suite; only labelled images go through it."""
    labelled = parity.labelled and msgspec.structs.replace(parity.labelled, robustness=robustness)
    return msgspec.structs.replace(parity, labelled=labelled)


def _labelled(predictions: LabelledPredictions, names: tuple[str, ...], source: str) -> Labelled:
    labels, observed, groups = predictions.labels, predictions.observed, predictions.groups
    right = observed.argmax(1) == labels
    temperature = metrics.temperature(labels, observed)
    tempered = metrics.tempered(observed, temperature).astype(np.float32)
    alone = Labelled(
        split="all images" if predictions.reference is None else "test part",
        source=source,
        count=len(labels),
        accuracy=float(right.mean()),
        accuracy_ci95=metrics.accuracy_interval(labels, observed, groups),
        groups=number_of(groups),
        recall=metrics.recall_by_class(metrics.confusion(labels, observed), names),
        ece=metrics.expected_calibration_error(labels, observed),
        temperature=temperature,
        ece_tempered=metrics.expected_calibration_error(labels, tempered),
    )
    if predictions.reference is None:
        return alone
    return _relative_to_reference(alone, predictions, predictions.reference, names)


def _relative_to_reference(
    alone: Labelled, predictions: LabelledPredictions, reference: Probabilities, names: tuple[str, ...]
) -> Labelled:
    """Add what pairing with the reference's predictions shows."""
    labels, observed, groups = predictions.labels, predictions.observed, predictions.groups
    reference_right, right = reference.argmax(1) == labels, observed.argmax(1) == labels
    by_class = {
        name: paired.paired_change(reference_right[mask], right[mask], taken(groups, mask))
        for position, name in enumerate(names)
        if (mask := labels == position).any()
    }
    agreeing = reference.argmax(1) == observed.argmax(1)
    return msgspec.structs.replace(
        alone,
        reference_accuracy=float(reference_right.mean()),
        change=paired.paired_change(reference_right, right, groups),
        mcnemar_p=paired.mcnemar(reference_right, right, groups),
        top1_agreement=int(agreeing.sum()) / len(labels),
        top1_agreement_ci95=metrics.share_interval(agreeing, groups),
        class_changes=by_class,
        regressed_classes=paired.regressed_classes(by_class),
        ece_drift=alone.ece - metrics.expected_calibration_error(labels, reference),
        ece_drift_ci95=drift_interval(labels, observed, reference),
    )
