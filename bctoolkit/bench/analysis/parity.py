"""Judge an artifact against the float32 Keras reference: on golden images always, on labelled ones when given."""

import msgspec
import numpy as np

from bctoolkit.bench.analysis.calibration_drift import drift_limits
from bctoolkit.bench.documents.predictions import Answered, LabelledAnswers
from bctoolkit.bench.documents.report import Labelled, ParityReport, Robustness
from bctoolkit.bundle import Bundle
from bctoolkit.statistics import metrics, paired
from bctoolkit.statistics.metrics import Probabilities

__all__ = ["judge", "with_robustness"]


def judge(bundle: Bundle, answered: Answered, source: str) -> ParityReport:
    """Compare the answers with the reference's.

    Args:
        bundle: whose answers they are.
        answered: what `ask` gave.
        source: where the labelled images come from, in the user's words.
    """
    golden = bundle.golden()
    found = metrics.parity(golden.probabilities, answered.golden)
    agreeing = round(found.top1_agreement * found.count)
    labelled = None if answered.labelled is None else _labelled(answered.labelled, bundle.manifest.labels, source)
    return ParityReport(found, golden.kind, labelled, metrics.exact_interval(agreeing, found.count))


def with_robustness(found: ParityReport, robustness: Robustness) -> ParityReport:
    """The same with what the corruption suite tells; only labelled images go through it."""
    labelled = None if found.labelled is None else msgspec.structs.replace(found.labelled, robustness=robustness)
    return msgspec.structs.replace(found, labelled=labelled)


def _labelled(answers: LabelledAnswers, names: tuple[str, ...], source: str) -> Labelled:
    labels, observed = answers.labels, answers.observed
    right = observed.argmax(1) == labels
    temperature = metrics.temperature(labels, observed)
    tempered = metrics.tempered(observed, temperature).astype(np.float32)
    alone = Labelled(
        split="all images" if answers.reference is None else "test part",
        source=source,
        count=len(labels),
        accuracy=float(right.mean()),
        accuracy_ci95=metrics.exact_interval(int(right.sum()), len(labels)),
        recall=metrics.recall_by_class(metrics.confusion(labels, observed), names),
        ece=metrics.expected_calibration_error(labels, observed),
        temperature=temperature,
        ece_tempered=metrics.expected_calibration_error(labels, tempered),
    )
    return alone if answers.reference is None else _against(alone, answers, answers.reference, names)


def _against(alone: Labelled, answers: LabelledAnswers, reference: Probabilities, names: tuple[str, ...]) -> Labelled:
    """Add what pairing with the reference's answers tells."""
    labels, observed = answers.labels, answers.observed
    reference_right, right = reference.argmax(1) == labels, observed.argmax(1) == labels
    loss = paired.loss(reference_right, right)
    by_class = {
        name: paired.loss(reference_right[labels == position], right[labels == position])
        for position, name in enumerate(names)
        if (labels == position).any()
    }
    agreeing = int((reference.argmax(1) == observed.argmax(1)).sum())
    return msgspec.structs.replace(
        alone,
        reference_accuracy=float(reference_right.mean()),
        accuracy_drop=loss.drop,
        accuracy_drop_ci95=loss.ci95,
        mcnemar_p=paired.mcnemar(reference_right, right),
        top1_agreement=agreeing / len(labels),
        top1_agreement_ci95=metrics.exact_interval(agreeing, len(labels)),
        worst_recall_drop=max(lost.drop for lost in by_class.values()),
        loss=loss,
        class_loss=by_class,
        losing=paired.losing(by_class),
        ece_drift=alone.ece - metrics.expected_calibration_error(labels, reference),
        ece_drift_ci95=drift_limits(labels, observed, reference),
    )
