"""The ways to feed a network and to read its outputs, and how right it is in each on the same labelled images."""

import dataclasses
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data import Dataset
from bctoolkit.documents.preprocessing import PRESETS
from bctoolkit.lazy import require
from bctoolkit.statistics import metrics
from bctoolkit.statistics.metrics import Probabilities
from bctoolkit.statistics.paired import mcnemar

if TYPE_CHECKING:
    from bctoolkit.export.keras_graph.entry import Entry

__all__ = ["ORDERED", "RISE", "Feeding", "Way", "judge_way", "likeliest", "other_ways", "rises"]

RISE = 0.10
"""Of accuracy, from which on another way of feeding is the right one."""

BY_CHANCE = 1e-3
"""Probability, under no difference, of a rise that counts; there are twelve ways to compare at the most."""

ORDERED = 20
"""Classes up to which the order of the outputs is looked for, by halves of the images."""

ORDER_FITS = 0.8
"""Least accuracy of an order: outputs drawn by chance, read in the order that suits them, can be right on half."""

TINY = 1e-7
"""Least probability whose logarithm counts."""


@dataclass(frozen=True)
class Way:
    """A way to feed the network and to read its outputs."""

    options: dict[str, str]
    """Of the command line, with their values; none for the way that is to be exported."""
    right: NDArray[np.bool_]
    """Whether it is right on each of the images it is judged by."""
    likelihood: float
    """Mean logarithm of the probability of the true class: tells scales apart that are right equally often."""
    judged: NDArray[np.intp]
    """Which of the labelled images these are: those that it was not fitted to."""

    @property
    def accuracy(self) -> float:
        """Share of these images it is right on."""
        return float(self.right.mean())

    def __str__(self) -> str:
        return " ".join(f"{option} {shlex.quote(value)}" for option, value in self.options.items())


class Feeding(NamedTuple):
    """What the network says of the labelled images when it is fed in one way."""

    options: dict[str, str]
    entry: "Entry"
    probabilities: Probabilities


def other_ways(first: Feeding, ask: "Callable[[Entry], Probabilities]", dataset: Dataset) -> Iterator[Way]:
    """Every other preset, the most consistent one with its colours reversed, and each with its outputs reordered."""
    feedings = [first]
    for name, entry in _other_presets(first.entry):
        feedings.append(Feeding({"--scale": name}, entry, ask(entry)))
    best = max(feedings, key=lambda feeding: _consistency(feeding, dataset))
    if best.entry.channels == 3 and best.options.get("--scale") != "caffe":
        turned = dataclasses.replace(best.entry, reversed=not best.entry.reversed)
        if turned not in [feeding.entry for feeding in feedings]:
            colours = {"--channels": "bgr" if turned.reversed else "rgb"}
            feedings.append(Feeding(best.options | colours, turned, ask(turned)))
    yield from (judge_way(feeding, dataset.labels) for feeding in feedings[1:])
    yield from _reordered(feedings, dataset)


def _other_presets(entry: "Entry") -> "Iterator[tuple[str, Entry]]":
    """Name and entry of every preset that the network could take and is not fed by already."""
    for name, numbers in PRESETS.items():
        scaling = numbers.per_channel(entry.eaten)
        if scaling is None or (name == "caffe" and entry.channels != 3):
            continue
        other = dataclasses.replace(entry, scaling=scaling, reversed=entry.reversed or name == "caffe")
        if other != entry:
            yield name, other


def _consistency(feeding: Feeding, dataset: Dataset) -> float:
    """Share of the images that it is right on in the order of outputs that suits it best, whatever their labels say."""
    everyone = np.arange(len(dataset))
    counts = _counts(feeding, dataset.labels, everyone)
    return float(counts[_assigned(counts)].sum() / len(everyone))


def _counts(feeding: Feeding, labels: NDArray[np.int64], images: NDArray[np.intp]) -> NDArray[np.int64]:
    """Confusion matrix of some of the images."""
    return metrics.confusion(labels[images], feeding.probabilities[images])


def _assigned(counts: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Each class and the output of its own that names it most often (Kuhn 1955, Naval Research Logistics 2:83–97)."""
    assign: Any = require("scipy.optimize", "bench").linear_sum_assignment
    classes, outputs = assign(counts, maximize=True)
    return classes, outputs


def _reordered(feedings: list[Feeding], dataset: Dataset) -> Iterator[Way]:
    """Each way of feeding, its outputs read in the order that suits one half of the images, judged by the other."""
    labels, count = dataset.labels, len(dataset.classes)
    if count > ORDERED or np.bincount(labels, minlength=count).min() < 4:
        return
    turn = np.array([(labels[:i] == label).sum() for i, label in enumerate(labels)])
    fitted, judged = np.flatnonzero(turn % 2 == 0), np.flatnonzero(turn % 2 == 1)
    for feeding in feedings:
        _, output_of = _assigned(_counts(feeding, labels, fitted))
        order = np.argsort(output_of)
        names = {"--labels": ",".join(dataset.classes[i] for i in order)}
        reordered = feeding._replace(options=feeding.options | names, probabilities=feeding.probabilities[:, output_of])
        way = judge_way(reordered, labels, judged)
        if (order != np.arange(count)).any() and way.accuracy >= ORDER_FITS:
            yield way


def judge_way(feeding: Feeding, labels: NDArray[np.int64], judged: NDArray[np.intp] | None = None) -> Way:
    """A feeding, its probabilities in the order of the labels, as it is judged by some or all of the images."""
    judged = np.arange(len(labels)) if judged is None else judged
    probabilities, truth = feeding.probabilities[judged].astype(np.float64), labels[judged]
    right = probabilities.argmax(1) == truth
    shares = np.take_along_axis(probabilities, truth[:, None], 1)[:, 0] / np.maximum(probabilities.sum(1), TINY)
    return Way(feeding.options, right, float(np.log(np.maximum(shares, TINY)).mean()), judged)


def rises(exported: Way, way: Way) -> bool:
    """Whether a way is right more often than the exported one, beyond chance."""
    before = exported.right[way.judged]
    return bool(way.accuracy > before.mean() and mcnemar(before, way.right) < BY_CHANCE)


def likeliest(ways: list[Way]) -> Way | None:
    """The best of some ways: by likelihood among the most accurate ones, and in the labels' own order if that does."""
    plain = [way for way in ways if "--labels" not in way.options]
    reordered = [way for way in ways if "--labels" in way.options]
    ordered = max(reordered, key=lambda way: way.accuracy, default=None)
    most = max((way.accuracy for way in plain), default=0.0)
    if ordered is not None and ordered.accuracy > most + RISE:
        return ordered
    near = [way for way in plain if way.accuracy >= most - RISE]
    return max(near, key=lambda way: way.likelihood, default=ordered)
