"""One compiled step: its loss, its moving average, what it learns from a teacher."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from bctoolkit import networks
from bctoolkit.recipes import Distill, Phase, TrainRecipe
from bctoolkit.train.optimizer import optimizer_for
from bctoolkit.train.step import TrainStep, balanced, logits_of, validate

pytestmark = pytest.mark.slow

Array = NDArray[np.float32]
PHASES = (Phase("all", 1, 1e-3, ("*",)),)
EVEN = np.ones(3, np.float32)
SHAPE = (32, 32, 3)


def network(name: str = "baseline_cnn", policy: str = "float32", seed: int = 0) -> Any:
    keras.utils.set_random_seed(seed)
    return networks.build(name, 3, SHAPE, layer_scale=1.0, policy=policy)


def recipe(**values: Any) -> TrainRecipe:
    fields: dict[str, Any] = {"precision": "float32", "weight_decay": 0.0} | values
    return TrainRecipe(model="baseline_cnn", phases=PHASES, **fields)


def batch(count: int = 6) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *SHAPE)).astype(np.float32)
    return images, rng.dirichlet(np.ones(3), count).astype(np.float32)


def step_of(model: Any, chosen: TrainRecipe, weights: Array = EVEN, teacher: Any = None, rate: float = 0.0) -> Any:
    optimizer = optimizer_for(model, chosen)
    optimizer.learning_rate = rate
    return TrainStep(model, optimizer, chosen, weights, teacher)


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    result: NDArray[Any] = raised / raised.sum(1, keepdims=True)
    return result


def test_the_loss_is_keras_cross_entropy_with_label_smoothing_times_the_class_s_weight() -> None:
    model, (images, labels) = network(), batch()
    loss, correct = step_of(model, recipe(label_smoothing=0.1)).run(images, labels)
    predicted = np.asarray(model(images))
    reference = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)(labels, predicted)
    assert float(loss) == pytest.approx(float(reference), rel=1e-5)
    assert float(correct) == (predicted.argmax(1) == labels.argmax(1)).sum()
    weights = np.array([0.2, 1.0, 3.0], np.float32)
    weighted, _ = step_of(model, recipe(), weights).run(images, labels)
    each = -(labels * np.log(predicted)).sum(1)
    assert float(weighted) == pytest.approx((each * (labels @ weights)).mean(), rel=1e-4)


def test_l2_adds_the_kernels_squared_sum_of_what_may_move() -> None:
    model, (images, labels) = network(), batch()
    plain, _ = step_of(model, recipe()).run(images, labels)
    model.get_layer("conv_0").trainable = False
    with_l2, _ = step_of(model, recipe(l2=0.01)).run(images, labels)
    kernels = [layer.get_weights()[0] for layer in model.layers if layer.weights and layer.name != "conv_0"]
    expected = 0.01 * sum((kernel.astype(np.float64) ** 2).sum() for kernel in kernels)
    assert float(with_l2) - float(plain) == pytest.approx(expected, rel=1e-3)


def test_the_moving_average_is_that_of_the_weights_after_each_step() -> None:
    model, (images, labels) = network(), batch()
    average = [weight.astype(np.float64) for weight in model.get_weights()]
    step = step_of(model, recipe(ema=0.7), rate=1e-3)
    for done in range(1, 30):
        step.run(images, labels)
        share = 1 - min(0.7, (1 + done) / (10 + done))
        average = [a + share * (w - a) for a, w in zip(average, model.get_weights(), strict=True)]
    for (weight, own_average), expected in zip(step.averaged(), average, strict=True):
        np.testing.assert_allclose(np.asarray(own_average), expected, rtol=1e-4, atol=1e-6)
        assert (np.asarray(own_average) != np.asarray(weight)).any()


def test_without_a_momentum_there_is_no_moving_average() -> None:
    assert step_of(network(), recipe()).averaged() == []


def test_the_distilled_loss_is_hinton_s() -> None:
    model, teacher, (images, labels) = network(seed=0), network(seed=1), batch()
    teacher.trainable = False
    before = teacher.get_weights()
    chosen = recipe(label_smoothing=0.2, distill=Distill("x", weight=0.3, temperature=4.0))
    loss, _ = step_of(model, chosen, teacher=teacher, rate=1e-3).run(images, labels)
    logits, taught = (np.asarray(logits_of(m)(images), np.float64) for m in (network(seed=0), network(seed=1)))
    smooth = labels * 0.8 + 0.2 / 3
    hard = -(smooth * np.log(softmax(logits))).sum(1)
    soft = -16 * (softmax(taught / 4) * np.log(softmax(logits / 4))).sum(1)
    assert float(loss) == pytest.approx((0.7 * hard + 0.3 * soft).mean(), rel=1e-4)
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_what_is_frozen_does_not_move_by_one_bit_and_the_rest_does(policy: Any) -> None:
    model, (images, labels) = network(policy=policy), batch()
    model.get_layer("conv_0").trainable = model.get_layer("hidden").trainable = False
    before = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    step = step_of(model, recipe(precision=policy, weight_decay=0.1, l2=1e-3, ema=0.9), rate=1e-2)
    for _ in range(8):  # loss scaling may skip the first steps
        step.run(images, labels)
    for layer in model.layers:
        if layer.weights:
            same = [(old == new).all() for old, new in zip(before[layer.name], layer.get_weights(), strict=True)]
            assert all(same) == (layer.name in ("conv_0", "hidden")), layer.name
            assert all(weight.dtype == "float32" for weight in layer.weights)


def test_batches_of_any_size_need_one_compilation() -> None:
    model = network()
    step = step_of(model, recipe(), rate=1e-3)
    for count in (6, 1, 5):
        step.run(*batch(count))
    assert step.run.experimental_get_tracing_count() == 1


def test_validation_is_the_mean_over_all_images_whatever_the_batches() -> None:
    model, (images, labels) = network(), batch(7)
    whole = validate(model)([(tf.constant(images), tf.constant(labels))])
    parts = validate(model)([(tf.constant(images[a:b]), tf.constant(labels[a:b])) for a, b in ((0, 3), (3, 6), (6, 7))])
    assert parts == pytest.approx(whole, rel=1e-5)
    predicted = np.asarray(model(images))
    assert whole[0] == pytest.approx(-(labels * np.log(predicted)).sum(1).mean(), rel=1e-4)
    assert whole[1] == pytest.approx((predicted.argmax(1) == labels.argmax(1)).mean())


def test_balanced_weights_let_every_class_count_the_same() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    factors = balanced(labels, 3)
    np.testing.assert_allclose(factors, [100 / 180, 100 / 90, 100 / 30], rtol=1e-6)
    np.testing.assert_allclose(np.bincount(labels) * factors, 100 / 3, rtol=1e-6)
    assert factors[labels].mean() == pytest.approx(1)


def test_balanced_weights_of_a_class_without_images_are_finite() -> None:
    assert np.isfinite(balanced(np.array([0, 0, 2]), 3)).all()


@pytest.mark.soak
@pytest.mark.usefixtures("mini")
def test_in_mixed_bfloat16_the_loss_follows_that_of_float32() -> None:
    """Measured over 30 steps: at most 0.5 % apart."""
    rng = np.random.default_rng(0)
    hidden = np.arange(48) % 3
    images = rng.normal(110, 40, (48, *SHAPE)) + 30 * (hidden[:, None, None, None] == np.arange(3))
    images, labels = images.clip(0, 255).astype(np.float32), np.eye(3, dtype=np.float32)[hidden]
    losses = {}
    for policy in ("float32", "mixed_bfloat16"):
        model = network("convnext_mini", policy)
        step = step_of(model, recipe(precision=policy, label_smoothing=0.1, clip_norm=1.0), rate=3e-4)
        parts = [slice(16 * (i % 3), 16 * (i % 3) + 16) for i in range(30)]
        losses[policy] = np.array([float(step.run(images[part], labels[part])[0]) for part in parts])
    exact, mixed = losses["float32"], losses["mixed_bfloat16"]
    assert exact[-3:].mean() < 0.3 * exact[0]
    assert (exact != mixed).any()
    assert np.abs(mixed / exact - 1).max() <= 0.02
