"""The layers that are ours."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bctoolkit.networks import Gelu, LayerScale, StochasticDepth


def test_layer_scale_multiplies_each_channel() -> None:
    layer = LayerScale(0.5)
    layer.build((None, 2, 3))
    layer.set_weights([np.array([1, 2, 3], np.float32)])
    np.testing.assert_array_equal(np.asarray(layer(np.ones((1, 2, 3), np.float32))), [[[1, 2, 3]] * 2])


def test_stochastic_depth_lets_everything_pass_at_inference() -> None:
    x = np.random.default_rng(0).random((8, 2, 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(StochasticDepth(0.9)(x, training=False)), x)


def test_stochastic_depth_drops_whole_images_and_keeps_the_mean() -> None:
    x = np.ones((4000, 2, 2, 1), np.float32)
    dropped = np.asarray(StochasticDepth(0.25, seed=1)(x, training=True)).reshape(4000, -1)
    assert set(np.unique(dropped)) == {0.0, np.float32(1 / 0.75)}
    assert (dropped.min(1) == dropped.max(1)).all()
    assert dropped.mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("layer", [LayerScale(0.25, name="a"), StochasticDepth(0.3, seed=7, name="b"), Gelu(name="c")])
def test_a_layer_is_rebuilt_from_its_config(layer: keras.layers.Layer) -> None:
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("bfloat16", 2**-8), ("float16", 2**-11)])
def test_gelu_in_training_is_exact_to_the_rounding_of_its_dtype(dtype: str, tolerance: float) -> None:
    x = tf.cast(tf.linspace(-9.0, 9.0, 6 * 5 * 50), dtype)
    x = tf.reshape(x, (6, 5, 50))
    dy = tf.cast(tf.random.stateless_normal(x.shape, (0, 0)), dtype)
    exact = tf.cast(x, tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, exact])
        activated, expected = Gelu(dtype=dtype)(x, training=True), tf.nn.gelu(exact, approximate=False)
    assert activated.dtype == x.dtype
    slopes = tape.gradient(activated, x, dy), tape.gradient(expected, exact, tf.cast(dy, tf.float64))
    for ours, true in ((activated, expected), slopes):
        np.testing.assert_allclose(np.asarray(tf.cast(ours, tf.float64)), true, rtol=tolerance, atol=tolerance)


def test_gelu_at_inference_is_keras_own_bit_by_bit() -> None:
    x = tf.random.stateless_normal((4, 7), (0, 1)) * 3
    np.testing.assert_array_equal(Gelu()(x), keras.activations.gelu(x))
