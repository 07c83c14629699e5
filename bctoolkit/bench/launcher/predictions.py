"""Ask a bundle, in child processes, for all answers that parity rests on."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.documents.predictions import Answered, LabelledAnswers
from bctoolkit.bench.launcher import corruptions as suite
from bctoolkit.bench.launcher.sessions import predict
from bctoolkit.bundle import Bundle
from bctoolkit.data import Dataset
from bctoolkit.data.dataset import positions, stratified
from bctoolkit.progress import Progress
from bctoolkit.statistics.metrics import Probabilities

__all__ = ["ask"]


def ask(
    bundle: Bundle,
    dataset: Dataset | None,
    threads: int,
    provider: str | None,
    progress: Progress,
    corruptions: int | None = None,
) -> Answered:
    """Run the golden images, and the labelled ones of `dataset`, through a bundle.

    Args:
        bundle: who is asked.
        dataset: labelled images, prepared for it.
        threads: of the engine.
        provider: what to run on; the engine's first by default.
        progress: told how far the corruption suite is.
        corruptions: most images, one of each class in turn, to run through the suite; None leaves it out.
    """
    golden = predict(bundle.path, bundle.golden().images, threads, provider)
    if dataset is None:
        return Answered(golden, None)
    ordered = dataset.in_order_of(bundle.manifest.labels)
    index, reference = _paired(bundle, ordered)
    known = ordered.take(index)
    answers = LabelledAnswers(
        known.hashes, known.labels, predict(bundle.path, known.images, threads, provider), reference
    )
    if corruptions is not None:
        sample = stratified(known, np.arange(len(known)), corruptions)
        said = suite.ask(bundle.path, known.take(sample), threads, provider, progress)
        answers = replace(answers, sample=sample, corrupted=said)
    return Answered(golden, answers)


def _paired(bundle: Bundle, dataset: Dataset) -> tuple[NDArray[np.int64], Probabilities | None]:
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
