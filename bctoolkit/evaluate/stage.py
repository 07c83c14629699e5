"""`evaluate`: a run or bundle + labelled images → figures, and where they are wanted a folder with a page."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data import Dataset, load
from bctoolkit.data.corruptions.apply import batches, corrupted
from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES, SUITE
from bctoolkit.documents import to_json
from bctoolkit.evaluate import page, plots
from bctoolkit.evaluate.report import Corrupted, Evaluation, Part, Worst
from bctoolkit.evaluate.subject import Predict, Subject, open_subject
from bctoolkit.files import atomic_folder
from bctoolkit.lazy import require
from bctoolkit.progress import Progress
from bctoolkit.statistics import metrics
from bctoolkit.statistics.metrics import Probabilities
from bctoolkit.tools import utc_now, versions

__all__ = ["evaluate", "under_corruptions"]

EVALUATION = "evaluation.json"
BATCH = 64


def evaluate(
    path: Path,
    source: str,
    progress: Progress,
    *,
    part: Part = "test",
    corruptions: bool = False,
    limit: int | None = None,
    target: Path | None = None,
) -> Evaluation:
    """Measure a classifier on labelled images.

    Args:
        path: a run folder or a bundle.
        source: the images, as `bctoolkit.data.sources.load` takes them; labels are matched by class name.
        progress: told what goes on.
        part: which of the images; where the subject knows none of them, all are taken and the figures say so.
        corruptions: whether to run the corruption suite too.
        limit: at most so many images, chosen by their content.
        target: the folder to write `evaluation.json`, `evaluation.html` and pictures to; None writes nothing.

    Raises:
        DatasetError: the images cannot be used, have a class the network lacks, or hold none of the part.
        RecipeError: `target` exists and is no evaluation, or the run is damaged.
        BctkError: the run or bundle cannot be opened.
    """
    with ExitStack() as stack:
        folder = None if target is None else stack.enter_context(atomic_folder(target, EVALUATION))
        if folder is not None:
            require("matplotlib.figure", "bench")  # before minutes of work, not after
        subject = open_subject(path)
        loaded = load(source, subject.contract, progress).in_order_of(subject.labels)
        index, selection = subject.choose(loaded, part)
        if limit is not None and limit < len(index):
            selection += f"; {limit} of these {len(index):,} images"
            index = _some(loaded, index, limit)
        dataset = loaded.take(index)
        found = _figures(subject, dataset, part, selection, progress, corruptions)
        if folder is not None:
            progress.step("writing the page", 0, 1)
            (folder / EVALUATION).write_bytes(to_json(found))
            plots.draw_all(folder, found)
            (folder / "evaluation.html").write_text(page.render(found, dataset), encoding="utf-8")
            progress.step("writing the page", 1, 1)
    return found


def under_corruptions(
    predict: Predict, dataset: Dataset, progress: Progress
) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """Which images a classifier gets right under each corruption: name → severity → N.

    Args:
        predict: images N × height × width × 3 uint8 → probabilities N × classes.
        dataset: the images, prepared for it; their hashes decide what is drawn for each.
        progress: told how far it is.
    """
    total = batches(len(dataset), BATCH)
    right = {name: {severity: np.zeros(len(dataset), np.bool_) for severity in SEVERITIES} for name in CORRUPTIONS}
    for done, (name, severity, chosen, images) in enumerate(corrupted(dataset, BATCH)):
        progress.step(f"{name.replace('_', ' ')}, {severity}", done, total)
        right[name][severity][chosen] = predict(images).argmax(1) == dataset.labels[chosen]
    progress.step("corruptions", total, total)
    return right


def _some(dataset: Dataset, index: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """`count` of the positions `index`, those of the lowest content hash, whatever the order of the set."""
    order = np.lexsort(dataset.hashes[index].T[::-1])
    return np.sort(index[order[:count]])


def _answers(predict: Predict, dataset: Dataset, progress: Progress) -> Probabilities:
    parts = []
    for start in range(0, len(dataset), BATCH):
        progress.step("clean images", start, len(dataset))
        parts.append(predict(dataset.images[start : start + BATCH]))
    progress.step("clean images", len(dataset), len(dataset))
    return np.concatenate(parts)


def _figures(
    subject: Subject, dataset: Dataset, part: Part, selection: str, progress: Progress, corruptions: bool
) -> Evaluation:
    probabilities = _answers(subject.predict, dataset, progress)
    counts = metrics.confusion(dataset.labels, probabilities)
    names = subject.labels
    suite = _suite(under_corruptions(subject.predict, dataset, progress)) if corruptions else {}
    return Evaluation(
        subject=subject.name,
        kind=subject.kind,
        model_sha256=subject.model_sha256,
        source=dataset.source,
        images=dataset.kind,
        part=part,
        selection=selection,
        count=len(dataset),
        labels=names,
        counts=dict(zip(names, counts.sum(1).tolist(), strict=True)),
        accuracy=metrics.accuracy(dataset.labels, probabilities),
        accuracy_ci95=metrics.exact_interval(int(np.trace(counts)), len(dataset)),
        precision=metrics.by_class(metrics.precision(counts), names),
        recall=metrics.recall_by_class(counts, names),
        f1=metrics.by_class(metrics.f1(counts), names),
        macro_f1=metrics.macro_f1(counts),
        ece=metrics.expected_calibration_error(dataset.labels, probabilities),
        reliability=metrics.reliability(dataset.labels, probabilities),
        confusion=tuple(tuple(row) for row in counts.tolist()),
        tools=versions("bctoolkit", "numpy", "scipy", "pillow"),
        created=utc_now(),
        **suite,
    )


def _suite(right: dict[str, dict[str, NDArray[np.bool_]]]) -> dict[str, Any]:
    """The fields of an evaluation that tell of the corruption suite."""
    table = np.array([[right[name][severity].mean() for severity in SEVERITIES] for name in CORRUPTIONS])
    found = {}
    for (name, corruption), (mild, middle, severe) in zip(CORRUPTIONS.items(), table.tolist(), strict=True):
        found[name] = Corrupted(mild, middle, severe, (mild + middle + severe) / 3, corruption.kin)
    worst = min(found, key=lambda name: found[name].middle)
    return {
        "corruptions": found,
        "corruption_suite": SUITE,
        "corruption_mean": float(table.mean()),
        "corruption_mean_without_kin": float(np.mean([row.mean for row in found.values() if not row.kin])),
        "corruption_by_severity": dict(zip(SEVERITIES, table.mean(0).tolist(), strict=True)),
        "corruption_worst": Worst(worst, found[worst].middle),
    }
