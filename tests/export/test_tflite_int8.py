"""Static int8: grids, and which operators compute in integers."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
from bctoolkit.export.tflite.exporter import TfliteExporter
from bctoolkit.export.tflite.float_islands import Island, describe, float_islands
from bctoolkit.export.tflite.graph import Graph
from bctoolkit.export.tflite.passes.int8 import int8_params
from bctoolkit.export.tflite.passes.weights import int8_weights
from bctoolkit.runtime.on_litert import open_model

Build = Callable[..., keras.Model]
finite = st.floats(-1e4, 1e4, width=32)


@given(finite, finite)
def test_int8_holds_zero_and_reaches_both_ends(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    params = int8_params(low, high)
    step = float(params.scale[0])
    assert -128 <= params.zero_point <= 127
    assert step > 0
    assert (-128 - params.zero_point) * step <= min(low, 0) + step
    assert (127 - params.zero_point) * step >= max(high, 0) - step


@given(st.integers(0, 3), st.integers(0, 2**31))
def test_weights_come_back_within_half_a_step_of_their_channel(axis: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(2, 3, 4, 5)).astype(np.float32) * 10.0 ** rng.integers(-6, 3, 5)[None, None, None, :]
    kernel = kernel.astype(np.float32)
    kernel[0] = 0
    values, params = int8_weights(kernel, axis)
    steps = params.scale.reshape([-1 if i == axis else 1 for i in range(4)])
    assert params.axis == axis
    assert values.min() >= -127  # symmetric
    assert (np.abs(values * steps - kernel) <= steps * 0.5001).all()


@pytest.fixture(scope="module")
def mobile() -> keras.Model:
    """A network of convolutions: residual, squeeze and excite, concatenation, pooling."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="stem")(inputs / 255.0)
    x = layers.Conv2D(16, 1, activation="relu6", name="wide")(x)
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu6", name="deep")(x)
    y = layers.Conv2D(16, 1, name="narrow")(y)
    x = layers.Add()([x, y])
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(16, 1, activation="sigmoid", name="gate")(gate)
    x = layers.Multiply()([x, gate])
    branches = [layers.Conv2D(8, 1, name=f"branch_{i}")(x) for i in range(2)]
    x = layers.MaxPooling2D()(layers.Concatenate()(branches))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(12, 3, name="last")(x))
    outputs = layers.Dense(4, activation="softmax", name="head")(x)
    model = keras.Model(inputs, outputs)
    head = model.get_layer("head")
    head.set_weights([10 * weights for weights in head.get_weights()])
    return model


@pytest.fixture(scope="module")
def shades(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images of unlike brightness, so that the network's answers differ."""
    return (images * np.linspace(0.1, 1, len(images))[:, None, None, None]).astype(np.uint8)


@pytest.fixture(scope="module")
def files(mobile: keras.Model, shades: NDArray[np.uint8]) -> dict[str, bytes]:
    exporter = TfliteExporter(mobile, ExportSettings(InputContract(height=32, width=32)))
    return {name: exporter.convert(name, QuantizationSettings(shades)) for name in ("int8", "int8-full")}


def kinds(content: bytes) -> list[str]:
    graph = Graph(content)
    return [graph.kind(operator) for operator in graph.operators]


def test_what_lies_between_integer_products_is_integer_too(files: dict[str, bytes]) -> None:
    graph = Graph(files["int8"])
    floats = [graph.kind(o) for o in graph.operators if all(graph.dtype(t) == np.float32 for t in o.outputs)]
    assert [kind for kind in floats if kind != "DEQUANTIZE"] == ["CONV_2D", "MEAN", "FULLY_CONNECTED", "SOFTMAX"]
    assert kinds(files["int8"]).count("QUANTIZE") <= 3  # at the entry, and on to the params of the concatenation


def test_a_fully_integer_network_has_no_island(files: dict[str, bytes]) -> None:
    graph = Graph(files["int8-full"])
    assert float_islands(graph) == ()
    assert graph.properties()["arithmetic"] == "integers throughout"
    assert "DEQUANTIZE" not in kinds(files["int8-full"])


@pytest.mark.parametrize("name", ["int8", "int8-full"])
def test_integers_answer_nearly_as_floats(
    mobile: keras.Model, files: dict[str, bytes], shades: NDArray[np.uint8], name: str
) -> None:
    expected = np.asarray(mobile(shades.astype(np.float32)))
    assert np.ptp(expected, axis=0).max() > 0.1
    assert np.abs(open_model(files[name], "cpu", 1).run(shades) - expected).max() <= 0.03


def test_islands_are_told_in_one_line() -> None:
    norms = [Island(f"norm_{i}", ("MEAN", "SUB")) for i in range(4)]
    assert describe(()) == "integers throughout"
    assert describe((Island("head", ("GELU",)),)) == "1 float island between the integers, at head: GELU"
    assert describe(tuple(norms)) == "4 float islands between the integers, at norm_0, norm_1, norm_2, …: MEAN, SUB"
