"""How often an artifact was right, on the labelled images that it was asked about before it was sealed."""

from typing import Literal

import numpy as np

from bctoolkit.export.artifacts import CheckedArtifact
from bctoolkit.export.baseline import Baseline
from bctoolkit.manifest import ClassRecall, LabelledFigures
from bctoolkit.statistics.metrics import Labels, Probabilities, confusion, exact_interval

__all__ = ["labelled_figures"]


def labelled_figures(baseline: Baseline, checked: CheckedArtifact) -> LabelledFigures | None:
    """The figures on the validation part, where an integer form was judged on it, or on the test images checked.

    Returns:
        None where no labelled image is known.
    """
    names = baseline.job.labels
    if baseline.validation is not None and checked.validated is not None:
        return _figures("validation", baseline.validation.labels, checked.validated, names)
    labels = baseline.job.check_images.labels
    known = labels >= 0
    if not known.any():
        return None
    return _figures("test", labels[known], checked.variant.probabilities[known], names)


def _figures(
    part: Literal["test", "validation"], labels: Labels, probabilities: Probabilities, names: tuple[str, ...]
) -> LabelledFigures:
    counts = confusion(labels, probabilities)
    right, total = np.diag(counts).tolist(), counts.sum(1).tolist()
    classes = zip(names, right, total, strict=True)
    return LabelledFigures(
        part=part,
        count=len(labels),
        accuracy=sum(right) / len(labels),
        accuracy_ci95=exact_interval(sum(right), len(labels)),
        recall={name: ClassRecall(n, k / n, exact_interval(k, n)) for name, k, n in classes if n},
    )
