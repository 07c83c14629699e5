"""Both phases of the shipped recipe `convnext_small` with the whole network, on real images, from Keras's weights."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit import networks
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, Parts, load
from bctoolkit.recipes import Phase, TrainRecipe, read_train_recipe
from bctoolkit.run import EpochRow
from bctoolkit.train.checkpoint import TrainingCheckpoint
from bctoolkit.train.fit import Training, fit
from bctoolkit.workspace import Workspace
from tests.support.progress import OnLine

pytestmark = [pytest.mark.soak, pytest.mark.real]

STEPS = 3
"""Of each phase; each is an epoch of its own, so that the history has every step's loss."""

PER_CLASS = 4
VALIDATION = 8
SIDE = 64
"""Pixels: the network has the same layers at any size."""

FOLLOWS = 0.005
"""Largest relative difference of a loss between the precisions; measured: 0.02–0.22 %, bfloat16 rounds by 0.2 %."""

Weights = dict[str, NDArray[np.float32]]


class Unsaved(TrainingCheckpoint):
    """Keeps no state: 200 MB a step say nothing here."""

    def save(self, *_: Any) -> None:
        pass


@dataclass
class Trained:
    """What a run of both phases left."""

    recipe: TrainRecipe
    states: list[Weights]
    """At the beginning, and after each phase."""
    history: list[EpochRow]


def weights(model: keras.Model) -> Weights:
    return {f"{layer.name}/{w.name}": np.array(w) for layer in model.layers for w in layer.weights}


def weights_file(folder: Path) -> Path:
    """As Keras saves the application, with every weight drawn so that it matters."""
    keras.utils.set_random_seed(0)
    application = keras.applications.ConvNeXtSmall(
        weights=None, include_top=False, input_shape=(SIDE, SIDE, 3), pooling="avg"
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
    return load(str(folder), InputContract(height=SIDE, width=SIDE))


def run(precision: str, file: Path, dataset: Dataset, folder: Path) -> Trained:
    short = (*(f"phases.{phase}.epochs={STEPS}" for phase in (0, 1)), "most_steps=1", "batch_size=8", "keep=last")
    same = ("dropout=0.0",)  # dropout drops other features in another precision
    size = (f"input.height={SIDE}", f"input.width={SIDE}")
    settings = (*short, *same, *size, f"precision={precision}", f"weights={file}")
    recipe = read_train_recipe(Workspace(folder).declared("training", "convnext_small"), settings)
    keras.utils.set_random_seed(recipe.seed)
    model = networks.build(recipe.model, len(dataset.classes), recipe.input.shape, policy=recipe.precision)
    networks.load_weights(model, recipe.weights)
    order = np.random.default_rng(0).permutation(len(dataset))
    parts = Parts(order[VALIDATION:], order[:VALIDATION], order[:0])
    states: list[Weights] = []
    watch = OnLine("phase ", lambda: states.append(weights(model)))
    history = fit(Training(model, dataset, parts, recipe, watch, Unsaved(folder)))
    return Trained(recipe, [*states, weights(model)], history)


@pytest.fixture(scope="module")
def trained(real_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """The run in a precision, from the same weights on the same images; each is made once."""
    folder = tmp_path_factory.mktemp("small")
    file, dataset = weights_file(folder), few(real_images, folder / "images")

    @cache
    def in_precision(precision: str) -> Trained:
        (folder / precision).mkdir()
        return run(precision, file, dataset, folder / precision)

    return in_precision


def unfrozen(names: Weights, phase: Phase) -> set[str]:
    """The weights that the recipe lets move in a phase."""
    stages = tuple(f"stage_{stage}_*" for stage in range(4 - phase.unfreeze_stages, 4))
    patterns = ("head_*", *phase.unfreeze, *stages)
    return {name for name in names if any(fnmatchcase(name.partition("/")[0], pattern) for pattern in patterns)}


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "float32"])
def test_each_phase_moves_what_the_recipe_unfreezes_and_nothing_else_by_one_bit(
    precision: str, trained: Callable[[str], Trained]
) -> None:
    run = trained(precision)
    for phase, (before, after) in zip(run.recipe.phases, pairwise(run.states), strict=True):
        moved = {name for name in before if before[name].tobytes() != after[name].tobytes()}
        assert moved == unfrozen(before, phase), phase.name
    head, tuned = (unfrozen(run.states[0], phase) for phase in run.recipe.phases)
    assert head < tuned < run.states[0].keys()


def test_the_losses_in_mixed_precision_follow_those_in_float32(trained: Callable[[str], Trained]) -> None:
    exact, mixed = (
        np.array([[row.loss, row.val_loss] for row in trained(precision).history])
        for precision in ("float32", "mixed_bfloat16")
    )
    assert exact.shape == mixed.shape == (2 * STEPS, 2)
    assert (exact != mixed).all()
    assert exact[-1, 1] < exact[0, 1] * (1 - 5 * FOLLOWS), "the validation loss must move far more than it may differ"
    np.testing.assert_allclose(mixed, exact, rtol=FOLLOWS)
