"""Run a recipe's phases over a network."""

import math
import time
from fnmatch import fnmatchcase
from typing import Any

import keras
import tensorflow as tf

from bctoolkit.data import Dataset, Parts
from bctoolkit.errors import RecipeError
from bctoolkit.progress import Progress
from bctoolkit.recipes import Phase, TrainRecipe
from bctoolkit.train.pipeline import evaluation_batches, steps_per_epoch, training_batches

__all__ = ["Epoch", "fit", "unfreeze"]

Epoch = dict[str, Any]
"""One row of the history: phase, epoch, seconds, learning_rate, loss, accuracy, val_loss, val_accuracy."""

UNDECAYED = ("bias", "gamma", "beta")
"""Weight decay pulls kernels only (He et al. 2019, arXiv:1812.01187, section 3.1)."""


def fit(
    model: keras.Model, dataset: Dataset, parts: Parts, recipe: TrainRecipe, policy: str, progress: Progress
) -> list[Epoch]:
    """Train `model` in place, phase after phase.

    Args:
        model: a network of `bctoolkit.networks.build`.
        dataset: all images.
        parts: which of them are for training and validation.
        recipe: phases, rates and augmentation.
        policy: the dtype policy the network was built with; float16 gets loss scaling.
        progress: told each step and each epoch.

    Returns:
        One row per epoch.

    Raises:
        RecipeError: an `unfreeze` pattern that names no layer, or a loss that is no longer finite.
    """
    history: list[Epoch] = []
    validation = evaluation_batches(dataset, parts.validation, recipe.batch_size)
    steps = steps_per_epoch(len(parts.train), recipe)
    for phase in recipe.phases:
        moving = unfreeze(model, phase.unfreeze)
        progress.say(f"phase {phase.name}: {phase.epochs} epochs of {steps} steps, {moving:,} weights may move")
        model.compile(
            optimizer=_optimizer(phase, steps, recipe, policy),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
            metrics=["accuracy"],
            jit_compile="auto" if tf.config.list_physical_devices("GPU") else False,  # XLA slows this network on CPUs
            auto_scale_loss=False,
        )
        model.fit(
            training_batches(dataset, parts.train, recipe, first_epoch=len(history)),
            epochs=phase.epochs,
            steps_per_epoch=steps,
            validation_data=validation,
            shuffle=False,
            callbacks=[_Reporter(phase, steps, history, progress)],
            verbose=0,
        )
    return history


def unfreeze(model: keras.Model, patterns: tuple[str, ...]) -> int:
    """Let the head and the layers whose names match a pattern move, freeze the others; returns how many weights move.

    Raises:
        RecipeError: a pattern matches no layer with weights.
    """
    weighted = [layer for layer in model.layers if layer.weights]
    for pattern in patterns:
        if not any(fnmatchcase(layer.name, pattern) for layer in weighted):
            raise RecipeError(
                f"unfreeze pattern {pattern!r} matches no layer of {model.name}, e.g. {weighted[0].name!r}"
            )
    for layer in model.layers:
        layer.trainable = layer.name.startswith("head_") or any(fnmatchcase(layer.name, p) for p in patterns)
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def _optimizer(phase: Phase, steps: int, recipe: TrainRecipe, policy: str) -> Any:
    rate: Any = phase.learning_rate
    warmup = round(phase.warmup_epochs * steps)
    if phase.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            phase.learning_rate / 10 if warmup else phase.learning_rate,
            max(phase.epochs * steps - warmup, 1),
            alpha=0.01,
            warmup_target=phase.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=list(UNDECAYED))
    return keras.optimizers.LossScaleOptimizer(optimizer) if policy == "mixed_float16" else optimizer


class _Reporter(keras.callbacks.Callback):
    """Tell the progress of each step, keep each epoch's figures, stop at a loss that is not finite."""

    def __init__(self, phase: Phase, steps: int, history: list[Epoch], progress: Progress) -> None:
        super().__init__()
        self._phase, self._steps, self._history, self._progress = phase, steps, history, progress
        self._epoch, self._started = 0, 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch, self._started = epoch, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        figures = logs or {}
        if not math.isfinite(figures.get("loss", 0.0)):
            raise RecipeError(
                f"the loss is {figures['loss']} at phase {self._phase.name}, epoch {self._epoch + 1}, "
                f"step {batch + 1}; lower the phase's learning_rate or train in float32"
            )
        label = f"{self._phase.name} {self._epoch + 1}/{self._phase.epochs}"
        self._progress.step(label, batch + 1, self._steps, _words(figures, ("loss", "accuracy")))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        figures = {key: float(value) for key, value in (logs or {}).items()}
        seconds = time.perf_counter() - self._started
        row = {"phase": self._phase.name, "epoch": len(self._history) + 1, "seconds": round(seconds, 2)}
        self._history.append(row | {"learning_rate": float(self.model.optimizer.learning_rate)} | figures)
        words = _words(figures, ("loss", "accuracy", "val_loss", "val_accuracy"))
        self._progress.say(f"  {self._phase.name} {epoch + 1}/{self._phase.epochs}  {words}  {seconds:.0f} s")


def _words(figures: dict[str, float], names: tuple[str, ...]) -> str:
    return "  ".join(f"{name} {figures[name]:.4f}" for name in names if name in figures)
