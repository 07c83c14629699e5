"""`train`: recipe + images → run folder; `resume` goes on with an interrupted one; `look` says what one would do.

All that can be refused without TensorFlow is refused before it is started, which takes seconds.
"""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from bctoolkit import run
from bctoolkit.data import Dataset, Parts, load, split
from bctoolkit.errors import RecipeError
from bctoolkit.files import unfinished
from bctoolkit.progress import Progress
from bctoolkit.recipes import TrainRecipe

if TYPE_CHECKING:
    from bctoolkit.train.plan import PhasePlan

__all__ = ["look", "resume", "train"]


def train(recipe: TrainRecipe, source: str, target: Path, progress: Progress) -> run.TestMetrics:
    """Train a network and write the run folder `target`, all of it or nothing.

    Until it is finished, its state is kept in a hidden folder beside `target`, from which `resume` goes on.

    Args:
        recipe: what to train and how.
        source: the images, as `bctoolkit.data.sources.load` takes them.
        target: the run's folder; its name becomes the run's.
        progress: told what goes on.

    Returns:
        The test part's figures.

    Raises:
        RecipeError: the folder exists, finished or not, or the recipe does not fit the network.
        DatasetError: the images cannot be used.
        WeightsError: the pre-trained weights cannot be had or do not fit.
    """
    if target.exists():
        raise RecipeError(f"the run {target} already exists; choose another --name")
    if unfinished(target).exists():
        raise RecipeError(
            f"the run {target.name} was begun and not finished; go on with --resume --name {target.name}, "
            f"choose another --name, or remove {unfinished(target)}"
        )
    dataset, parts = _images(recipe, source, progress)
    figures: run.TestMetrics = _stage(progress).train(recipe, source, dataset, parts, target, progress)
    return figures


def resume(target: Path, progress: Progress) -> run.TestMetrics:
    """Go on with the training that was to make `target`; the result is that of training without a break.

    Raises:
        RecipeError: no such training was begun, or its images are not the same any more.
    """
    if target.exists() or not unfinished(target).is_dir():
        what = "is finished" if target.exists() else "was not begun, or was interrupted before its first checkpoint"
        raise RecipeError(f"--resume: the run {target.name} {what}")
    stage = _stage(progress)
    journal = stage.Journal(unfinished(target))
    recipe, beginning = journal.beginning()
    dataset, parts = _images(recipe, beginning.source, progress)
    if dataset.sha256 != beginning.sha256:
        raise RecipeError(f"--resume: the images in {beginning.source} are not those the run was begun with")
    figures: run.TestMetrics = stage.resume(journal, recipe, beginning, dataset, parts, target, progress)
    return figures


def look(recipe: TrainRecipe, source: str, picture: Path | None, runs: Path, progress: Progress) -> list["PhasePlan"]:
    """Say what `train` would do, without training; nothing but `picture` is written.

    Args:
        recipe: as for `train`.
        source: as for `train`.
        picture: a PNG to write that shows what the network would see; instead of timing the phases.
        runs: where a teacher named by the recipe lies.
        progress: told what goes on.

    Returns:
        One plan per phase; empty with a picture.
    """
    dataset, parts = _images(recipe, source, progress)
    plans: list[PhasePlan] = _stage(progress).look(recipe, dataset, parts, picture, runs, progress)
    return plans


def _images(recipe: TrainRecipe, source: str, progress: Progress) -> tuple[Dataset, Parts]:
    dataset = load(source, recipe.input, progress)
    parts = split(dataset, recipe.split, progress)
    progress.say(
        f"{len(dataset):,} {dataset.kind} images of {len(dataset.classes)} classes from {dataset.source}: "
        f"{len(parts.train):,} train, {len(parts.validation):,} validation, {len(parts.test):,} test"
    )
    return dataset, parts


def _stage(progress: Progress) -> ModuleType:
    """What needs TensorFlow."""
    progress.step("starting TensorFlow", 0, 1)
    from bctoolkit.train import stage

    return stage
