"""The phases of a recipe over a network."""

import keras
import numpy as np
import pytest

from bctoolkit import networks
from bctoolkit.data import Dataset, Parts
from bctoolkit.errors import RecipeError
from bctoolkit.progress import Silent
from bctoolkit.recipes import Phase, TrainRecipe
from bctoolkit.train.fit import fit, unfreeze


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 2
    images = (
        rng.integers(0, 128, (24, 32, 32, 3), dtype=np.uint8) + (labels * 100).astype(np.uint8)[:, None, None, None]
    )
    return Dataset(images, labels, ("dark", "light"), rng.integers(0, 256, (24, 32), dtype=np.uint8), "shades")


PARTS = Parts(np.arange(16), np.arange(16, 20), np.arange(20, 24))


def weights(model: keras.Model) -> dict[str, list[np.ndarray]]:
    return {layer.name: [w.copy() for w in layer.get_weights()] for layer in model.layers if layer.get_weights()}


def moved(before: dict[str, list[np.ndarray]], after: dict[str, list[np.ndarray]]) -> set[str]:
    return {name for name in before if any((a != b).any() for a, b in zip(before[name], after[name], strict=True))}


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_frozen_layers_do_not_move_by_one_bit_and_the_others_do(dataset: Dataset, policy: str) -> None:
    keras.utils.set_random_seed(0)
    model = networks.build("convnext_atto", 2, (32, 32, 3), layer_scale=1.0, policy=policy)
    start = weights(model)
    head = Phase("head", 1, 1e-3)
    fit(model, dataset, PARTS, TrainRecipe(phases=(head,), batch_size=8), policy, Silent())
    after_head = weights(model)
    assert moved(start, after_head) == {"head_norm", "head_logits"}
    epochs = 6 if policy == "mixed_float16" else 1  # loss scaling skips the first steps until the scale fits
    tune = Phase("tune", epochs, 1e-3, ("*_depthwise", "stage_3_*"))
    fit(model, dataset, PARTS, TrainRecipe(phases=(tune,), batch_size=8), policy, Silent())
    expected = {name for name in start if name.endswith("_depthwise") or name.startswith(("stage_3_", "head_"))}
    assert moved(after_head, weights(model)) == expected


def test_the_history_has_a_row_per_epoch_over_all_phases(dataset: Dataset) -> None:
    model = networks.build("baseline_cnn", 2, (32, 32, 3))
    phases = (Phase("one", 2, 1e-3, ("*",)), Phase("two", 1, 1e-4, ("*",), schedule="constant"))
    history = fit(model, dataset, PARTS, TrainRecipe(phases=phases, batch_size=8), "float32", Silent())
    assert [(row["phase"], row["epoch"]) for row in history] == [("one", 1), ("one", 2), ("two", 3)]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"} <= set(history[0])
    assert history[1]["learning_rate"] < history[0]["learning_rate"] <= 1e-3
    assert history[2]["learning_rate"] == pytest.approx(1e-4)


def test_it_learns_what_can_be_learned(dataset: Dataset) -> None:
    keras.utils.set_random_seed(0)
    model = networks.build("baseline_cnn", 2, (32, 32, 3))
    recipe = TrainRecipe(phases=(Phase("all", 8, 1e-3, ("*",)),), batch_size=8)
    assert fit(model, dataset, PARTS, recipe, "float32", Silent())[-1]["val_accuracy"] == 1.0


def test_the_same_seed_gives_the_same_weights(dataset: Dataset) -> None:
    recipe = TrainRecipe(phases=(Phase("all", 2, 1e-3, ("*",)),), batch_size=8, seed=5)
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(recipe.seed)
        model = networks.build("baseline_cnn", 2, (32, 32, 3))
        fit(model, dataset, PARTS, recipe, "float32", Silent())
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_pattern_that_matches_no_layer_is_refused_with_a_name_that_exists() -> None:
    model = networks.build("baseline_cnn", 2, (32, 32, 3))
    with pytest.raises(RecipeError, match=r"unfreeze pattern 'stage_9_\*' matches no layer of baseline_cnn.*'conv_0'"):
        unfreeze(model, ("stage_9_*",))


def test_a_loss_that_is_not_a_number_stops_and_says_where(dataset: Dataset) -> None:
    model = networks.build("baseline_cnn", 2, (32, 32, 3))
    layer = model.get_layer("head_logits")
    layer.set_weights([w * np.nan for w in layer.get_weights()])
    recipe = TrainRecipe(phases=(Phase("all", 1, 1e-3, ("*",)),), batch_size=8)
    with pytest.raises(RecipeError, match=r"the loss is nan at phase all, epoch 1, step 1; lower"):
        fit(model, dataset, PARTS, recipe, "float32", Silent())
