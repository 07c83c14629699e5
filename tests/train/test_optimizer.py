"""The learning rate at each step, and the optimizer that uses it."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from bctoolkit import networks
from bctoolkit.recipes import Phase, TrainRecipe
from bctoolkit.train.optimizer import layer_rates, learning_rate, optimizer_for, orthogonal

PHASES = (Phase("all", 1, 1e-3, ("*",)),)


def recipe(**values: Any) -> TrainRecipe:
    return TrainRecipe(model="baseline_cnn", phases=PHASES, **({"precision": "float32"} | values))


def rates(phase: Phase, steps: int) -> np.ndarray:
    return np.array([learning_rate(phase, step, steps) for step in range(phase.epochs * steps)])


def test_a_constant_rate_stays() -> None:
    assert (rates(Phase("a", 3, 1e-3, schedule="constant"), 5) == 1e-3).all()


def test_a_cosine_falls_from_the_whole_rate_over_half_way_to_one_hundredth() -> None:
    phase = Phase("a", 4, 1e-2)
    curve = rates(phase, 25)
    assert curve[0] == 1e-2
    assert curve[50] == pytest.approx(1e-2 * (1 + 0.01) / 2)
    assert learning_rate(phase, 100, 25) == pytest.approx(1e-4)
    assert (np.diff(curve) < 0).all()
    middle = 1e-2 * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * 0.3)))
    assert curve[30] == pytest.approx(middle)


def test_an_exponential_falls_by_the_same_factor_each_step_to_one_hundredth() -> None:
    phase = Phase("a", 2, 1e-2, schedule="exponential")
    curve = rates(phase, 10)
    np.testing.assert_allclose(curve[1:] / curve[:-1], 0.01 ** (1 / 20))
    assert curve[0] == 1e-2
    assert learning_rate(phase, 20, 10) == pytest.approx(1e-4)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "exponential"])
def test_the_warm_up_rises_evenly_and_the_schedule_starts_where_it_ends(schedule: Any) -> None:
    phase = Phase("a", 3, 1.0, schedule=schedule, warmup_epochs=0.5)
    curve = rates(phase, 10)
    np.testing.assert_allclose(curve[:5], [0.2, 0.4, 0.6, 0.8, 1.0])
    assert curve[5] == 1.0
    assert learning_rate(phase, 30, 10) == pytest.approx(1.0 if schedule == "constant" else 0.01)


def test_a_warm_up_as_long_as_the_phase_is_all_there_is() -> None:
    np.testing.assert_allclose(rates(Phase("a", 1, 1.0, warmup_epochs=2), 4), [0.125, 0.25, 0.375, 0.5])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "exponential"])
def test_a_phase_may_end_before_the_rate_has_fallen(schedule: Any) -> None:
    whole = rates(Phase("a", 6, 1.0, schedule=schedule, warmup_epochs=1), 10)
    cut = rates(Phase("a", 4, 1.0, schedule=schedule, warmup_epochs=1, decay_epochs=6), 10)
    np.testing.assert_array_equal(cut, whole[:40])


def twins(**values: Any) -> tuple[Any, Any, Any, Any]:
    """Two equal networks, with our optimizer and with Keras's own of the same settings."""
    ours = networks.build("baseline_cnn", 2, (32, 32, 3))
    theirs = keras.models.clone_model(ours)
    theirs.set_weights(ours.get_weights())
    optimizer = optimizer_for(ours, recipe(**values))
    clip = values.get("clip_norm", 0.0) or None
    reference = keras.optimizers.AdamW(1e-3, weight_decay=values.get("weight_decay", 0.05), global_clipnorm=clip)
    reference.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return ours, theirs, optimizer, reference


def gradients(model: Any, seed: int, size: float = 1.0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [tf.constant(rng.normal(0, size, weight.shape), tf.float32) for weight in model.trainable_variables]


@pytest.mark.parametrize(
    "values", [{"weight_decay": 0.3}, {"weight_decay": 0.0}, {"weight_decay": 0.3, "clip_norm": 1.0}]
)
def test_it_takes_the_steps_of_keras_adamw(values: dict[str, float]) -> None:
    ours, theirs, optimizer, reference = twins(**values)
    for step in range(4):
        rate = 1e-3 / (step + 1)
        optimizer.learning_rate = rate
        reference.learning_rate = rate
        optimizer.apply(gradients(ours, step, 3.0), ours.trainable_variables)
        reference.apply(gradients(ours, step, 3.0), theirs.trainable_variables)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-7)  # a ten-thousandth of the smallest step


def test_without_gradients_kernels_decay_and_biases_stay() -> None:
    model = networks.build("baseline_cnn", 2, (32, 32, 3))
    for weight in model.trainable_variables:
        weight.assign(tf.ones(weight.shape))
    optimizer = optimizer_for(model, recipe(weight_decay=0.5))
    optimizer.learning_rate = 0.1
    optimizer.apply([tf.zeros(weight.shape) for weight in model.trainable_variables], model.trainable_variables)
    for weight in model.trainable_variables:
        expected = 1 - 0.1 * 0.5 if weight.name == "kernel" else 1.0
        np.testing.assert_allclose(np.asarray(weight), expected, rtol=1e-6)


def test_a_convnext_decays_its_kernels_only() -> None:
    model = networks.build("convnext_atto", 2, (32, 32, 3))
    for weight in model.trainable_variables:
        weight.assign(tf.ones(weight.shape))
    optimizer = optimizer_for(model, recipe(weight_decay=0.5))
    optimizer.learning_rate = 0.1
    optimizer.apply([tf.zeros(weight.shape) for weight in model.trainable_variables], model.trainable_variables)
    decayed = {weight.path for weight in model.trainable_variables if np.asarray(weight).max() < 1}
    assert decayed == {weight.path for weight in model.trainable_variables if weight.path.endswith("/kernel")}
    assert any("depthwise" in path for path in decayed)


def test_a_norm_limit_makes_all_gradients_smaller_by_one_factor() -> None:
    model = networks.build("baseline_cnn", 2, (32, 32, 3))
    given = gradients(model, 0, 5.0)
    norm = float(tf.linalg.global_norm(given))
    steps = []
    for limit, scale in ((0.5, 1.0), (0.0, 0.5 / norm)):
        keras.utils.set_random_seed(0)
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        optimizer = optimizer_for(copy, recipe(weight_decay=0.0, clip_norm=limit))
        optimizer.learning_rate = 1e-3
        optimizer.apply([gradient * scale for gradient in given], copy.trainable_variables)
        steps.append([a - b for a, b in zip(copy.get_weights(), model.get_weights(), strict=True)])
    for clipped, scaled in zip(*steps, strict=True):
        np.testing.assert_allclose(clipped, scaled, rtol=1e-3, atol=1e-8)


def test_rates_of_layers_fall_from_the_head_block_by_block() -> None:
    model = networks.build("convnext_atto", 2, (32, 32, 3))
    factors = layer_rates(model, 0.5)
    assert set(factors) == {layer.name for layer in model.layers if layer.weights}
    assert factors["head_logits"] == factors["head_norm"] == 1.0
    assert factors["stage_3_block_1_depthwise"] == factors["stage_3_block_1_scale"] == 0.5
    assert factors["stage_3_block_0_project"] == 0.25
    assert factors["stage_3_downsample_conv"] == factors["stage_3_downsample_norm"] == 0.125
    blocks, downsamplings = 2 + 2 + 6 + 2, 3
    assert factors["stem_conv"] == factors["stem_norm"] == 0.5 ** (blocks + downsamplings + 1)
    assert set(layer_rates(model, 1.0).values()) == {1.0}


def test_rates_of_layers_hold_for_a_network_without_blocks() -> None:
    factors = layer_rates(networks.build("baseline_cnn", 2, (32, 32, 3)), 0.1)
    np.testing.assert_allclose(
        [factors[name] for name in ("head_logits", "hidden", "conv_2", "conv_1", "conv_0")], [1, 0.1, 0.01, 1e-3, 1e-4]
    )


def test_steps_are_as_long_as_the_layer_s_rate_says() -> None:
    """Adam's first step is the rate times the gradient's sign."""
    model = networks.build("baseline_cnn", 2, (32, 32, 3))
    before = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    optimizer = optimizer_for(model, recipe(layer_decay=0.5, weight_decay=0.0))
    optimizer.learning_rate = 0.01
    optimizer.apply([tf.ones(weight.shape) for weight in model.trainable_variables], model.trainable_variables)
    for name, factor in layer_rates(model, 0.5).items():
        for old, new in zip(before[name], model.get_layer(name).get_weights(), strict=True):
            np.testing.assert_allclose(old - new, 0.01 * factor, rtol=1e-3)


def test_decay_follows_the_layer_s_rate_too() -> None:
    model = networks.build("baseline_cnn", 2, (32, 32, 3))
    for weight in model.trainable_variables:
        weight.assign(tf.ones(weight.shape))
    optimizer = optimizer_for(model, recipe(layer_decay=0.5, weight_decay=1.0))
    optimizer.learning_rate = 0.1
    optimizer.apply([tf.zeros(weight.shape) for weight in model.trainable_variables], model.trainable_variables)
    for name, factor in layer_rates(model, 0.5).items():
        np.testing.assert_allclose(model.get_layer(name).get_weights()[0], 1 - 0.1 * factor, rtol=1e-5)


def test_float16_gets_loss_scaling_that_skips_a_step_with_infinite_gradients() -> None:
    model = networks.build("baseline_cnn", 2, (32, 32, 3), policy="mixed_float16")
    optimizer = optimizer_for(model, recipe(precision="mixed_float16"))
    scale = float(optimizer.scale_loss(tf.constant(1.0)))
    assert scale > 1
    before = model.get_weights()
    broken = [gradient * np.inf for gradient in gradients(model, 0)]
    optimizer.apply(broken, model.trainable_variables)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert float(optimizer.scale_loss(tf.constant(1.0))) == scale / 2
    assert int(optimizer.iterations) == 0
    optimizer.apply(gradients(model, 0), model.trainable_variables)
    assert int(optimizer.iterations) == 1


def matrix(rows: int, columns: int, seed: int = 0, least: float = 0.05) -> np.ndarray:
    """A matrix whose singular values fall from 1 to `least`, in directions of no meaning."""
    rng = np.random.default_rng(seed)
    left, _, right = np.linalg.svd(rng.normal(size=(rows, columns)), full_matrices=False)
    return ((left * np.geomspace(1, least, len(right))) @ right).astype(np.float32)


@pytest.mark.parametrize("shape", [(40, 160), (160, 40), (64, 64), (1, 9), (9, 1)])
def test_a_matrix_becomes_nearly_the_orthogonal_one_nearest_to_it(shape: tuple[int, int]) -> None:
    given = matrix(*shape)
    left, _, right = np.linalg.svd(given, full_matrices=False)
    found = np.asarray(orthogonal(tf.constant(given)))
    values = np.diag(left.T @ found @ right.T)  # in the directions of the matrix given
    assert values.min() > 0.6
    assert values.max() < 1.25
    np.testing.assert_allclose((left * values) @ right, found, atol=1e-3)
    np.testing.assert_allclose(np.asarray(orthogonal(tf.constant(given * 1000))), found, atol=1e-4)
    assert np.isfinite(np.asarray(orthogonal(tf.zeros(shape)))).all()


def test_muon_takes_the_steps_of_keras_s() -> None:
    """Keras's treats kernels of two dimensions only, so convolutions are left out here."""
    ours, theirs = (networks.build("convnext_atto", 3, (32, 32, 3)) for _ in range(2))
    theirs.set_weights(ours.get_weights())
    optimizer = optimizer_for(ours, recipe(optimizer="muon", weight_decay=0.0))
    reference = keras.optimizers.Muon(1e-3, weight_decay=None, adam_weight_decay=None, exclude_layers=["head_logits"])
    for step in range(3):
        optimizer.learning_rate = reference.learning_rate = 1e-3 / (step + 1)
        optimizer.apply(gradients(ours, step), ours.trainable_variables)
        reference.apply(gradients(theirs, step), theirs.trainable_variables)
    for mine, other in zip(ours.trainable_variables, theirs.trainable_variables, strict=True):
        if "_conv/" not in mine.path:
            np.testing.assert_allclose(np.asarray(mine), np.asarray(other), atol=2e-6, err_msg=mine.path)


def test_muon_steps_evenly_in_matrices_and_as_adamw_elsewhere() -> None:
    model = networks.build("convnext_atto", 3, (32, 32, 3))
    given = gradients(model, 0)
    before = {weight.path: np.asarray(weight) for weight in model.trainable_variables}
    changes = {}
    for name in ("adamw", "muon"):
        copy = networks.build("convnext_atto", 3, (32, 32, 3))
        copy.set_weights(model.get_weights())
        optimizer = optimizer_for(copy, recipe(optimizer=name, weight_decay=0.1))
        optimizer.learning_rate = 1e-3
        for _ in range(2):
            optimizer.apply(given, copy.trainable_variables)
        changes[name] = {weight.path: np.asarray(weight) - before[weight.path] for weight in copy.trainable_variables}
    kernels = {path for path in before if path.endswith("kernel")}
    mixing = {path for path in kernels if not path.startswith("head") and "depthwise" not in path}
    assert len(mixing) == 2 * 12 + 4
    for path in set(before) - mixing:
        np.testing.assert_array_equal(changes["adamw"][path], changes["muon"][path])
    for path in mixing:
        step = changes["muon"][path].reshape(-1, changes["muon"][path].shape[-1])
        old = before[path].reshape(step.shape)
        step = step + old * (1 - (1 - 1e-3 * 0.1) ** 2)  # what decay took
        values = np.linalg.svd(step, compute_uv=False) / (2 * 1e-3 * 0.2 * max(step.shape) ** 0.5)
        assert np.median(values) == pytest.approx(0.9, abs=0.25)
        assert values.max() < 1.3


def test_muon_keeps_float16_s_loss_scaling_and_what_is_frozen_frozen() -> None:
    model = networks.build("convnext_atto", 2, (32, 32, 3), policy="mixed_float16")
    model.get_layer("stage_0_block_0_expand").trainable = False
    optimizer = optimizer_for(model, recipe(optimizer="muon", precision="mixed_float16"))
    frozen, trained = (np.asarray(model.get_layer(f"stage_0_block_{block}_expand").kernel) for block in (0, 1))
    before = model.get_weights()
    optimizer.apply([gradient * np.inf for gradient in gradients(model, 0)], model.trainable_variables)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    optimizer.apply(gradients(model, 0), model.trainable_variables)
    np.testing.assert_array_equal(np.asarray(model.get_layer("stage_0_block_0_expand").kernel), frozen)
    assert (np.asarray(model.get_layer("stage_0_block_1_expand").kernel) != trained).mean() > 0.9


def test_muon_learns_a_network_without_blocks_too() -> None:
    model = networks.build("baseline_cnn", 2, (32, 32, 3))
    optimizer = optimizer_for(model, recipe(optimizer="muon"))
    optimizer.learning_rate = 1e-3
    before = model.get_weights()
    optimizer.apply(gradients(model, 0), model.trainable_variables)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.isfinite(new).all()
        assert (old != new).any()
