"""Judge an artifact against the float32 Keras reference: on golden images always, on labelled ones when given."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import metrics, paired
from bctoolkit.bench.latency import predict
from bctoolkit.bench.report import Labelled, ParityReport
from bctoolkit.bundle import Bundle
from bctoolkit.data import Dataset
from bctoolkit.data.dataset import positions

__all__ = ["judge"]


def judge(bundle: Bundle, dataset: Dataset | None, threads: int, provider: str | None) -> ParityReport:
    """Run the golden images, and the labelled ones of `dataset`, through a bundle and compare."""
    golden = bundle.golden()
    observed = predict(bundle.path, golden.images, threads, provider)
    labelled = None if dataset is None else _labelled(bundle, dataset, threads, provider)
    return ParityReport(metrics.parity(golden.probabilities, observed), golden.kind, labelled)


def _labelled(bundle: Bundle, dataset: Dataset, threads: int, provider: str | None) -> Labelled:
    ordered = dataset.in_order_of(bundle.manifest.labels)
    index, reference = _paired(bundle, ordered)
    labels = ordered.labels[index]
    observed = predict(bundle.path, ordered.take(index).images, threads, provider)
    right = observed.argmax(1) == labels
    alone = Labelled(
        split="all images" if reference is None else "test part",
        source=dataset.source,
        count=len(labels),
        accuracy=float(right.mean()),
        accuracy_ci95=metrics.exact_interval(int(right.sum()), len(labels)),
        recall=metrics.recall_by_class(metrics.confusion(labels, observed), ordered.classes),
        ece=metrics.expected_calibration_error(labels, observed),
    )
    return alone if reference is None else _against(alone, labels, reference, observed)


def _against(
    alone: Labelled, labels: NDArray[np.int64], reference: NDArray[np.float32], observed: NDArray[np.float32]
) -> Labelled:
    """Add what pairing with the reference's answers tells."""
    reference_right, right = reference.argmax(1) == labels, observed.argmax(1) == labels
    before = metrics.recall(metrics.confusion(labels, reference))
    after = metrics.recall(metrics.confusion(labels, observed))
    return msgspec.structs.replace(
        alone,
        reference_accuracy=float(reference_right.mean()),
        accuracy_drop=float(reference_right.mean() - right.mean()),
        accuracy_drop_ci95=paired.drop_interval(reference_right, right),
        mcnemar_p=paired.mcnemar(reference_right, right),
        top1_agreement=metrics.parity(reference, observed).top1_agreement,
        worst_recall_drop=float(np.nanmax(before - after)),
        ece_drift=alone.ece - metrics.expected_calibration_error(labels, reference),
    )


def _paired(bundle: Bundle, dataset: Dataset) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
    """The images of `dataset` that the bundle's reference knows, with its answers.

    The reference holds the test part only, so nothing trained on is among them. Where the bundle carries no reference,
    or the images are another set altogether, all of them are judged without pairing.
    """
    reference = bundle.reference()
    if reference is None:
        return np.arange(len(dataset)), None
    found = positions(dataset.hashes, reference.hashes)
    index = np.flatnonzero(found >= 0)
    if not index.size:
        return np.arange(len(dataset)), None
    return index, reference.probabilities[found[index]]
