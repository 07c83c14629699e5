"""Figures of a report, computed again from the predictions that lie beside it."""

import math

from bctoolkit.bench.documents.predictions import LabelledPredictions
from bctoolkit.bench.documents.report import Result
from bctoolkit.bench.documents.stored import StoredReport
from bctoolkit.bundle import Bundle
from bctoolkit.errors import RecipeError
from bctoolkit.statistics.metrics import accuracy, confusion, parity, recall_by_class

__all__ = ["require_same"]

CLOSE, LEAST = 1e-6, 1e-12
"""Relative and absolute: means of the same numbers, added up in another order."""

Figures = dict[str, float | None]


def require_same(bundle: Bundle, read: StoredReport, result: Result) -> bool:
    """Hold the parity that a report states against the predictions beside it; False where there are none.

    Raises:
        RecipeError: they contradict each other, or the predictions cannot be read.
        BundleCorrupt: the bundle's golden file is damaged.
    """
    predictions = read.predictions(result)
    if predictions is None:
        return False
    source, reference = f"{read.folder}: {result.bundle}", bundle.golden().probabilities
    if predictions.golden.shape != reference.shape:
        raise RecipeError(f"{source}: predictions of other golden images than the bundle's; measure again")
    fields = result.parity.golden.__struct_fields__
    computed: Figures = {name: getattr(parity(reference, predictions.golden), name) for name in fields}
    stated: Figures = {name: getattr(result.parity.golden, name) for name in fields}
    labelled = result.parity.labelled
    if (labelled is None) != (predictions.labelled is None):
        raise RecipeError(f"{source}: labelled images in the report or in its predictions alone; measure again")
    if labelled is not None and predictions.labelled is not None:
        if predictions.labelled.observed.shape[1] != len(bundle.manifest.labels):
            raise RecipeError(f"{source}: predictions of other classes than the bundle's; measure again")
        computed |= _labelled(predictions.labelled, bundle.manifest.labels)
        stated |= {"images": labelled.count, "accuracy": labelled.accuracy} | _of_classes(labelled.recall)
    for name, value in stated.items():
        if not _close(computed[name], value):
            raise RecipeError(f"{source}: {name} is {value}, by its own predictions {computed[name]}; measure again")
    return True


def _labelled(predictions: LabelledPredictions, labels: tuple[str, ...]) -> Figures:
    recall = recall_by_class(confusion(predictions.labels, predictions.observed), labels)
    right = accuracy(predictions.labels, predictions.observed)
    return {"images": len(predictions.labels), "accuracy": right} | _of_classes(recall)


def _of_classes(recall: Figures) -> Figures:
    return {f"recall of {name}": value for name, value in recall.items()}


def _close(computed: float | None, stated: float | None) -> bool:
    if computed is None or stated is None:
        return computed is stated
    return math.isclose(computed, stated, rel_tol=CLOSE, abs_tol=LEAST)
