"""Small Keras graphs to export."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

SIZE = 32


def shake(model: keras.Model) -> keras.Model:
    """Draw every weight anew, so that no factor is one and no offset zero."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            shake(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
        else:
            layer.set_weights([w + rng.normal(0.1, 0.1, w.shape) for w in layer.get_weights()])
    return model


@pytest.fixture(scope="session")
def images() -> NDArray[np.uint8]:
    """N × 32 × 32 × 3, values 0–255."""
    return np.random.default_rng(1).integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def graph() -> Callable[..., keras.Model]:
    """Build a model from layers in a row, with drawn weights; the input is an image."""

    def build(*stack: Any, shape: tuple[int, ...] = (SIZE, SIZE, 3)) -> keras.Model:
        inputs = keras.Input(shape, name="image")
        x = inputs
        for layer in stack:
            x = layer(x)
        return shake(keras.Model(inputs, x, name="graph"))

    return build


@pytest.fixture(scope="session")
def stock_convnext() -> keras.Model:
    """Keras's own ConvNeXt block structure, nested and with grouped convolutions, at a width that is quick."""
    from keras.src.applications.convnext import ConvNeXt

    base = ConvNeXt(
        depths=[1, 1, 2, 1],
        projection_dims=[16, 32, 48, 64],
        drop_path_rate=0.1,
        include_top=False,
        input_shape=(SIZE, SIZE, 3),
        pooling="avg",
        weights=None,
        name="convnext_mini",
    )
    inputs = keras.Input((SIZE, SIZE, 3))
    return shake(keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(base(inputs)), name="stock"))
