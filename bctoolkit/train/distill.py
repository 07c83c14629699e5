"""The teacher of a distilled run."""

from pathlib import Path

import keras

from bctoolkit import networks, run
from bctoolkit.documents.networks import BASELINE
from bctoolkit.errors import RecipeError
from bctoolkit.recipes import TrainRecipe

__all__ = ["load_teacher"]


def load_teacher(recipe: TrainRecipe, runs: Path, classes: tuple[str, ...]) -> keras.Model | None:
    """The network a recipe learns from, frozen; None where it learns from labels alone.

    Args:
        recipe: names the teacher's run, by path or by its name in `runs`.
        runs: where finished runs lie.
        classes: of the images to train on.

    Raises:
        RecipeError: no such run, or it was made for other classes, another input, or images of one size only.
    """
    name = recipe.distill.teacher
    if not name:
        return None
    folder = next((path for path in (Path(name), runs / name) if (path / run.FACTS).is_file()), None)
    if folder is None:
        raise RecipeError(f"distill.teacher {name!r}: no finished run of that name in {runs}, nor a path to one")
    facts = run.read(folder)
    if facts.labels != classes:
        theirs, ours = ", ".join(facts.labels), ", ".join(classes)
        raise RecipeError(f"distill.teacher {name!r} knows the classes {theirs}; the images have {ours}")
    if facts.input != recipe.input:
        raise RecipeError(f"distill.teacher {name!r} was trained on {facts.input}; give the recipe the same input")
    if facts.model == BASELINE and recipe.shrinks:
        raise RecipeError(f"distill.teacher {name!r} is a {BASELINE}, which takes images of one size; leave out scale")
    teacher = networks.load_model(folder / run.MODEL)
    teacher.trainable = False
    return teacher
