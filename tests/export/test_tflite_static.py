"""Static integers: their steps, and which operators compute in them."""

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
from bctoolkit.export.tflite.passes.static import INT8, INT16
from bctoolkit.export.tflite.passes.weights import WEIGHTED_OPS, int8_weights
from bctoolkit.runtime.on_litert import open_model

Build = Callable[..., keras.Model]
FORMS = ("int8", "int8-full", "w8a16")
finite = st.floats(-1e4, 1e4, width=32)


@given(finite, finite)
def test_int8_holds_zero_and_reaches_both_ends(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    params = INT8.params(low, high)
    step = float(params.scale[0])
    assert -128 <= params.zero_point <= 127
    assert step > 0
    assert (-128 - params.zero_point) * step <= min(low, 0) + step
    assert (127 - params.zero_point) * step >= max(high, 0) - step


@given(finite, finite)
def test_int16_is_symmetric_and_reaches_both_ends(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    params = INT16.params(low, high)
    assert params.zero_point == 0
    assert 32767 * float(params.scale[0]) == pytest.approx(max(-low, high) or 32767, rel=1e-5, abs=1e-30)


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
    return {name: exporter.convert(name, QuantizationSettings(shades)) for name in FORMS}


def kinds(content: bytes) -> list[str]:
    graph = Graph(content)
    return [graph.kind(operator) for operator in graph.operators]


def test_what_lies_between_integer_products_is_integer_too(files: dict[str, bytes]) -> None:
    graph = Graph(files["int8"])
    floats = [graph.kind(o) for o in graph.operators if all(graph.dtype(t) == np.float32 for t in o.outputs)]
    assert [kind for kind in floats if kind != "DEQUANTIZE"] == ["CONV_2D", "MEAN", "FULLY_CONNECTED", "SOFTMAX"]
    assert kinds(files["int8"]).count("QUANTIZE") <= 3  # at the entry, and on to the params of the concatenation


@pytest.mark.parametrize("name", ["int8-full", "w8a16"])
def test_a_fully_integer_network_has_no_island(files: dict[str, bytes], name: str) -> None:
    graph = Graph(files[name])
    assert float_islands(graph) == ()
    assert graph.properties()["arithmetic"] == "integers throughout"
    assert "DEQUANTIZE" not in kinds(files[name])


def scales(graph: Graph, tensor: int) -> NDArray[np.float32]:
    params = graph.quantization(tensor)
    assert params is not None
    return params.scale


def test_w8a16_multiplies_int16_by_int8_and_adds_up_from_int64(files: dict[str, bytes]) -> None:
    graph = Graph(files["w8a16"])
    products = [operator for operator in graph.operators if graph.kind(operator) in WEIGHTED_OPS]
    assert len(products) == 9
    for operator in products:
        source, kernel, *bias = (tensor for tensor in operator.inputs if tensor >= 0)
        types = [graph.dtype(tensor) for tensor in (source, kernel, *bias, *operator.outputs)]
        assert types == [np.int16, np.int8, *[np.int64] * len(bias), np.int16]
        steps, of_weights, *of_bias = (scales(graph, tensor) for tensor in (source, kernel, *bias))
        assert len(of_weights) == graph.shape(kernel)[WEIGHTED_OPS[graph.kind(operator)]] > 1
        for each in of_bias:
            np.testing.assert_allclose(each, steps * of_weights, rtol=1e-6)
    written = [graph.quantization(t) for o in graph.operators for t in o.outputs if graph.dtype(t) == np.int16]
    assert {params.zero_point for params in written if params} == {0}


def test_w8a16_errs_by_its_weights_alone(
    mobile: keras.Model, files: dict[str, bytes], shades: NDArray[np.uint8]
) -> None:
    rounded = keras.models.clone_model(mobile)
    for layer, other in zip(mobile.layers, rounded.layers, strict=True):
        weights = layer.get_weights()
        if weights:
            axis = 2 if isinstance(layer, layers.DepthwiseConv2D) else weights[0].ndim - 1
            values, params = int8_weights(weights[0], axis)
            steps = params.scale.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
            other.set_weights([values * steps, *weights[1:]])
    expected = np.asarray(rounded(shades.astype(np.float32)))
    error = np.abs(expected - np.asarray(mobile(shades.astype(np.float32)))).max()
    assert np.abs(open_model(files["w8a16"], "cpu", 1).run(shades) - expected).max() <= error / 4


def test_w8a16_does_not_clip_what_calibration_has_not_seen(mobile: keras.Model, shades: NDArray[np.uint8]) -> None:
    exporter = TfliteExporter(mobile, ExportSettings(InputContract(height=32, width=32)))
    expected = np.asarray(mobile(shades.astype(np.float32)))
    dark = QuantizationSettings(shades // 3)
    errors = {
        name: np.abs(open_model(exporter.convert(name, dark), "cpu", 1).run(shades) - expected).max()
        for name in ("int8-full", "w8a16")
    }
    assert errors["w8a16"] <= 0.01
    assert errors["int8-full"] >= 0.1


@pytest.mark.parametrize("name", FORMS)
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
