"""The blocks that common classifiers are made of, and whole ones of `keras.applications`, in both formats."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import FORMATS, engine_for
from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.lazy import attribute
from perf.draw import draw, pictures

pytestmark = pytest.mark.slow

FORMAT = pytest.mark.parametrize("format_name", FORMATS)
LIMIT = 1e-4


def answers(model: keras.Model, format_name: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Those of the float32 artifact, image by image."""
    _, height, width, _ = model.input_shape
    contract = InputContract(height=height, width=width, dtype="float32")
    exporter = attribute(FORMATS[format_name].exporter)(fold(freeze(model)), ExportSettings(contract))
    backend = attribute(engine_for(format_name).backend)(exporter.convert("fp32", QuantizationSettings()), "cpu", 1)
    return np.concatenate([backend.run(images[i : i + 1].astype(np.float32)) for i in range(len(images))])


def in_float64(make: Callable[[], keras.Model], model: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the same network with the same weights answers where it computes in float64."""
    keras.config.set_dtype_policy("float64")
    try:
        wide = make()
    finally:
        keras.config.set_dtype_policy("float32")
    wide.set_weights(model.get_weights())
    return np.asarray(wide(images.astype(np.float64), training=False))


def assert_same(model: keras.Model, format_name: str, make: Callable[[], keras.Model] | None = None) -> None:
    """Within `LIMIT` of float32 Keras, or of float64 within four times what float32 Keras itself is away from it.

    How far float32 carries a drawn network of this depth depends on the CPU's order of adding.
    """
    size = model.input_shape[1]
    draw(model, pictures(4, size, seed=1), seed=0)
    images = pictures(4, size, seed=2)
    expected = np.asarray(model(images.astype(np.float32), training=False))
    distance = np.abs(expected[:, None] - expected[None]).max(axis=2)
    assert distance[~np.eye(len(images), dtype=bool)].min() > 10 * LIMIT, "the network does not tell the images apart"
    observed = answers(model, format_name, images)
    if make is not None and np.abs(observed - expected).max() > LIMIT:
        exact = in_float64(make, model, images)
        np.testing.assert_allclose(observed, exact, atol=max(LIMIT, 4 * np.abs(expected - exact).max()))
        return
    np.testing.assert_allclose(observed, expected, atol=LIMIT)


def conv_bn_relu6(x: Any) -> Any:
    return layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", use_bias=False)(x)))


def inverted_residual(x: Any) -> Any:
    y = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(16, 1, use_bias=False)(x)))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    return layers.Add()([x, layers.BatchNormalization()(layers.Conv2D(8, 1, use_bias=False)(y))])


def squeeze_and_excite(x: Any) -> Any:
    y = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    y = layers.Conv2D(8, 1, activation="hard_sigmoid")(layers.Conv2D(2, 1, activation="silu")(y))
    return layers.Activation("hard_silu")(layers.Multiply()([x, y]))


def separable(x: Any) -> Any:
    return layers.BatchNormalization()(layers.SeparableConv2D(8, 3, padding="same", depth_multiplier=2)(x))


def dense_block(x: Any) -> Any:
    """Normalization before convolution, and concatenation."""
    y = layers.Conv2D(4, 3, padding="same")(layers.Activation("relu")(layers.BatchNormalization()(x)))
    return layers.AveragePooling2D(3, strides=2, padding="same")(layers.Concatenate()([x, y]))


def padded(x: Any) -> Any:
    y = layers.DepthwiseConv2D(3, strides=2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(x))
    return layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(layers.Cropping2D(((1, 0), (0, 1)))(y)))


BLOCKS = (conv_bn_relu6, inverted_residual, squeeze_and_excite, separable, dense_block, padded)


@FORMAT
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_a_block_answers_as_in_keras(block: Callable[[Any], Any], format_name: str) -> None:
    inputs = keras.Input((32, 32, 3))
    x = block(conv_bn_relu6(layers.Rescaling(1 / 64, -2.0)(inputs)))
    assert_same(keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.Flatten()(x))), format_name)


@FORMAT
def test_mobilenet_v2_answers_as_in_keras(format_name: str) -> None:
    make = keras.applications.MobileNetV2
    assert_same(make(weights=None, classes=4, input_shape=(32, 32, 3), alpha=0.35), format_name)


APPLICATIONS = ("MobileNetV3Small", "EfficientNetB0", "ConvNeXtTiny")
"""They repeat the blocks above at sizes that take ten seconds and more."""


@pytest.mark.soak
@FORMAT
@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_answers_as_in_keras(name: str, format_name: str) -> None:
    application = getattr(keras.applications, name)

    def make() -> keras.Model:
        return application(weights=None, classes=4, input_shape=(64, 64, 3))

    assert_same(make(), format_name, make)
