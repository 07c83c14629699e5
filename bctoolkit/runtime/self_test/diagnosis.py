"""Why an engine's answers to golden images are not the reference's, as far as the answers and the machine tell."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents.formats import engine_for, engine_name
from bctoolkit.manifest import Manifest, Processor
from bctoolkit.runtime.info import ClassifierInfo
from bctoolkit.statistics.metrics import Probabilities
from bctoolkit.system import cpu_features

__all__ = ["CAUSES", "Cause", "diagnose"]

CAUSES = {
    "shape": "the answers have another shape than the labels",
    "not finite": "NaN or infinity among the probabilities",
    "no probabilities": "some values lie outside 0 to 1",
    "all zero": "every probability is zero",
    "constant": "every image gets the same answer",
    "labels": "the classes stand in another order than the labels",
    "engine": "it runs in another engine than it was sealed with",
    "provider": "it runs on something else than what it was sealed on",
    "engine version": "the engine's version is another one than when it was sealed",
    "cpu": "the CPU has other features than the one it was sealed on",
    "kernel": "a kernel of the engine is damaged, or unsuitable for this machine",
}
"""What may be behind a failed self-test. The first six show in the answers; of the next four it is only known that
they differ; the last is what remains."""

OF_THE_BUNDLE = ("shape", "labels")
"""What no machine can be blamed for."""

SAME = 1e-6
"""|Δp| below which two answers count as one."""
MOST_SHOWN = 3
"""Classes that are named."""


class Cause(NamedTuple):
    """A likely cause."""

    key: str
    """Of `CAUSES`."""
    words: str


def diagnose(
    reference: Probabilities, observed: NDArray[np.float32], limit: float, manifest: Manifest, here: ClassifierInfo
) -> tuple[Cause, ...]:
    """The likely causes of answers that are not the reference's: what they show, and what differs on this machine.

    Args:
        reference: N × classes.
        observed: the same, or of whatever shape the engine answers.
        limit: largest |Δp| that is no fault.
        manifest: of the bundle.
        here: what runs it here.
    """
    shown = list(_shown(reference, observed, limit, manifest.labels))[:1]
    if shown and shown[0].key in OF_THE_BUNDLE:
        return tuple(shown)
    return (*shown, *_differing(manifest, here)) or (Cause("kernel", CAUSES["kernel"]),)


def _shown(
    reference: Probabilities, observed: NDArray[np.float32], limit: float, labels: tuple[str, ...]
) -> Iterator[Cause]:
    """What the answers show by themselves, the surest first."""
    if observed.shape != reference.shape:
        yield Cause("shape", f"{CAUSES['shape']}: {observed.shape[1:]} for {len(labels)} labels")
        return
    if not np.isfinite(observed).all():
        yield Cause("not finite", CAUSES["not finite"])
        return
    if not observed.any():
        yield Cause("all zero", CAUSES["all zero"])
    if observed.min() < -limit or observed.max() > 1 + limit:
        words = f"{CAUSES['no probabilities']}: {observed.min():g} to {observed.max():g}"
        yield Cause("no probabilities", words)
    if np.ptp(observed, axis=0).max() <= SAME and np.ptp(reference, axis=0).max() > limit:
        yield Cause("constant", CAUSES["constant"])
    order = _order(reference, observed)
    if order is not None and np.abs(observed[:, order] - reference).max() <= limit:
        yield Cause("labels", f"{CAUSES['labels']}: {_moves(order, labels)}")


def _order(reference: Probabilities, observed: Probabilities) -> NDArray[np.intp] | None:
    """The outputs in the order of the labels, if the likeliest classes fit some other order than theirs.

    Classes that are likeliest in none of the images keep their place where it is free.
    """
    places: dict[int, int] = {}
    for right, told in zip(reference.argmax(1).tolist(), observed.argmax(1).tolist(), strict=True):
        if places.setdefault(right, told) != told:
            return None
    if len(set(places.values())) < len(places) or all(right == told for right, told in places.items()):
        return None
    classes = range(reference.shape[1])
    free = [output for output in classes if output not in places.values()]
    for label in (label for label in classes if label not in places and label in free):
        places[label] = label
        free.remove(label)
    rest = iter(free)
    return np.array([places[label] if label in places else next(rest) for label in classes])


def _moves(order: NDArray[np.intp], labels: tuple[str, ...]) -> str:
    moved = [f"{labels[told]!r} is {labels[right]!r}" for told, right in enumerate(np.argsort(order)) if told != right]
    return ", ".join(moved[:MOST_SHOWN]) + (" …" if len(moved) > MOST_SHOWN else "")


def _differing(manifest: Manifest, here: ClassifierInfo) -> Iterator[Cause]:
    """What is known to be otherwise here than where the bundle was sealed."""
    engine, sealed_with = engine_for(manifest.format, here.engine), engine_name(manifest.format)
    if here.engine not in (None, sealed_with):
        yield Cause("engine", f"{here.engine} here, {sealed_with} when it was sealed")
    if here.provider != engine.providers[0]:
        yield Cause("provider", f"{here.provider} here, {engine.providers[0]} when it was sealed")
    sealed = manifest.tools.get(engine.package)
    if sealed is not None and sealed != here.engine_version:
        yield Cause("engine version", f"{engine.package} {here.engine_version} here, {sealed} when it was sealed")
    if manifest.cpu is not None:
        yield from _other_features(manifest.cpu)


def _other_features(sealed: Processor) -> Iterator[Cause]:
    features = cpu_features()
    lost = [feature for feature in sealed.features if feature not in features]
    gained = [feature for feature in features if feature not in sealed.features]
    parts = [f"{verb} {', '.join(some)}" for verb, some in (("without", lost), ("with", gained)) if some]
    if features and sealed.features and parts:
        yield Cause("cpu", f"this CPU is {' and '.join(parts)}, unlike the one it was sealed on ({sealed.name})")
