"""Whether a network is fed what it was trained on: judged by labelled images, before anything is exported.

Nothing in a file tells which scale its network wants, and fed another one it answers without a word. So it is asked as
it is to be exported, under every preset of scale, and with its outputs read in the order that suits them best.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data import Dataset
from bctoolkit.data.dataset import stratified
from bctoolkit.errors import ExportError
from bctoolkit.export.checks.ways import ORDERED, RISE, Feeding, Way, judge_way, likeliest, other_ways, rises
from bctoolkit.export.source import ModelData, ModelSource
from bctoolkit.lazy import require
from bctoolkit.progress import Progress
from bctoolkit.recipes import ExportRecipe
from bctoolkit.statistics.metrics import Probabilities, exact_interval

if TYPE_CHECKING:
    from bctoolkit.export.keras_graph.entry import Entry

__all__ = ["judge_feeding", "require_right_feeding"]

SAMPLES = (64, 192)
"""Labelled images, one of each class in turn: more where the first leave a doubt."""

CLEAR = 0.97
"""Accuracy from which on there is none: of 64 images, the 95 % interval then excludes 0.89."""

AT_CHANCE = 0.01
"""Level, one-sided, at which an accuracy is told from chance."""

BATCH = 32


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
        ExportError: accuracy rises by more than 10 points, beyond chance, under another preset, another order of
            colours or of the labels; or it is no better than chance, where a working network's would be, and nobody
            stated the labels.
    """
    if data is None:
        if recipe.input.scale is None and (source.adaptation is None or source.adaptation.scale == "none"):
            fact = f"{source.name} is fed values 0–255"
            progress.say(f"  {fact}; no labelled images tell whether it wants another --scale")
        return
    judge_feeding(source.name, _predictor(source, progress), source.network().entry, data.dataset, recipe, progress)


def judge_feeding(
    name: str,
    predict: Callable[[NDArray[np.uint8], Any], Probabilities],
    entry: Any,
    labelled: Dataset,
    recipe: ExportRecipe,
    progress: Progress,
) -> None:
    """As `require_right_feeding`, of anything that can be fed in several ways.

    Args:
        name: what a message calls it.
        predict: probabilities, N × classes, of images N × height × width × channels that are fed by an entry.
        entry: how it is fed: a dataclass with `scaling`, `reversed`, the `channels` it takes and those `eaten`.
        labelled: images; labels count in the order of the outputs.
        recipe: what was stated.
        progress: told what was assumed, and how right it is.
    """
    for count in SAMPLES:
        dataset = labelled.take(stratified(labelled, np.arange(len(labelled)), count))
        ask = partial(predict, dataset.images[:])
        first = Feeding({}, entry, ask(entry))
        exported = judge_way(first, dataset.labels)
        if exported.accuracy >= CLEAR:
            break
    ways = [] if exported.accuracy >= 1 - RISE else list(other_ways(first, ask, dataset))
    _judge(_Finding(name, exported, ways, dataset), recipe, progress)


def _predictor(source: ModelSource, progress: Progress) -> "Callable[[NDArray[np.uint8], Entry], Probabilities]":
    """What predicts images that are fed to the network by an entry."""
    from bctoolkit.networks.inference import predictor  # imports TensorFlow

    network = source.network()
    call = predictor(network.core, (*source.contract.shape[:2], network.entry.eaten))

    def predict(images: NDArray[np.uint8], entry: "Entry") -> Probabilities:
        batches = []
        for start in range(0, len(images), BATCH):
            progress.step("checking the scale", start, len(images))
            batches.append(call(entry.array(images[start : start + BATCH])))
        progress.step("checking the scale", len(images), len(images))
        return np.concatenate(batches)

    return predict


@dataclass(frozen=True)
class _Finding:
    """How right a network is as it is to be exported, and in the best other way."""

    name: str
    exported: Way
    others: list[Way]
    dataset: Dataset

    @property
    def best(self) -> Way | None:
        """The best way that is right more often, beyond chance; None where none is."""
        return likeliest([way for way in self.others if rises(self.exported, way)])

    def is_far_better(self, way: Way) -> bool:
        """Whether accuracy rises by more than 10 points."""
        return bool(way.accuracy - self.exported.right[way.judged].mean() > RISE)

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
    scale, labels = recipe.input.scale is not None, bool(recipe.output.labels)
    stated = {"--scale": scale, "--channels": scale or recipe.input.channels is not None, "--labels": labels}
    above, best, name = finding.above_chance, finding.best, finding.name
    if best is not None and (above or best.accuracy >= finding.works):
        message = f"{finding} as it is to be exported, on {best.accuracy:.1%} with {best}"
        if above and (not finding.is_far_better(best) or all(stated[option] for option in best.options)):
            progress.say(f"  warning: {name} is {message}; exported as it is")
            return
        as_it_is = f"--labels {shlex.quote(finding.order)}" if "--labels" in best.options else "--scale none"
        raise ExportError(f"{name}: {message}; give {best}" + (f", or {as_it_is} to keep it as it is" if above else ""))
    if finding.at_chance and not stated["--labels"]:
        at_best = "" if best is None else f"on {best.accuracy:.1%}, at best, with {best}: give that, or, "
        raise ExportError(
            f"{name}: {finding}, no better than chance ({finding.chance:.1%}); {at_best}where its outputs are in the "
            f"order {finding.order}, say so with --labels, else leave out --data and give --golden FOLDER"
        )
    if not above:
        why = f"no better than chance ({finding.chance:.1%})" if finding.at_chance else "too few to tell it from chance"
        progress.say(f"  warning: {name} is {finding}, {why}")
    elif not stated["--labels"]:
        progress.say(f"  labels: the folders by the alphabet, {finding.order}; in that order {finding}")
