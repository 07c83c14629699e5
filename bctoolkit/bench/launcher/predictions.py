"""All predictions of a bundle that parity rests on, made in child processes."""

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.documents.predictions import LabelledPredictions, Predictions
from bctoolkit.bench.launcher.corruptions import predict_suite
from bctoolkit.bench.launcher.sessions import predict
from bctoolkit.bundle import Bundle
from bctoolkit.data import Dataset
from bctoolkit.data.dataset import positions, stratified
from bctoolkit.progress import Progress
from bctoolkit.statistics.metrics import Probabilities

__all__ = ["paired_rows", "predict_all"]


def predict_all(
    bundle: Bundle,
    dataset: Dataset | None,
    threads: int,
    provider: str | None,
    progress: Progress,
    corruptions: int | None = None,
    foreign: Dataset | None = None,
    engine: str | None = None,
) -> Predictions:
    """Run the golden images, and the labelled ones of `dataset`, through a bundle.

    Args:
        bundle: what predicts.
        dataset: labelled images, prepared for it.
        threads: of the engine.
        provider: what to run on; the engine's first by default.
        progress: notified of the corruption suite's steps.
        corruptions: most images, one of each class in turn, to run through the suite; None leaves it out.
        foreign: pictures of which none belongs to a class, prepared for the bundle; only of use to one with an
            acceptance rule.
        engine: what to run in; the format's first by default.

    Raises:
        BackendError: it cannot run, or its process died.
    """
    ask = partial(predict, bundle.path, threads=threads, provider=provider, engine=engine)
    golden = ask(bundle.golden().images)
    pictures = None
    if foreign is not None and bundle.manifest.acceptance is not None:
        pictures = ask(foreign.images)
    if dataset is None:
        return Predictions(golden, None, pictures)
    ordered = dataset.in_order_of(bundle.manifest.labels)
    index, reference = paired_rows(bundle, ordered)
    images = ordered.take(index)
    labelled = LabelledPredictions(images.hashes, images.labels, ask(images.images), reference)
    if corruptions is not None:
        sample = stratified(images, np.arange(len(images)), corruptions)
        predicted = predict_suite(bundle.path, images.take(sample), threads, provider, progress, engine)
        labelled = replace(labelled, sample=sample, corrupted=predicted)
    return Predictions(golden, labelled, pictures)


def paired_rows(bundle: Bundle, dataset: Dataset) -> tuple[NDArray[np.int64], Probabilities | None]:
    """The images of `dataset` that the bundle's reference holds, with its probabilities.

    The reference holds the test part only, so nothing trained on is among them. Where the bundle carries no reference,
    or the images are another set altogether, all of them are judged without pairing.
    """
    reference = bundle.reference()
    if reference is None:
        return np.arange(len(dataset)), None
    rows = positions(dataset.hashes, reference.hashes)
    index = np.flatnonzero(rows >= 0)
    if not index.size:
        return np.arange(len(dataset)), None
    return index, reference.probabilities[rows[index]]
