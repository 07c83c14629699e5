"""`train`: recipe + images → run folder; `resume` continues one; `dry_run` and `preview` show what it would do.

All that can be refused without TensorFlow is refused before it is imported, which takes seconds.
"""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from bctoolkit import run
from bctoolkit.contract import decode
from bctoolkit.data import Dataset, Parts, load, split
from bctoolkit.data.groups import grouped
from bctoolkit.documents.networks import require_network
from bctoolkit.errors import RecipeError
from bctoolkit.files import in_use, unfinished
from bctoolkit.progress import Progress
from bctoolkit.recipes import TrainRecipe

if TYPE_CHECKING:
    from bctoolkit.train.plan import PhasePlan

__all__ = ["dry_run", "preview", "resume", "train"]

LOOKED_AT, SMALL_SQUARE = 32, 256
"""Of so many images the size is looked at; few microscopes give pictures that are squares of so few pixels."""


def train(recipe: TrainRecipe, source: str, target: Path, progress: Progress, devices: int = 1) -> run.TestMetrics:
    """Train a network and write the run folder `target`, all of it or nothing.

    Until it is finished, its state is kept in a hidden folder beside `target`, from which `resume` continues.

    Args:
        recipe: what to train and how.
        source: the images, as `bctoolkit.data.sources.load` takes them.
        target: the run's folder; its name becomes the run's.
        progress: shown how far it is.
        devices: how many GPUs of this machine divide each batch among them.

    Returns:
        The test part's figures.

    Raises:
        RecipeError: the folder exists, finished or not, another process trains it, or the recipe does not fit the
            network.
        DatasetError: the images cannot be used.
        WeightsError: the pre-trained weights cannot be had or do not fit.
    """
    if target.exists():
        raise RecipeError(f"the run {target} already exists; choose another --name")
    if unfinished(target).exists():
        with in_use(unfinished(target)):  # a run that is alive is not to be removed
            pass
        raise RecipeError(
            f"the run {target.name} is unfinished; continue with --resume --name {target.name}, "
            f"choose another --name, or remove {unfinished(target)}"
        )
    dataset, parts = _images(recipe, source, progress)
    figures: run.TestMetrics = _trainer(progress).train(recipe, source, dataset, parts, target, progress, devices)
    return figures


def resume(target: Path, progress: Progress, devices: int = 1) -> run.TestMetrics:
    """Continue the interrupted training of the run `target`; the result is that of training without a break.

    It may go on with another number of devices than it began with.

    Raises:
        RecipeError: there is no such unfinished run, or its images are not the same any more.
    """
    if target.exists() or not unfinished(target).is_dir():
        what = "is finished" if target.exists() else "was not started, or was interrupted before its first checkpoint"
        raise RecipeError(f"--resume: the run {target.name} {what}")
    trainer = _trainer(progress)
    checkpoint = trainer.TrainingCheckpoint(unfinished(target))
    with in_use(checkpoint.folder):
        recipe, start = checkpoint.start()
        dataset, parts = _images(recipe, start.source, progress)
        if dataset.sha256 != start.sha256:
            raise RecipeError(f"--resume: the images in {start.source} are not those the run was started with")
        figures: run.TestMetrics = trainer.resume(checkpoint, recipe, start, dataset, parts, target, progress, devices)
        return figures


def dry_run(recipe: TrainRecipe, source: str, runs: Path, progress: Progress) -> list["PhasePlan"]:
    """Say what `train` would do and how long it would take, from a few timed steps; nothing is written.

    Args:
        recipe: as for `train`.
        source: as for `train`.
        runs: where a teacher named by the recipe lies.
        progress: as for `train`.

    Returns:
        One plan per phase.
    """
    dataset, parts = _images(recipe, source, progress)
    plans: list[PhasePlan] = _trainer(progress).dry_run(recipe, dataset, parts, runs, progress)
    return plans


def preview(recipe: TrainRecipe, source: str, picture: Path, progress: Progress) -> None:
    """Write a PNG `picture` of what the network would see: images of each class, as they are and augmented.

    Args:
        recipe: as for `train`.
        source: as for `train`.
        picture: the file to write.
        progress: as for `train`.
    """
    dataset, _ = _images(recipe, source, progress)
    progress.step("starting TensorFlow", 0, 1)
    from bctoolkit.train.augmentation.preview import draw_preview

    draw_preview(picture, dataset, recipe)


def _images(recipe: TrainRecipe, source: str, progress: Progress) -> tuple[Dataset, Parts]:
    require_network(recipe.model)
    dataset = grouped(load(source, recipe.input, progress), recipe.split.group)
    parts = split(dataset, recipe.split, progress)
    progress.say(
        f"{len(dataset):,} {dataset.kind} images of {len(dataset.classes)} classes from {dataset.source}: "
        f"{len(parts.train):,} train, {len(parts.validation):,} validation, {len(parts.test):,} test"
    )
    _ask_for_scale(dataset, recipe, progress)
    return dataset, parts


def _ask_for_scale(dataset: Dataset, recipe: TrainRecipe, progress: Progress) -> None:
    """Say it where images look as if they had been cut out of pictures, and nothing tells a device how."""
    if recipe.input.picture is not None or dataset.files is None:
        return
    some = np.linspace(0, len(dataset) - 1, min(LOOKED_AT, len(dataset))).astype(int)
    sizes = {decode(dataset.files[row], recipe.input).shape[:2] for row in some}
    height, width = min(sizes)
    if len(sizes) == 1 and height == width <= SMALL_SQUARE:
        progress.say(
            f"the images have {width}×{height} pixels; if they were cut out of larger pictures, say how, so that a "
            'device does the same: --prepared "centre 200 of 360"'
        )


def _trainer(progress: Progress) -> ModuleType:
    """What needs TensorFlow."""
    progress.step("starting TensorFlow", 0, 1)
    from bctoolkit.train import trainer

    return trainer
