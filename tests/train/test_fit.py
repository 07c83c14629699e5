"""The phases of a recipe over a network."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from bctoolkit import networks
from bctoolkit.data import Dataset
from bctoolkit.errors import DatasetError, RecipeError
from bctoolkit.recipes import Augment, Phase, TrainRecipe
from bctoolkit.train import fit as module
from bctoolkit.train.batches import evaluation_batches
from bctoolkit.train.fit import Training, fit, unfreeze
from bctoolkit.train.optimizer import optimizer_for
from bctoolkit.train.step import TrainStep, logits_of, validate
from tests.support.progress import OnLine

pytestmark = pytest.mark.slow

Start = Callable[..., Training]
PLAIN = Augment(flip=False, rotate90=False, brightness=0, contrast=0, saturation=0)


def network(name: str = "baseline_cnn", policy: str = "float32", seed: int = 0) -> Any:
    keras.utils.set_random_seed(seed)
    return networks.build(name, 2, (32, 32, 3), layer_scale=1.0, policy=policy)


def recipe(*phases: Phase, **values: Any) -> TrainRecipe:
    fields: dict[str, Any] = {"model": "baseline_cnn", "precision": "float32", "batch_size": 8} | values
    return TrainRecipe(phases=phases, **fields)


def everything(epochs: int = 1, rate: float = 1e-3, name: str = "all", **values: Any) -> Phase:
    return Phase(name, epochs, rate, ("*",), **values)


def weights(model: Any) -> dict[str, list[np.ndarray]]:
    return {layer.name: [w.copy() for w in layer.get_weights()] for layer in model.layers if layer.weights}


def moved(before: dict[str, list[np.ndarray]], after: dict[str, list[np.ndarray]]) -> set[str]:
    return {name for name in before if any((a != b).any() for a, b in zip(before[name], after[name], strict=True))}


def validated(training: Training) -> tuple[float, float]:
    batches = evaluation_batches(training.dataset, training.parts.validation, 8)
    loss_and_accuracy: tuple[float, float] = validate(training.model)(batches)
    return loss_and_accuracy


@pytest.mark.usefixtures("mini")
@pytest.mark.parametrize(
    "policy", ["float32", *(pytest.param(f"mixed_{half}", marks=pytest.mark.soak) for half in ("bfloat16", "float16"))]
)
def test_frozen_layers_of_a_convnext_do_not_move_by_one_bit_and_the_others_do(start: Start, policy: str) -> None:
    model = network("convnext_mini", policy)
    first = weights(model)
    head, tune = Phase("head", 1, 1e-3), Phase("tune", 1, 1e-3, ("*_depthwise",), unfreeze_stages=1)
    fit(start(model, recipe(head, precision=policy, keep="last"), name="a"))
    after_head = weights(model)
    assert moved(first, after_head) == {"head_norm", "head_logits"}
    fit(start(model, recipe(tune, precision=policy, batch_size=2, keep="last"), name="b"))
    expected = {name for name in first if name.endswith("_depthwise") or name.startswith(("stage_3_", "head_"))}
    assert moved(after_head, weights(model)) == expected


@pytest.mark.usefixtures("mini")
def test_a_phase_of_shrunk_images_trains_the_same_weights_and_validates_at_its_size(start: Start) -> None:
    keras.utils.set_random_seed(0)
    model = networks.build("convnext_mini", 2, (64, 64, 3), layer_scale=1.0)
    small = everything(1, scale=0.5, name="small")
    training = start(model, recipe(small, model="convnext_atto", keep="last"))
    pixels = training.dataset.images[:].repeat(2, axis=1).repeat(2, axis=2)
    doubled = replace(training, dataset=replace(training.dataset, images=pixels))
    before = weights(model)
    (row,) = fit(doubled)
    assert moved(before, weights(model)) == set(before)
    batches = evaluation_batches(doubled.dataset, doubled.parts.validation, 8, (32, 32, 3))
    assert (row.val_loss, row.val_accuracy) == pytest.approx(validate(model, (32, 32, 3))(batches), rel=1e-5)
    assert model.input_shape == (None, 64, 64, 3)
    same = networks.build("convnext_mini", 2, (32, 32, 3), layer_scale=1.0)
    same.set_weights(model.get_weights())
    images = training.dataset.images[:3].astype(np.float32)
    np.testing.assert_allclose(logits_of(model, (32, 32, 3))(images), logits_of(same)(images), rtol=1e-5, atol=1e-5)


def test_the_history_has_a_row_per_epoch_over_all_phases(start: Start) -> None:
    phases = (everything(2, name="one"), everything(1, 1e-4, name="two", schedule="constant"))
    history = fit(start(network(), recipe(*phases)))
    assert [(row.phase, row.epoch) for row in history] == [("one", 1), ("one", 2), ("two", 3)]
    assert history[1].learning_rate < history[0].learning_rate <= 1e-3
    assert history[2].learning_rate == pytest.approx(1e-4)
    assert all(0 <= row.waiting_share <= 1 and row.seconds > 0 for row in history)
    assert all(0 <= share <= 1 for row in history for share in (row.accuracy, row.val_accuracy))


def test_it_learns_what_can_be_learned(start: Start) -> None:
    history = fit(start(network(), recipe(everything(8), batch_size=4)))
    assert history[-1].val_accuracy == 1.0
    assert history[-1].loss < history[0].loss


def test_the_same_seed_gives_the_same_weights_and_another_others(start: Start) -> None:
    results = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        model = network()
        fit(start(model, recipe(everything(1), seed=seed), name=name))
        results.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    np.testing.assert_allclose(results[0], results[1], atol=1e-5)
    assert np.abs(results[0] - results[2]).max() > 1e-4


@pytest.mark.parametrize("ema", [0.0, 0.5])
@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_weights_kept_are_the_ones_that_gave_the_epoch_s_figures(start: Start, keep: Any, ema: float) -> None:
    """Of a network that gets worse: the rate rises from phase to nothing good."""
    phase = everything(4, 0.03, schedule="constant", warmup_epochs=4)
    training = start(network(), recipe(phase, keep=keep, ema=ema, augment=PLAIN, dropout=0.0))
    history = fit(training)
    scores = [(row.val_accuracy, -row.val_loss) for row in history]
    accuracy, negated = max(scores) if keep == "best" else scores[-1]
    assert validated(training) == pytest.approx((-negated, accuracy), rel=1e-4)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[tuple[float, float]]], None]:
    """Let validation say what is given: pairs of loss and accuracy."""

    def give(figures: list[tuple[float, float]]) -> None:
        remaining = iter(figures)
        monkeypatch.setattr(module, "validate", lambda model, shape: lambda batches: next(remaining))

    return give


def test_a_phase_ends_after_so_many_epochs_without_a_better_one_and_the_next_begins_anew(
    start: Start, scripted: Callable[[list[tuple[float, float]]], None]
) -> None:
    scripted([(0.5, 0.6), (0.6, 0.6), (0.4, 0.6), (0.4, 0.6), (0.3, 0.5), (9.0, 0.1), (8.0, 0.1), (7.0, 0.1)])
    phases = (everything(9, name="one"), everything(3, name="two"))
    history = fit(start(network(), recipe(*phases, early_stopping=2)))
    assert [row.phase for row in history] == ["one"] * 5 + ["two"] * 3


def test_the_best_epoch_is_the_most_accurate_and_among_equals_the_one_of_least_loss(
    start: Start, scripted: Callable[[list[tuple[float, float]]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted([(0.9, 0.5), (0.8, 0.5), (0.1, 0.4), (0.8, 0.5)])
    model, after = network(), []
    end_epoch = module.PhaseRunner._end_epoch

    def remember(self: Any, state: Any) -> Any:
        after.append(model.get_layer("hidden").get_weights()[0])
        return end_epoch(self, state)

    monkeypatch.setattr(module.PhaseRunner, "_end_epoch", remember)
    fit(start(model, recipe(everything(4))))
    np.testing.assert_array_equal(model.get_layer("hidden").get_weights()[0], after[1])


def test_names_and_stages_say_what_is_trained() -> None:
    model = network("convnext_atto")

    def trainable(phase: Phase) -> set[str]:
        count = unfreeze(model, phase)
        assert count == sum(int(np.prod(w.shape)) for w in model.trainable_weights)
        return {layer.name for layer in model.layers if layer.trainable_weights}

    names = {layer.name for layer in model.layers if layer.weights}
    head = {"head_norm", "head_logits"}
    assert trainable(Phase("a", 1, 1.0)) == head
    assert trainable(Phase("a", 1, 1.0, ("*",))) == names
    assert trainable(Phase("a", 1, 1.0, ("stem_*", "stage_0_block_1_norm"))) == {
        "stem_conv",
        "stem_norm",
        "stage_0_block_1_norm",
        *head,
    }
    assert (
        trainable(Phase("a", 1, 1.0, unfreeze_stages=2)) == {n for n in names if n[:7] in ("stage_2", "stage_3")} | head
    )
    assert trainable(Phase("a", 1, 1.0, unfreeze_stages=4)) == {n for n in names if n.startswith("stage_")} | head
    assert trainable(Phase("a", 1, 1.0)) == head


def test_a_pattern_that_matches_no_layer_is_refused_with_a_name_that_exists() -> None:
    with pytest.raises(RecipeError, match=r"unfreeze pattern 'stage_9_\*' matches no layer of baseline_cnn.*'conv_0'"):
        unfreeze(network(), Phase("a", 1, 1.0, ("stage_9_*",)))


def test_more_stages_than_there_are_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"unfreeze_stages = 5, but convnext_atto has 4 stages"):
        unfreeze(network("convnext_atto"), Phase("a", 1, 1.0, unfreeze_stages=5))
    with pytest.raises(RecipeError, match=r"unfreeze_stages = 1, but baseline_cnn has 0 stages"):
        unfreeze(network(), Phase("a", 1, 1.0, unfreeze_stages=1))


def test_a_wrong_pattern_of_the_last_phase_is_refused_before_the_first_begins(start: Start) -> None:
    model = network()
    before = weights(model)
    with pytest.raises(RecipeError, match="unfreeze pattern 'nowhere'"):
        fit(start(model, recipe(everything(1), Phase("two", 1, 1e-3, ("nowhere",)))))
    assert moved(before, weights(model)) == set()


def test_a_loss_that_is_not_a_number_at_once_says_where_and_that_nothing_was_learned(start: Start) -> None:
    model = network()
    layer = model.get_layer("head_logits")
    layer.set_weights([w * np.nan for w in layer.get_weights()])
    with pytest.raises(
        RecipeError, match=r"the loss is nan at phase all, epoch 1, step 1; lower .* nothing good was learned yet"
    ):
        fit(start(model, recipe(everything(1))))


def good_then(start: Start, rate: float, **values: Any) -> tuple[str, Training, list[np.ndarray]]:
    """A run whose second phase breaks: the message, the run, and the weights it had before that phase."""
    good: list[np.ndarray] = []
    watch = OnLine("phase two", lambda: good.extend(training.model.get_weights()))
    phases = (everything(1, name="one"), everything(2, rate, name="two", schedule="constant"))
    training = start(network(), recipe(*phases, keep="last", **values), watch)
    with pytest.raises(RecipeError) as caught:
        fit(training)
    return str(caught.value), training, good


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_after_a_loss_that_is_not_a_number_the_last_good_weights_can_be_used(start: Start, ema: float) -> None:
    message, training, good = good_then(start, 1e30, ema=ema)
    file = training.checkpoint.folder / "last_good.keras"
    assert "at phase two, epoch 1, step 2; lower the phase's learning_rate" in message
    assert message.endswith(f"the last good weights are {file}; use them with --weights")
    assert "\n" not in message
    stored = networks.load_model(file).get_weights()
    if not ema:  # with a moving average, the checkpoint holds the weights it was made of
        for weight, expected in zip(stored, good, strict=True):
            np.testing.assert_array_equal(weight, expected)
    assert all(np.isfinite(weight).all() for weight in stored)
    assert "layers of" in networks.load_weights(network(seed=3), str(file))


def test_weights_that_are_no_numbers_at_the_end_of_an_epoch_are_never_kept(start: Start) -> None:
    message, training, good = good_then(start, float("inf"), batch_size=16)
    assert "the validation loss is nan at phase two, epoch 1, step 1;" in message
    stored = networks.load_model(training.checkpoint.folder / "last_good.keras").get_weights()
    for weight, expected in zip(stored, good, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_weights_that_are_no_numbers_in_the_middle_of_an_epoch_are_never_saved(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAVE_SECONDS", -1.0)
    _, training, _ = good_then(start, float("inf"))
    state = training.checkpoint.load()
    assert state is not None
    assert all(np.isfinite(array).all() for array in state[1]["model"])


class Slow:
    """Images of which the first to be read take three seconds to come."""

    def __init__(self, images: Any) -> None:
        self._images, self._first = images, True
        self.shape, self.dtype = images.shape, images.dtype

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> Any:
        if self._first:
            self._first = False
            time.sleep(3)
        return self._images[index]


def test_time_spent_waiting_for_images_is_measured(start: Start) -> None:
    training = start(network(), recipe(everything(1), augment=PLAIN))
    dataset = replace(training.dataset, images=Slow(training.dataset.images))
    assert isinstance(dataset, Dataset)
    training.dataset = dataset
    (row,) = fit(training)
    assert row.waiting_share * row.seconds > 0.5  # tracing overlaps with the wait


class Vanishing(Slow):
    """Images that are gone from the fourth access on."""

    def __init__(self, images: Any) -> None:
        super().__init__(images)
        self._left = 3

    def __getitem__(self, index: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise DatasetError("set/left/7.png: cannot be read; is it gone?")
        return self._images[index]


def test_an_image_that_is_gone_is_one_line(start: Start) -> None:
    training = start(network(), recipe(everything(3), augment=PLAIN))
    training.dataset = replace(training.dataset, images=Vanishing(training.dataset.images))
    with pytest.raises(DatasetError, match=r"^set/left/7\.png: cannot be read; is it gone\?$"):
        fit(training)


def layers_of(model: Any) -> Iterator[str]:
    return (type(layer).__name__ for layer in model.layers)


def test_augmentation_never_enters_the_model(start: Start) -> None:
    model = network("convnext_atto")
    before = list(layers_of(model))
    assert set(before) <= {
        *("InputLayer", "Rescaling", "Conv2D", "LayerNormalization", "DepthwiseConv2D", "Dense", "Activation", "Add"),
        *("LayerScale", "Gelu", "GlobalAveragePooling2D", "Dropout"),
    }
    images = tf.random.stateless_uniform((4, 32, 32, 3), (0, 0)) * 255
    once, twice = np.asarray(model(images)), np.asarray(model(images))
    np.testing.assert_array_equal(once, twice)
    TrainStep(model, optimizer_for(model, recipe(everything(1))), recipe(everything(1)), np.ones(2, np.float32))
    assert list(layers_of(model)) == before
