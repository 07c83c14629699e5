"""`evaluate`: a run or bundle + labelled images → figures, and on request a folder with a page."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data import Dataset, load, load_pictures
from bctoolkit.data.corruptions.apply import predicted_classes
from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES, SUITE
from bctoolkit.data.groups import grouped
from bctoolkit.documents import to_json
from bctoolkit.errors import RecipeError
from bctoolkit.evaluate import page, plots
from bctoolkit.evaluate.report import CorruptionAccuracy, Evaluation, Part, WorstCorruption
from bctoolkit.evaluate.site_figures import HomeFigures, against_home, macro_recall, recall_intervals, restricted
from bctoolkit.evaluate.site_map import MappedSite, map_site, read_site_map
from bctoolkit.evaluate.subject import Subject, open_subject
from bctoolkit.files import atomic_folder
from bctoolkit.lazy import require
from bctoolkit.progress import Progress
from bctoolkit.signing import TrustedKey
from bctoolkit.statistics import metrics
from bctoolkit.statistics.acceptance import Judged
from bctoolkit.statistics.clustered import number_of
from bctoolkit.statistics.metrics import Probabilities
from bctoolkit.statistics.selective import ForeignPictures, foreign_pictures, risk_coverage
from bctoolkit.system import utc_now, versions

__all__ = ["evaluate", "evaluate_subject"]

EVALUATION = "evaluation.json"
PAGE_AND_PLOTS = ("evaluation.html", "confusion_matrix.png", "reliability.png", "corruptions.png")
BATCH = 64


def evaluate(
    path: Path,
    source: str,
    progress: Progress,
    *,
    part: Part = "test",
    corruptions: bool = False,
    limit: int | None = None,
    foreign: str | None = None,
    group: str = "",
    site_map: Path | None = None,
    target: Path | None = None,
    trusted_keys: Sequence[TrustedKey] | None = None,
) -> Evaluation:
    """Measure a classifier on labelled images.

    Args:
        path: a run folder or a bundle.
        source: the images, as `bctoolkit.data.sources.load` takes them; labels are matched by class name.
        progress: shows what is being done.
        part: which of the images; where the subject has a record of none of them, all are taken, which `selection`
            says.
        corruptions: whether to run the corruption suite too.
        limit: at most so many images, selected by their content.
        foreign: pictures of which none belongs to a class: how many are accepted all the same.
        site_map: what the set's classes are in the subject's words, see `site_map.SiteMap`; then foreign cells among
            the images are the foreign pictures, and figures restricted to the set's classes are given besides.
        group: pattern of what images belong to, see `data.groups.grouped`; intervals are then over groups.
        target: the folder to write `evaluation.json`, `evaluation.html` and pictures to; None writes nothing.
        trusted_keys: as `bctoolkit.bundle.read` takes them.

    Raises:
        DatasetError: the images cannot be used, have a class the network lacks, or hold none of the part.
        RecipeError: `target` exists and is no evaluation, the run is damaged, or foreign pictures are given to what has
            no acceptance rule.
        BctkError: the run or bundle cannot be opened.
    """
    with ExitStack() as stack:
        folder = None if target is None else stack.enter_context(atomic_folder(target, EVALUATION, PAGE_AND_PLOTS))
        if folder is not None:
            require("matplotlib.figure", "bench")  # before minutes of work, not after
        subject = open_subject(path, trusted_keys)
        pictures = None if foreign is None else _foreign(subject, foreign, progress)
        loaded = grouped(load(source, subject.contract, progress), group)
        site = None if site_map is None else map_site(loaded, read_site_map(site_map), subject.labels, site_map)
        loaded = loaded.in_order_of(subject.labels) if site is None else site.dataset
        pictures = pictures or _foreign_cells(subject, site, progress)
        index, selection, elsewhere = subject.select(loaded, part)
        if limit is not None and limit < len(index):
            selection += f"; {limit} of these {len(index):,} images"
            index = _sample(loaded, index, limit)
        dataset = loaded.take(index)
        evaluation = evaluate_subject(
            subject,
            dataset,
            part,
            selection,
            progress,
            corruptions,
            pictures,
            mapped=None if site is None else site.mapped,
            home=subject.home if elsewhere else None,
        )
        if folder is not None:
            progress.step("writing the page", 0, 1)
            (folder / EVALUATION).write_bytes(to_json(evaluation))
            plots.save_plots(folder, evaluation)
            (folder / "evaluation.html").write_text(page.render(evaluation, dataset), encoding="utf-8")
            progress.step("writing the page", 1, 1)
    return evaluation


def _sample(dataset: Dataset, index: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """`count` of the positions `index`, those of the lowest content hash, whatever the order of the set."""
    order = np.lexsort(dataset.hashes[index].T[::-1])
    return np.sort(index[order[:count]])


def _foreign(subject: Subject, source: str, progress: Progress) -> Dataset:
    """The foreign pictures, prepared for the subject.

    Raises:
        RecipeError: it has no acceptance rule.
        DatasetError: they cannot be used.
    """
    if subject.acceptance is None:
        raise RecipeError(
            f"--foreign: {subject.name} has no acceptance rule; give a bundle that was exported with labelled images"
        )
    return load_pictures(source, subject.contract, progress)


def _foreign_cells(subject: Subject, site: MappedSite | None, progress: Progress) -> Dataset | None:
    """The site's cells that the network does not know, if their answers can be accepted or refused."""
    if site is None or site.foreign is None:
        return None
    if subject.acceptance is None:
        progress.say(
            f"{len(site.foreign):,} cells of classes that the network does not know are left out: {subject.name} has "
            "no acceptance rule to refuse them"
        )
        return None
    return site.foreign


def _predict(
    subject: Subject, dataset: Dataset, progress: Progress, what: str = "clean images"
) -> tuple[Probabilities, Judged | None]:
    """What the subject answers itself, and what its acceptance rule says of that."""
    raw: list[Probabilities] = []
    judged: list[Judged] = []
    for start in range(0, len(dataset), BATCH):
        progress.step(what, start, len(dataset))
        images = dataset.images[start : start + BATCH]
        raw.append(subject.predict(images))
        if subject.acceptance is not None:
            judged.append(subject.acceptance.judge(images, raw[-1]))
    progress.step(what, len(dataset), len(dataset))
    return np.concatenate(raw), Judged(*map(np.concatenate, zip(*judged, strict=True))) if judged else None


def evaluate_subject(
    subject: Subject,
    dataset: Dataset,
    part: Part,
    selection: str,
    progress: Progress,
    corruptions: bool,
    foreign: Dataset | None = None,
    mapped: dict[str, str] | None = None,
    home: HomeFigures | None = None,
) -> Evaluation:
    """Measure an opened run or bundle on exactly these images.

    Args:
        subject: what is measured.
        dataset: the images, prepared for it, with labels in the order of its own.
        part: for the record.
        selection: for the record: which images these are, in words.
        progress: shows what is being done.
        corruptions: whether to run the corruption suite too.
        foreign: pictures of which none belongs to a class; only for a subject with an acceptance rule.
        mapped: for the record: what each class of the set was taken for, where it was told.
        home: figures on the subject's own set, to compare with; None where these images are of it.
    """
    probabilities, judged = _predict(subject, dataset, progress)
    counts = metrics.confusion(dataset.labels, probabilities)
    names = subject.labels
    suite: dict[str, Any] = {}
    if corruptions:
        predicted = predicted_classes(subject.predict, dataset, BATCH, progress)
        suite = _suite_fields((predicted == dataset.labels[:, None, None]).mean(0))
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
        unreadable=dataset.unreadable,
        accuracy=metrics.accuracy(dataset.labels, probabilities),
        accuracy_ci95=metrics.accuracy_interval(dataset.labels, probabilities, dataset.groups),
        groups=number_of(dataset.groups),
        macro_recall=macro_recall(counts, names),
        recall_ci95=recall_intervals(counts, names),
        restricted=None if mapped is None else restricted(dataset.labels, probabilities, names),
        mapped=mapped,
        home=None if home is None else against_home(counts, names, home),
        precision=metrics.by_class(metrics.precision(counts), names),
        recall=metrics.recall_by_class(counts, names),
        f1=metrics.by_class(metrics.f1(counts), names),
        macro_f1=metrics.macro_f1(counts),
        ece=metrics.expected_calibration_error(dataset.labels, probabilities),
        reliability=metrics.reliability(dataset.labels, probabilities),
        **_acceptance_fields(subject, dataset, probabilities, judged),
        foreign=None if foreign is None else _foreign_pictures(subject, foreign, progress),
        confusion=tuple(tuple(row) for row in counts.tolist()),
        tools=versions("bctoolkit", "numpy", "scipy", "pillow"),
        created=utc_now(),
        **suite,
    )


def _acceptance_fields(subject: Subject, dataset: Dataset, raw: Probabilities, judged: Judged | None) -> dict[str, Any]:
    """The fields of an evaluation about which answers to accept; without a rule the risk–coverage curve alone."""
    right = raw.argmax(1) == dataset.labels
    rule = subject.acceptance
    if rule is None or judged is None:
        return {"risk_coverage": risk_coverage(raw.max(1), right)}
    return {
        "risk_coverage": risk_coverage(judged.confidence, right),
        "site": rule.site(judged),
        "accepted": rule.accepted_answers(dataset.labels, judged),
    }


def _foreign_pictures(subject: Subject, foreign: Dataset, progress: Progress) -> ForeignPictures | None:
    _, judged = _predict(subject, foreign, progress, "foreign pictures")
    return judged and foreign_pictures(foreign.source, judged.accepted, foreign.labels, foreign.classes)


def _suite_fields(accuracy: NDArray[np.float64]) -> dict[str, Any]:
    """The fields of an evaluation about the corruption suite, from accuracies of corruptions × severities."""
    corruptions = {
        name: CorruptionAccuracy(mild, middle, severe, (mild + middle + severe) / 3, corruption.similar_augmentations)
        for (name, corruption), (mild, middle, severe) in zip(CORRUPTIONS.items(), accuracy.tolist(), strict=True)
    }
    worst = min(corruptions, key=lambda name: corruptions[name].middle)
    unseen = [row.mean for row in corruptions.values() if not row.similar_augmentations]
    return {
        "corruptions": corruptions,
        "corruption_suite": SUITE,
        "corruption_mean": float(accuracy.mean()),
        "corruption_mean_unseen": float(np.mean(unseen)),
        "corruption_by_severity": dict(zip(SEVERITIES, accuracy.mean(0).tolist(), strict=True)),
        "corruption_worst": WorstCorruption(worst, corruptions[worst].middle),
    }
