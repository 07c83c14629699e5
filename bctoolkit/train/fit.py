"""Run a recipe's phases over a network."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit.data import Dataset, Parts
from bctoolkit.errors import RecipeError
from bctoolkit.progress import Progress
from bctoolkit.recipes import Phase, Shape, TrainRecipe
from bctoolkit.run import EpochRow
from bctoolkit.train.batches import evaluation_batches, steps_per_epoch, training_batches, translate_image_errors
from bctoolkit.train.checkpoint import Arrays, TrainingCheckpoint, TrainingState
from bctoolkit.train.optimizer import learning_rate, optimizer_for
from bctoolkit.train.step import TrainStep, balanced, validate

__all__ = ["fit", "unfreeze"]

LAST_GOOD = "last_good.keras"

SAVE_SECONDS = 300.0
"""How often the state is saved: what is killed loses at most so much, or an epoch where that is shorter."""


@dataclass
class Training:
    """What all phases of a run share.

    Args:
        model: a network of `bctoolkit.networks.build`, trained in place.
        dataset: all images.
        parts: which of them are for training and validation.
        recipe: phases, rates and augmentation; its precision is the dtype policy the network was built with.
        progress: shown each step and each epoch.
        checkpoint: where the state is saved.
        teacher: the network to learn from, if the recipe distills.
    """

    model: keras.Model
    dataset: Dataset
    parts: Parts
    recipe: TrainRecipe
    progress: Progress
    checkpoint: TrainingCheckpoint
    teacher: keras.Model | None = None
    steps: int = field(init=False)
    """Of each epoch."""
    class_weights: NDArray[np.float32] = field(init=False)
    """One factor on the loss per class."""

    def __post_init__(self) -> None:
        """Derive what the phases need."""
        self.steps = steps_per_epoch(len(self.parts.train), self.recipe)
        labels, classes = self.dataset.labels[self.parts.train], len(self.dataset.classes)
        equal = np.ones(classes, np.float32)
        self.class_weights = balanced(labels, classes) if self.recipe.class_weights == "balanced" else equal

    def first_step(self, state: TrainingState) -> int:
        """The number of the next step, counted over all epochs of all phases."""
        epochs = sum(phase.epochs for phase in self.recipe.phases[: state.phase]) + state.epoch
        return epochs * self.steps + state.step


def fit(training: Training) -> list[EpochRow]:
    """Train the model in place, phase after phase; continues from the saved state if there is one.

    Returns:
        One row per epoch.

    Raises:
        RecipeError: an `unfreeze` pattern that names no layer, a loss that is no longer finite, a full disk.
        DatasetError: an image on disk has gone, or is no longer what it was.
    """
    for phase in training.recipe.phases:
        unfreeze(training.model, phase)  # so that a wrong pattern is refused before the first epoch, not hours later
    state, arrays = training.checkpoint.load() or (TrainingState(), {})

    @cache
    def validation(shape: Shape) -> Callable[[], tuple[float, float]]:
        """Compiled once for all phases of a shape."""
        batches = evaluation_batches(training.dataset, training.parts.validation, training.recipe.batch_size, shape)
        measure = validate(training.model, shape)
        return lambda: measure(batches)

    while state.phase < len(training.recipe.phases):
        runner = PhaseRunner(training, training.recipe.phases[state.phase], validation)
        runner.restore(arrays)
        with translate_image_errors():
            state, arrays = runner.run(state), {}
        state = TrainingState(phase=state.phase + 1, history=state.history)
    return list(state.history)


def unfreeze(model: keras.Model, phase: Phase) -> int:
    """Make the head and what the phase names trainable, freeze the rest; returns the number of trainable parameters.

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
    last_stages = [f"{stage}_*" for stage in stages[len(stages) - phase.unfreeze_stages :]]
    patterns = ("head_*", *phase.unfreeze, *last_stages)
    for layer in model.layers:
        layer.trainable = any(fnmatchcase(layer.name, pattern) for pattern in patterns)
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


class PhaseRunner:
    """One phase: its compiled step, its optimizer, and the best weights so far."""

    def __init__(
        self, training: Training, phase: Phase, validation: Callable[[Shape], Callable[[], tuple[float, float]]]
    ) -> None:
        self._training, self._phase = training, phase
        model, recipe = training.model, training.recipe
        trainable = unfreeze(model, phase)
        self._shape = height, width, _ = phase.shape(model.input_shape[1:])
        training.progress.say(
            f"phase {phase.name}: {phase.epochs} epochs of {training.steps} steps, {trainable:,} trainable parameters"
            + (f", images shrunk to {width}×{height}" if self._shape != model.input_shape[1:] else "")
        )
        self._optimizer = optimizer_for(model, recipe)
        self._step = TrainStep(
            model, self._optimizer, recipe, training.class_weights, training.teacher, shape=self._shape
        )
        self._validate = validation(self._shape)
        self._best: list[NDArray[Any]] = []
        self._saved = time.monotonic()

    def restore(self, arrays: Arrays) -> None:
        """Put back what `_save` stored; nothing for an empty dictionary."""
        for group, variables in self._variables().items():
            for variable, value in zip(variables, arrays.get(group, []), strict=bool(arrays)):
                variable.assign(value)
        self._best = arrays.get("best", [])

    def run(self, state: TrainingState) -> TrainingState:
        """Train to the phase's end; the model then holds the weights that the recipe keeps."""
        training, phase = self._training, self._phase
        if not self._is_over(state):
            first_step = training.first_step(state)
            batches = iter(
                training_batches(
                    training.dataset,
                    training.parts.train,
                    training.recipe,
                    first_step,
                    one_of_share=phase.pipelines,
                    shape=self._shape,
                )
            )
            while not self._is_over(state):
                state = self._end_epoch(self._epoch(state, batches))
                self._save(state)
        self._assign_final_weights()
        return state

    def _is_over(self, state: TrainingState) -> bool:
        """Whether all epochs are done, or early stopping ends the phase."""
        patience = self._training.recipe.early_stopping or self._phase.epochs
        return state.epoch >= self._phase.epochs or state.epochs_without_improvement >= patience

    def _epoch(self, state: TrainingState, batches: Iterator[Any]) -> TrainingState:
        """The remaining steps of an epoch."""
        training, phase = self._training, self._phase
        for step in range(state.step, training.steps):
            rate = learning_rate(phase, state.epoch * training.steps + step, training.steps)
            self._optimizer.learning_rate = rate
            began = time.perf_counter()
            images, labels = next(batches)
            ready = time.perf_counter()
            loss, correct = (float(figure) for figure in self._step.run(images, labels))
            if not math.isfinite(loss):
                raise self._not_finite("loss", loss, state.epoch, step + 1)
            state = msgspec.structs.replace(
                state,
                step=step + 1,
                loss=state.loss + loss * len(images),
                correct=state.correct + correct,
                images=state.images + len(images),
                seconds=state.seconds + time.perf_counter() - began,
                waiting_seconds=state.waiting_seconds + ready - began,
            )
            label = f"{phase.name} {state.epoch + 1}/{phase.epochs}"
            note = f"loss {state.loss / state.images:.4f}  accuracy {state.correct / state.images:.4f}"
            training.progress.step(label, step + 1, training.steps, note)
            if time.monotonic() - self._saved > SAVE_SECONDS:
                self._save(state)
        return state

    def _end_epoch(self, state: TrainingState) -> TrainingState:
        """Validate, write the epoch's row, and remember the weights if they are the best."""
        training, phase = self._training, self._phase
        with self._averaged():
            loss, accuracy = self._validate()
            if not math.isfinite(loss):
                raise self._not_finite("validation loss", loss, state.epoch, training.steps)
            score = (accuracy, -loss)
            improved = state.best is None or score > state.best
            if improved and training.recipe.keep == "best":
                self._best = [np.asarray(weight) for weight in training.model.trainable_variables]
        row = EpochRow(
            phase=phase.name,
            epoch=len(state.history) + 1,
            seconds=round(state.seconds, 2),
            waiting_share=round(state.waiting_seconds / max(state.seconds, 1e-9), 4),
            learning_rate=float(np.asarray(self._optimizer.learning_rate)),
            loss=state.loss / state.images,
            accuracy=state.correct / state.images,
            val_loss=loss,
            val_accuracy=accuracy,
        )
        training.progress.say(
            f"  {phase.name} {state.epoch + 1}/{phase.epochs}  loss {row.loss:.4f}  accuracy {row.accuracy:.4f}  "
            f"val_loss {row.val_loss:.4f}  val_accuracy {row.val_accuracy:.4f}  {state.seconds:.0f} s, "
            f"{row.waiting_share:.1%} waiting for data"
        )
        history = (*state.history, row)
        training.checkpoint.log(history)
        return TrainingState(
            phase=state.phase,
            epoch=state.epoch + 1,
            best=score if improved else state.best,
            epochs_without_improvement=0 if improved else state.epochs_without_improvement + 1,
            history=history,
        )

    def _assign_final_weights(self) -> None:
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
        current = [np.asarray(weight) for weight, _ in pairs]
        for weight, average in pairs:
            weight.assign(average)
        try:
            yield
        finally:
            for (weight, _), value in zip(pairs, current, strict=True):
                weight.assign(value)

    def _variables(self) -> dict[str, list[Any]]:
        """Everything besides the data and the position that decides how training continues."""
        return {
            "model": self._training.model.variables,
            "optimizer": self._optimizer.variables,
            "average": self._step.average,
        }

    def _save(self, state: TrainingState) -> None:
        """Save the state, unless a weight is not a number any more, which the next loss reports."""
        arrays = {group: [np.asarray(v) for v in variables] for group, variables in self._variables().items()}
        if all(np.isfinite(array).all() for array in arrays["model"]):
            self._training.checkpoint.save(state, arrays | {"best": self._best})
        self._saved = time.monotonic()

    def _not_finite(self, name: str, loss: float, epoch: int, step: int) -> RecipeError:
        """The error of a loss that is NaN or infinite; the last good weights are put where they can be used."""
        training = self._training
        stored = training.checkpoint.load()
        if stored is None:
            remedy = "nothing good was learned yet"
        else:
            for weight, value in zip(training.model.variables, stored[1]["model"], strict=True):
                weight.assign(value)  # the optimizer's state may be that of an earlier phase
            training.model.save(training.checkpoint.folder / LAST_GOOD)
            remedy = f"the last good weights are {training.checkpoint.folder / LAST_GOOD}; use them with --weights"
        return RecipeError(
            f"the {name} is {loss} at phase {self._phase.name}, epoch {epoch + 1}, step {step}; lower the "
            f"phase's learning_rate, set clip_norm, or train in float32; {remedy}"
        )
