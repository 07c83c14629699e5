"""Whether a network is fed what it was trained on: judged by labelled images, before anything is exported.

Nothing in a file tells which scale its network wants, and fed another one it answers without a word. So it is asked as
it is to be exported, under every preset of scale, and with its outputs read in the order that suits them best.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data import Dataset
from bctoolkit.data.dataset import stratified
from bctoolkit.documents.preprocessing import PRESETS
from bctoolkit.errors import ExportError
from bctoolkit.export.source import ModelData, ModelSource
from bctoolkit.lazy import require
from bctoolkit.progress import Progress
from bctoolkit.recipes import ExportRecipe
from bctoolkit.statistics.metrics import exact_interval
from bctoolkit.statistics.paired import mcnemar

__all__ = ["require_right_decisions", "require_right_feeding", "sample"]

SAMPLE = 192
"""Labelled images at the most, one of each class in turn."""

RISE = 0.10
"""Of accuracy, from which on another way of feeding is the right one."""

BY_CHANCE = 1e-3
"""Probability, under no difference, of a rise that stops an export; there are ten ways to compare at the most."""

AT_CHANCE = 0.01
"""Level, one-sided, at which an accuracy is told from chance."""

ORDERED = 20
"""Classes up to which the order of the outputs is looked for, by halves of the images."""

ORDER_FITS = 0.8
"""Least accuracy of an order: outputs drawn by chance, read in the order that suits them, can be right on half."""

BATCH = 32

Decisions = NDArray[np.int64]


@dataclass(frozen=True)
class _Way:
    """A way to feed the network and to read its outputs."""

    options: dict[str, str]
    """Of the command line, with their values; none for the way that is to be exported."""
    right: NDArray[np.bool_]
    """Whether it is right on each of the images it is judged by."""
    judged: NDArray[np.intp]
    """Which of the labelled images these are: those that it was not fitted to."""

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    def __str__(self) -> str:
        return " ".join(f"{option} {value}" for option, value in self.options.items())


def require_right_feeding(
    source: ModelSource, data: ModelData | None, recipe: ExportRecipe, progress: Progress
) -> None:
    """Stop an export whose network is better by far when it is fed, or read, in another way.

    What the user stated, scale or labels, is only warned of, unless the network is no better than chance by it.

    Args:
        source: a bare model file; a run's network was measured when it was trained.
        data: labelled images; None where there are none, of which the user is told.
        recipe: what was stated.
        progress: told what was assumed, and how right it is.

    Raises:
        ExportError: accuracy rises by more than 10 points, beyond chance, under another preset or another order of the
            labels; or it is no better than chance, where a working network's would be, and nobody stated the labels.
    """
    if data is None:
        if recipe.input.scale is None and (source.adaptation is None or source.adaptation.scale == "none"):
            progress.say(
                f"  {source.name} is fed values 0–255; no labelled images tell whether it wants another --scale"
            )
        return
    dataset = sample(data)
    require_right_decisions(
        source.name, _decider(source, dataset, progress), source.network().entry, dataset, recipe, progress
    )


def sample(data: ModelData) -> Dataset:
    """The labelled images that a network's feeding is judged by, one of each class in turn."""
    return data.dataset.take(stratified(data.dataset, np.arange(len(data.dataset)), SAMPLE))


def require_right_decisions(
    name: str,
    decide: Callable[[Any], Decisions],
    entry: Any,
    dataset: Dataset,
    recipe: ExportRecipe,
    progress: Progress,
) -> None:
    """As `require_right_feeding`, of anything that can be fed in several ways.

    Args:
        name: what a message calls it.
        decide: what it takes each of the images for, fed as an entry says.
        entry: how it is fed: a dataclass with `scaling`, `reversed`, and the `channels` it takes and has `eaten`.
        dataset: labelled images.
        recipe: what was stated.
        progress: told what was assumed, and how right it is.
    """
    first = decide(entry)
    everyone = np.arange(len(dataset))
    exported = _Way({}, first == dataset.labels, everyone)
    best: _Way | None = None
    if exported.accuracy < 1 - RISE:
        decisions = {name: decide(other) for name, other in _other_presets(entry)}
        scaled = [_Way({"--scale": name}, each == dataset.labels, everyone) for name, each in decisions.items()]
        ways = (*scaled, *_reordered({"": first} | decisions, dataset))
        better = [way for way in ways if _rises(exported, way)]
        best = max(better, key=lambda way: way.accuracy - RISE * ("--labels" in way.options), default=None)
    _judge(_Finding(name, exported, best, dataset), recipe, progress)


def _decider(source: ModelSource, dataset: Dataset, progress: Progress) -> Callable[[Any], Decisions]:
    """What asks the network for the class of every image, fed by an entry."""
    from bctoolkit.networks.inference import predictor  # imports TensorFlow

    images = dataset.images[:]
    network = source.network()
    call = predictor(network.core, (*source.contract.shape[:2], network.entry.eaten))

    def decide(entry: Any) -> Decisions:
        batches = []
        for start in range(0, len(images), BATCH):
            progress.step("checking the scale", start, len(images))
            batches.append(call(entry.array(images[start : start + BATCH])).argmax(1))
        progress.step("checking the scale", len(images), len(images))
        return np.concatenate(batches)

    return decide


def _other_presets(entry: Any) -> Iterator[tuple[str, Any]]:
    """Name and entry of every preset that the network could take and is not fed by already."""
    for name, numbers in PRESETS.items():
        scaling = numbers.per_channel(entry.eaten)
        if scaling is None or (name == "caffe" and entry.channels != 3):
            continue
        other = dataclasses.replace(entry, scaling=scaling, reversed=entry.reversed or name == "caffe")
        if other != entry:
            yield name, other


def _reordered(decisions: dict[str, Decisions], dataset: Dataset) -> Iterator[_Way]:
    """Each way of feeding, its outputs read in the order that suits one half of the images, judged by the other."""
    labels, count = dataset.labels, len(dataset.classes)
    number = np.bincount(labels, minlength=count)
    if count > ORDERED or number.min() < 4:
        return
    turn = np.array([(labels[:i] == label).sum() for i, label in enumerate(labels)])
    fitted, judged = np.flatnonzero(turn % 2 == 0), np.flatnonzero(turn % 2 == 1)
    assign: Any = require("scipy.optimize", "bench").linear_sum_assignment
    for preset, decision in decisions.items():
        counts = np.zeros((count, count))
        np.add.at(counts, (decision[fitted], labels[fitted]), 1)
        order = assign(counts, maximize=True)[1]
        right = order[decision[judged]] == labels[judged]
        if (order != np.arange(count)).any() and right.mean() >= ORDER_FITS:
            options = {"--scale": preset} if preset else {}
            names = ",".join(dataset.classes[i] for i in order)
            yield _Way(options | {"--labels": names}, right, judged)


def _rises(exported: _Way, way: _Way) -> bool:
    """Whether a way is right more often than the exported one, by more than 10 points and beyond chance."""
    before = exported.right[way.judged]
    return bool(way.accuracy - before.mean() > RISE and mcnemar(before, way.right) < BY_CHANCE)


@dataclass(frozen=True)
class _Finding:
    """How right a network is as it is to be exported, and in the best other way."""

    name: str
    exported: _Way
    best: _Way | None
    """None where no way is better by far."""
    dataset: Dataset

    @property
    def chance(self) -> float:
        """Accuracy of naming the most frequent class always."""
        return float(np.bincount(self.dataset.labels).max() / len(self.dataset))

    @property
    def works(self) -> float:
        """Accuracy of a network that works: halfway from chance to perfect."""
        return (1 + self.chance) / 2

    @property
    def above_chance(self) -> bool:
        """Whether guessing would hardly ever be so right: exact, binomial."""
        right, count = int(self.exported.right.sum()), len(self.dataset)
        return bool(require("scipy.stats", "bench").binom.sf(right - 1, count, self.chance) < AT_CHANCE)

    @property
    def at_chance(self) -> bool:
        """Whether it is not above chance, and there are images enough to tell that it does not work either."""
        right, count = int(self.exported.right.sum()), len(self.dataset)
        return not self.above_chance and exact_interval(right, count, 1 - 2 * AT_CHANCE)[1] < self.works

    @property
    def order(self) -> str:
        """The labels as they are, as an option's value; the first of many."""
        names = self.dataset.classes
        return ",".join(names) if len(names) <= ORDERED else f"{','.join(names[:3])},… ({len(names):,})"

    def __str__(self) -> str:
        return f"right on {self.exported.accuracy:.1%} of {len(self.dataset)} labelled images"


def _judge(finding: _Finding, recipe: ExportRecipe, progress: Progress) -> None:
    """Stop, warn, or say what was assumed."""
    stated = {"--scale": recipe.input.scale is not None, "--labels": bool(recipe.output.labels)}
    above, best, name = finding.above_chance, finding.best, finding.name
    if best is not None and (above or best.accuracy >= finding.works):
        message = f"{finding} as it is to be exported, on {best.accuracy:.1%} with {best}"
        if above and all(stated[option] for option in best.options):
            progress.say(f"  warning: {name} is {message}; exported as stated")
            return
        as_it_is = "--scale none" if "--scale" in best.options else f"--labels {finding.order}"
        raise ExportError(f"{name}: {message}; give {best}" + (f", or {as_it_is} to keep it as it is" if above else ""))
    if finding.at_chance and not stated["--labels"]:
        at_best = "" if best is None else f" (at best {best.accuracy:.1%}, with {best})"
        raise ExportError(
            f"{name}: {finding}, no better than chance ({finding.chance:.1%}), whatever preset of --scale{at_best}; "
            f"if its outputs are in the order {finding.order}, say so with --labels, else leave out --data and give "
            "--golden FOLDER"
        )
    if not above:
        why = f"no better than chance ({finding.chance:.1%})" if finding.at_chance else "too few to tell it from chance"
        progress.say(f"  warning: {name} is {finding}, {why}")
    elif not stated["--labels"]:
        progress.say(f"  labels: the folders by the alphabet, {finding.order}; in that order {finding}")
