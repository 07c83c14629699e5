"""Run a recipe's phases over a network."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit.data import Dataset, Parts
from bctoolkit.errors import RecipeError
from bctoolkit.progress import Progress
from bctoolkit.recipes import Phase, TrainRecipe
from bctoolkit.train.journal import Epoch, Journal, Place
from bctoolkit.train.optimizer import learning_rate, optimizer_for
from bctoolkit.train.pipeline import evaluation_batches, steps_per_epoch, told_of_images, training_batches
from bctoolkit.train.step import TrainStep, balanced, validate

__all__ = ["fit", "unfreeze"]

LAST_GOOD = "last_good.keras"

SAVE_SECONDS = 300.0
"""Training that is killed loses at most so much, or an epoch where that is shorter."""


@dataclass
class Training:
    """What all phases of a run share.

    Args:
        model: a network of `bctoolkit.networks.build`, trained in place.
        dataset: all images.
        parts: which of them are for training and validation.
        recipe: phases, rates and augmentation; its precision is the dtype policy the network was built with.
        progress: told each step and each epoch.
        journal: where the state is kept.
        teacher: the network to learn from, if the recipe distills.
    """

    model: keras.Model
    dataset: Dataset
    parts: Parts
    recipe: TrainRecipe
    progress: Progress
    journal: Journal
    teacher: keras.Model | None = None
    steps: int = field(init=False)

    def __post_init__(self) -> None:
        """Derive what the phases need."""
        self.steps = steps_per_epoch(len(self.parts.train), self.recipe)
        labels, classes = self.dataset.labels[self.parts.train], len(self.dataset.classes)
        even = np.ones(classes, np.float32)
        self.class_weights = balanced(labels, classes) if self.recipe.class_weights == "balanced" else even

    def first_step(self, place: Place) -> int:
        """The number of the next step, counted over all epochs of all phases."""
        epochs = sum(phase.epochs for phase in self.recipe.phases[: place.phase]) + place.epoch
        return epochs * self.steps + place.step


def fit(training: Training) -> list[Epoch]:
    """Train the model in place, phase after phase; goes on from the journal's state if there is one.

    Returns:
        One row per epoch.

    Raises:
        RecipeError: an `unfreeze` pattern that names no layer, a loss that is no longer finite, a full disk.
        DatasetError: an image on disk has gone, or is no longer what it was.
    """
    for phase in training.recipe.phases:
        unfreeze(training.model, phase)  # so that a wrong pattern is told before the first epoch, not hours later
    stored = training.journal.load()
    place, arrays = stored or (Place(), {})
    while place.phase < len(training.recipe.phases):
        stretch = _Stretch(training, training.recipe.phases[place.phase])
        stretch.restore(arrays)
        with told_of_images():
            place, arrays = stretch.run(place), {}
        place = msgspec.structs.replace(place, phase=place.phase + 1, epoch=0, best=None, stale=0)
    return list(place.history)


def unfreeze(model: keras.Model, phase: Phase) -> int:
    """Let the head and what the phase names move, freeze the rest; returns how many weights move.

    Raises:
        RecipeError: a pattern matches no layer with weights, or there are not so many stages.
    """
    weighted = [layer for layer in model.layers if layer.weights]
    for pattern in phase.unfreeze:
        if not any(fnmatchcase(layer.name, pattern) for layer in weighted):
            raise RecipeError(
                f"unfreeze pattern {pattern!r} matches no layer of {model.name}, e.g. {weighted[0].name!r}"
            )
    stages = sorted({layer.name.split("_block_")[0] for layer in weighted if "_block_" in layer.name})
    if phase.unfreeze_stages > len(stages):
        raise RecipeError(f"unfreeze_stages = {phase.unfreeze_stages}, but {model.name} has {len(stages)} stages")
    last = [f"{stage}_*" for stage in stages[len(stages) - phase.unfreeze_stages :]]
    patterns = ("head_*", *phase.unfreeze, *last)
    for layer in model.layers:
        layer.trainable = any(fnmatchcase(layer.name, pattern) for pattern in patterns)
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


class _Stretch:
    """One phase: its compiled step, its optimizer, and the best weights so far."""

    def __init__(self, training: Training, phase: Phase) -> None:
        self._training, self._phase = training, phase
        model, recipe = training.model, training.recipe
        moving = unfreeze(model, phase)
        training.progress.say(
            f"phase {phase.name}: {phase.epochs} epochs of {training.steps} steps, {moving:,} weights may move"
        )
        self._optimizer = optimizer_for(model, recipe)
        self._step = TrainStep(model, self._optimizer, recipe, training.class_weights, training.teacher)
        self._validate = validate(model)
        self._validation = evaluation_batches(training.dataset, training.parts.validation, recipe.batch_size)
        self._best: list[NDArray[Any]] = []
        self._saved = time.monotonic()

    def restore(self, arrays: dict[str, list[NDArray[Any]]]) -> None:
        """Put back what `_save` stored; nothing for an empty dictionary."""
        for group, variables in self._variables().items():
            for variable, value in zip(variables, arrays.get(group, []), strict=bool(arrays)):
                variable.assign(value)
        self._best = arrays.get("best", [])

    def run(self, place: Place) -> Place:
        """Train to the phase's end; the model then holds the weights that the recipe keeps."""
        training, phase = self._training, self._phase
        patience = training.recipe.early_stopping or phase.epochs
        if place.epoch < phase.epochs and place.stale < patience:
            images, index, first = training.dataset, training.parts.train, training.first_step(place)
            batches = iter(training_batches(images, index, training.recipe, first, phase.pipelines))
            while place.epoch < phase.epochs and place.stale < patience:
                place = self._end_epoch(self._epoch(place, batches))
                self._save(place)
        self._keep()
        return place

    def _epoch(self, place: Place, batches: Iterator[Any]) -> Place:
        """The remaining steps of an epoch."""
        training, phase = self._training, self._phase
        for step in range(place.step, training.steps):
            rate = learning_rate(phase, place.epoch * training.steps + step, training.steps)
            self._optimizer.learning_rate = rate
            began = time.perf_counter()
            images, labels = next(batches)
            ready = time.perf_counter()
            loss, correct = (float(figure) for figure in self._step.run(images, labels))
            if not math.isfinite(loss):
                raise self._not_finite("loss", loss, place.epoch, step + 1)
            place = msgspec.structs.replace(
                place,
                step=step + 1,
                loss=place.loss + loss * len(images),
                correct=place.correct + correct,
                images=place.images + len(images),
                seconds=place.seconds + time.perf_counter() - began,
                waiting_seconds=place.waiting_seconds + ready - began,
            )
            label = f"{phase.name} {place.epoch + 1}/{phase.epochs}"
            words = f"loss {place.loss / place.images:.4f}  accuracy {place.correct / place.images:.4f}"
            training.progress.step(label, step + 1, training.steps, words)
            if time.monotonic() - self._saved > SAVE_SECONDS:
                self._save(place)
        return place

    def _end_epoch(self, place: Place) -> Place:
        """Validate, write the epoch's row, and remember the weights if they are the best."""
        training, phase = self._training, self._phase
        with self._averaged():
            loss, accuracy = self._validate(self._validation)
            if not math.isfinite(loss):
                raise self._not_finite("validation loss", loss, place.epoch, training.steps)
            score = (accuracy, -loss)
            better = place.best is None or score > place.best
            if better and training.recipe.keep == "best":
                self._best = [np.asarray(weight) for weight in training.model.trainable_variables]
        row = {
            "phase": phase.name,
            "epoch": len(place.history) + 1,
            "seconds": round(place.seconds, 2),
            "waiting_share": round(place.waiting_seconds / max(place.seconds, 1e-9), 4),
            "learning_rate": float(self._optimizer.learning_rate),
            "loss": place.loss / place.images,
            "accuracy": place.correct / place.images,
            "val_loss": loss,
            "val_accuracy": accuracy,
        }
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        words = "  ".join(f"{name} {row[name]:.4f}" for name in names)
        training.progress.say(
            f"  {phase.name} {place.epoch + 1}/{phase.epochs}  {words}  {place.seconds:.0f} s, "
            f"{row['waiting_share']:.1%} waiting for data"
        )
        history = (*place.history, row)
        training.journal.log(history)
        return Place(
            phase=place.phase,
            epoch=place.epoch + 1,
            best=score if better else place.best,
            stale=0 if better else place.stale + 1,
            history=history,
        )

    def _keep(self) -> None:
        """Leave the best weights in the model, or the last ones, averaged where the recipe averages."""
        if self._best:
            for weight, value in zip(self._training.model.trainable_variables, self._best, strict=True):
                weight.assign(value)
        else:
            for weight, average in self._step.averaged():
                weight.assign(average)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the moving average into the model for a while, if there is one."""
        pairs = self._step.averaged()
        own = [np.asarray(weight) for weight, _ in pairs]
        for weight, average in pairs:
            weight.assign(average)
        try:
            yield
        finally:
            for (weight, _), value in zip(pairs, own, strict=True):
                weight.assign(value)

    def _variables(self) -> dict[str, list[Any]]:
        """Everything besides the data and the place that decides how training goes on."""
        return {
            "model": self._training.model.variables,
            "optimizer": self._optimizer.variables,
            "average": self._step.average,
        }

    def _save(self, place: Place) -> None:
        """Store the state, unless the weights are no numbers any more, which the next loss will tell."""
        arrays = {group: [np.asarray(v) for v in variables] for group, variables in self._variables().items()}
        if all(np.isfinite(array).all() for array in arrays["model"]):
            self._training.journal.save(place, arrays | {"best": self._best})
        self._saved = time.monotonic()

    def _not_finite(self, name: str, loss: float, epoch: int, step: int) -> RecipeError:
        """The error of a loss that is NaN or infinite; the last good weights are put where they can be used."""
        training = self._training
        stored = training.journal.load()
        if stored is None:
            kept = "nothing good was learned yet"
        else:
            for weight, value in zip(training.model.variables, stored[1]["model"], strict=True):
                weight.assign(value)  # the optimizer's state may be that of an earlier phase
            training.model.save(training.journal.folder / LAST_GOOD)
            kept = f"the last good weights are {training.journal.folder / LAST_GOOD}; use them with --weights"
        return RecipeError(
            f"the {name} is {loss} at phase {self._phase.name}, epoch {epoch + 1}, step {step}; lower the "
            f"phase's learning_rate, set clip_norm, or train in float32; {kept}"
        )
