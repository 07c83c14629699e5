"""The layers that are ours."""

import keras
import numpy as np
import pytest

from bctoolkit.networks import LayerScale, StochasticDepth


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


@pytest.mark.parametrize("layer", [LayerScale(0.25, name="a"), StochasticDepth(0.3, seed=7, name="b")])
def test_a_layer_is_rebuilt_from_its_config(layer: keras.layers.Layer) -> None:
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
