"""Both phases of the shipped recipe `convnext_small` at full size, on real images, from the application's weights."""

import shutil
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit import networks
from bctoolkit.data import Dataset, Parts, load
from bctoolkit.progress import Silent
from bctoolkit.recipes import Phase, TrainRecipe, read_train_recipe
from bctoolkit.train.fit import Training, fit
from bctoolkit.train.journal import Epoch, Journal
from bctoolkit.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.real]

STEPS = 4
"""Of each phase; each is an epoch of its own, so that the history has every step's loss."""

PER_CLASS = 8
VALIDATION = 8

FOLLOWS = 0.005
"""Largest relative difference of a loss between the precisions; found: 0.02–0.22 %, bfloat16 rounds by 0.2 %."""

Weights = dict[str, NDArray[np.float32]]


@dataclass
class Trained:
    """What a run of both phases left."""

    recipe: TrainRecipe
    states: list[Weights]
    """At the beginning, and after each phase."""
    history: list[Epoch]


class Watch(Silent):
    """Takes the weights whenever a phase begins."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.states: list[Weights] = []

    def say(self, line: str) -> None:
        if line.startswith("phase "):
            self.states.append(weights(self.model))


def weights(model: keras.Model) -> Weights:
    return {f"{layer.name}/{w.name}": np.array(w) for layer in model.layers for w in layer.weights}


def weights_file(folder: Path) -> Path:
    """As Keras saves the application, with every weight drawn so that it matters."""
    keras.utils.set_random_seed(0)
    application = keras.applications.ConvNeXtSmall(
        weights=None, include_top=False, input_shape=(96, 96, 3), pooling="avg"
    )
    rng = np.random.default_rng(0)
    for weight in application.weights:
        if "layer_scale" in weight.path:
            weight.assign(rng.normal(0.5, 0.1, weight.shape))
        elif weight.path.endswith(("gamma", "beta", "bias")):
            weight.assign(weight + rng.normal(0.0, 0.1, weight.shape))
    file = folder / "application.weights.h5"
    application.save_weights(file)
    return file


def few(real_images: Path, folder: Path) -> Dataset:
    """The first images of every class."""
    for source in sorted(path for path in real_images.iterdir() if path.is_dir()):
        (folder / source.name).mkdir(parents=True)
        for image in sorted(source.iterdir())[:PER_CLASS]:
            shutil.copy(image, folder / source.name)
    return load(str(folder), TrainRecipe(phases=(Phase("any", 1, 1e-3),)).input)


def run(precision: str, file: Path, dataset: Dataset, folder: Path) -> Trained:
    short = (*(f"phases.{phase}.epochs={STEPS}" for phase in (0, 1)), "most_steps=1", "batch_size=8", "keep=last")
    same = ("dropout=0.0",)  # dropout drops other features in another precision
    settings = (*short, *same, f"precision={precision}", f"weights={file}")
    recipe = read_train_recipe(Workspace(folder).declared("training", "convnext_small"), settings)
    keras.utils.set_random_seed(recipe.seed)
    model = networks.build(recipe.model, len(dataset.classes), policy=recipe.precision)
    networks.load_weights(model, recipe.weights)
    order = np.random.default_rng(0).permutation(len(dataset))
    parts = Parts(order[VALIDATION:], order[:VALIDATION], order[:0])
    watch = Watch(model)
    history = fit(Training(model, dataset, parts, recipe, watch, Journal(folder)))
    return Trained(recipe, [*watch.states, weights(model)], history)


@pytest.fixture(scope="module")
def runs(real_images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    folder = tmp_path_factory.mktemp("small")
    file, dataset = weights_file(folder), few(real_images, folder / "images")
    trained = {}
    for precision in ("float32", "mixed_bfloat16"):
        (folder / precision).mkdir()
        trained[precision] = run(precision, file, dataset, folder / precision)
        (folder / precision / "state.npz").unlink()
    return trained


def unfrozen(names: Weights, phase: Phase) -> set[str]:
    """The weights that the recipe lets move in a phase."""
    stages = tuple(f"stage_{stage}_*" for stage in range(4 - phase.unfreeze_stages, 4))
    patterns = ("head_*", *phase.unfreeze, *stages)
    return {name for name in names if any(fnmatchcase(name.partition("/")[0], pattern) for pattern in patterns)}


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_each_phase_moves_what_the_recipe_unfreezes_and_nothing_else_by_one_bit(
    precision: str, runs: dict[str, Trained]
) -> None:
    trained = runs[precision]
    for phase, (before, after) in zip(trained.recipe.phases, pairwise(trained.states), strict=True):
        moved = {name for name in before if before[name].tobytes() != after[name].tobytes()}
        assert moved == unfrozen(before, phase), phase.name
    head, tuned = (unfrozen(trained.states[0], phase) for phase in trained.recipe.phases)
    assert head < tuned < trained.states[0].keys()


def test_the_losses_in_mixed_precision_follow_those_in_float32(runs: dict[str, Trained]) -> None:
    exact, mixed = (
        np.array([[row["loss"], row["val_loss"]] for row in runs[precision].history])
        for precision in ("float32", "mixed_bfloat16")
    )
    assert exact.shape == mixed.shape == (2 * STEPS, 2)
    assert (exact != mixed).all()
    assert exact[-1, 1] < exact[0, 1] * (1 - 5 * FOLLOWS), "the validation loss must move far more than it may differ"
    np.testing.assert_allclose(mixed, exact, rtol=FOLLOWS)
