"""The figures in a manifest are those of the artifact, recomputed here from its own answers."""

from pathlib import Path

import numpy as np
import pytest

from bctoolkit import bundle as bundles
from bctoolkit import run
from bctoolkit.data import load as load_images
from bctoolkit.data.split import read as read_split
from bctoolkit.documents.formats import QUANTIZATIONS
from bctoolkit.manifest import LabelledFigures
from bctoolkit.runtime import load
from bctoolkit.statistics.metrics import confusion, exact_interval


def stored(workspace: Path, name: str) -> LabelledFigures:
    figures = bundles.read(workspace / "exports" / "bundles" / name).manifest.labelled
    assert figures is not None
    return figures


@pytest.mark.parametrize("kind", ["fp32", "int8-dynamic"])
def test_figures_are_those_of_the_artifact(kind: str, workspace: Path, class_folders: Path) -> None:
    folder = workspace / "exports" / "bundles" / f"tiny-onnx-{kind}"
    opened, figures = bundles.read(folder), stored(workspace, folder.name)
    dataset = load_images(str(class_folders), opened.manifest.input).in_order_of(opened.manifest.labels)
    parts = read_split(workspace / "training" / "runs" / "tiny" / run.SPLIT, dataset)
    indices = parts.validation if figures.part == "validation" else parts.test
    assert figures.part == ("validation" if QUANTIZATIONS[kind].gated else "test")
    assert figures.count == len(indices)
    counts = confusion(dataset.labels[indices], load(folder).predict_each(dataset.images[indices]))
    right, total = np.diag(counts).tolist(), counts.sum(1).tolist()
    assert figures.accuracy == sum(right) / figures.count
    assert figures.accuracy_ci95 == exact_interval(sum(right), figures.count)
    for name, k, n in zip(opened.manifest.labels, right, total, strict=True):
        entry = figures.recall[name]
        assert (entry.count, entry.recall, entry.ci95) == (n, k / n, exact_interval(k, n))
