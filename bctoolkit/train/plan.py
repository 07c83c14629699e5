"""What a recipe would do with a set of images: which weights it trains, and about how long it takes."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from bctoolkit.data import Dataset, Parts
from bctoolkit.progress import Progress
from bctoolkit.recipes import Phase, TrainRecipe
from bctoolkit.train.batches import evaluation_batches, steps_per_epoch, training_batches
from bctoolkit.train.fit import unfreeze
from bctoolkit.train.optimizer import optimizer_for
from bctoolkit.train.step import TrainStep, validate

__all__ = ["PhasePlan", "plan_phases"]

TIMED_STEPS = 3


class PhasePlan(NamedTuple):
    """One phase of a recipe, as it would run here."""

    name: str
    epochs: int
    steps: int
    """Steps of each epoch."""
    trainable: int
    """Trainable parameters."""
    seconds: float
    """Seconds of the whole phase, estimated from a few timed steps."""


def plan_phases(
    model: keras.Model,
    dataset: Dataset,
    parts: Parts,
    recipe: TrainRecipe,
    progress: Progress,
    teacher: keras.Model | None = None,
) -> list[PhasePlan]:
    """Time a few steps of each phase on real batches; the model's weights are not worth anything afterwards.

    Raises:
        RecipeError: an `unfreeze` pattern that names no layer.
    """
    return [_phase(phase, model, dataset, parts, recipe, progress, teacher) for phase in recipe.phases]


def _phase(
    phase: Phase,
    model: keras.Model,
    dataset: Dataset,
    parts: Parts,
    recipe: TrainRecipe,
    progress: Progress,
    teacher: keras.Model | None,
) -> PhasePlan:
    progress.step(f"timing phase {phase.name}", 0, 1)
    trainable = unfreeze(model, phase)
    equal = np.ones(len(dataset.classes), np.float32)
    shape = phase.shape(model.input_shape[1:])
    step = TrainStep(model, optimizer_for(model, recipe), recipe, equal, teacher, shape=shape)
    batches = iter(training_batches(dataset, parts.train, recipe, 0, one_of_share=phase.pipelines, shape=shape))
    training = _median_seconds(lambda: step.run(*next(batches))[0])
    batch = list(evaluation_batches(dataset, parts.validation, recipe.batch_size, shape).take(1))
    run_validation = validate(model, shape)
    validation = _median_seconds(lambda: run_validation(batch)[0]) * len(parts.validation) / len(batch[0][0])
    steps = steps_per_epoch(len(parts.train), recipe)
    return PhasePlan(phase.name, phase.epochs, steps, trainable, phase.epochs * (steps * training + validation))


def _median_seconds(call: Callable[[], Any]) -> float:
    """Median time of a call whose result is a number; the first call, which compiles, is left out."""
    float(call())
    times = []
    for _ in range(TIMED_STEPS):
        began = time.perf_counter()
        float(call())
        times.append(time.perf_counter() - began)
    return statistics.median(times)
