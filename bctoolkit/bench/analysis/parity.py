"""Judge an artifact against the float32 Keras reference: on golden images always, on labelled ones when given."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import metrics, paired
from bctoolkit.bench.analysis.calibration_drift import drift_limits
from bctoolkit.bench.documents.report import Labelled, ParityReport, Robustness
from bctoolkit.bench.launcher import corruptions as suite
from bctoolkit.bench.launcher.sessions import predict
from bctoolkit.bundle import Bundle
from bctoolkit.data import Dataset
from bctoolkit.data.dataset import positions, stratified
from bctoolkit.progress import Progress

__all__ = ["Answered", "LabelledAnswers", "ask", "judge", "with_robustness"]

Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class LabelledAnswers:
    """What a bundle, and where it is known the reference, say of N labelled images."""

    hashes: NDArray[np.uint8]
    """N × 32: each image's content hash."""
    labels: NDArray[np.int64]
    """N positions in the bundle's labels."""
    observed: Probabilities
    """N × classes."""
    reference: Probabilities | None
    """None where the bundle knows none of these images."""
    sample: NDArray[np.int64] | None = None
    """M of the N, which went through the corruption suite; None where it was not asked for."""
    corrupted: NDArray[np.int16] | None = None
    """M × corruptions × severities: the class said of each."""


@dataclass(frozen=True)
class Answered:
    """All answers parity rests on: the raw truth of `ParityReport`."""

    golden: Probabilities
    labelled: LabelledAnswers | None

    def save(self, path: Path) -> None:
        """Write an `.npz`."""
        arrays: dict[str, NDArray[Any]] = {"golden": self.golden}
        if (known := self.labelled) is not None:
            arrays |= {"hashes": known.hashes, "labels": known.labels, "observed": known.observed}
            optional = {"reference": known.reference, "sample": known.sample, "corrupted": known.corrupted}
            arrays |= {name: array for name, array in optional.items() if array is not None}
        with path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def read(cls, path: Path) -> "Answered":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        golden = arrays.pop("golden")
        return cls(golden, LabelledAnswers(**{"reference": None} | arrays) if arrays else None)


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
