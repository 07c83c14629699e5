"""Each Keras layer in ONNX, against Keras."""

from collections import Counter
from collections.abc import Callable

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.errors import UnsupportedOp
from bctoolkit.export.exporter import Quantizing, Settings
from bctoolkit.export.to_onnx import OnnxExporter, graph_of
from bctoolkit.export.twin import fold, freeze
from bctoolkit.networks import LayerScale, build

Graph = Callable[..., keras.Model]
FLOAT = InputContract(height=32, width=32, dtype="float32")


def convert(twin: keras.Model, quantization: str, contract: InputContract) -> bytes:
    return OnnxExporter(twin, Settings(contract)).convert(quantization, Quantizing())


def run(model: keras.Model, images: NDArray[np.uint8], contract: InputContract = FLOAT) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(convert(model, "fp32", contract), providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"image": images.astype(contract.dtype)})[0]
    return result


def assert_same(model: keras.Model, images: NDArray[np.uint8]) -> None:
    expected = np.asarray(model(images.astype(np.float32), training=False))
    np.testing.assert_allclose(run(model, images), expected, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(expected).max()))


END = (layers.GlobalAveragePooling2D, lambda: layers.Dense(3))


@pytest.mark.parametrize(
    "stack",
    [
        (lambda: layers.Conv2D(4, 3, padding="same", activation="relu"), *END),
        (lambda: layers.Conv2D(6, (3, 2), strides=(2, 3), padding="same", use_bias=False), *END),
        (lambda: layers.Conv2D(6, 3, groups=3, dilation_rate=2), *END),
        (lambda: layers.DepthwiseConv2D(7, padding="same"), *END),
        (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, strides=2, padding="same"), *END),
        (lambda: layers.Dense(5, activation="gelu"), *END),
        (lambda: layers.Dense(5, use_bias=False, activation="sigmoid"), *END),
        (lambda: layers.Rescaling(1 / 255, -0.5), lambda: layers.Activation("tanh"), *END),
        (lambda: layers.Rescaling(1 / 255), lambda: layers.Activation("silu"), *END),
        (lambda: layers.Normalization(mean=[1.0, 2, 3], variance=[4.0, 9, 16]), *END),
        (lambda: layers.LayerNormalization(epsilon=1e-6), *END),
        (lambda: layers.LayerNormalization(center=False), *END),
        (lambda: layers.LayerNormalization(scale=False), *END),
        (lambda: layers.BatchNormalization(), *END),
        (lambda: layers.Conv2D(4, 3), lambda: layers.BatchNormalization(scale=False), lambda: layers.ReLU(), *END),
        (lambda: LayerScale(0.5), *END),
        (lambda: layers.MaxPooling2D(3, strides=2, padding="same"), lambda: layers.Flatten(), lambda: layers.Dense(3)),
        (lambda: layers.AveragePooling2D(2), lambda: layers.GlobalAveragePooling2D(keepdims=True), layers.Flatten),
        (lambda: layers.AveragePooling2D(3, strides=2, padding="same"), *END),
        (layers.Flatten, lambda: layers.Dense(3), lambda: layers.Softmax()),
        (layers.Flatten, lambda: layers.Dense(3, activation="softmax")),
    ],
)
def test_a_layer_answers_as_in_keras(
    stack: tuple[Callable[[], keras.Layer], ...], graph: Graph, images: NDArray[np.uint8]
) -> None:
    assert_same(graph(*(make() for make in stack)), images)


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(5, 12), st.integers(5, 12)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.integers(1, 3),
    padding=st.sampled_from(["same", "valid"]),
    depthwise=st.booleans(),
)
def test_convolution_pads_as_keras_does_for_every_size(
    size: tuple[int, int], kernel: tuple[int, int], stride: int, padding: str, depthwise: bool
) -> None:
    inputs = keras.Input((*size, 2))
    if depthwise:
        layer = layers.DepthwiseConv2D(kernel, strides=stride, padding=padding)
    else:
        layer = layers.Conv2D(3, kernel, strides=stride, padding=padding)
    model = keras.Model(inputs, layers.Flatten()(layer(inputs)))
    image = np.random.default_rng(0).random((2, *size, 2), dtype=np.float32)
    session = onnxruntime.InferenceSession(
        convert(model, "fp32", InputContract(height=size[0], width=size[1], channels=2, dtype="float32"))
    )
    np.testing.assert_allclose(session.run(None, {"image": image})[0], np.asarray(model(image)), rtol=1e-4, atol=1e-5)


def test_addition_takes_either_order_of_channels(images: NDArray[np.uint8]) -> None:
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(3, 3, padding="same")(inputs)
    y = layers.Dense(3)(x)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Add()([x, y, inputs]) + x))
    assert_same(model, images)


def test_a_block_is_what_a_specialist_would_write() -> None:
    model = graph_of(fold(freeze(build("convnext_atto", 4, (32, 32, 3), layer_scale=0.5))), FLOAT)
    count = Counter(node.op_type for node in model.graph.node)
    blocks = 12
    assert count["Gelu"] == blocks
    assert count["LayerNormalization"] == blocks + 5
    assert count["MatMul"] == 2 * blocks + 1
    assert count["Mul"] == count["Reshape"] == count["Erf"] == 0
    assert count["Transpose"] == 2 * blocks + 5
    names = [name for node in model.graph.node for name in node.output]
    used = {name for node in model.graph.node for name in node.input}
    assert [name for name in names if name not in used] == ["probabilities"]  # no dead node


def test_equal_constants_are_stored_once(graph: Graph) -> None:
    norms = [layers.LayerNormalization(center=False, scale=False) for _ in range(4)]
    model = graph_of(graph(*norms, layers.GlobalAveragePooling2D()), FLOAT)
    assert sorted(len(tensor.dims) and tensor.dims[0] for tensor in model.graph.initializer) == [2, 3]  # axes, ones


def test_names_in_the_file_are_those_of_the_keras_layers() -> None:
    model = graph_of(freeze(build("convnext_atto", 4, (32, 32, 3))), FLOAT)
    assert any(node.name == "stage_2_block_3_depthwise/Conv" for node in model.graph.node)


def test_the_batch_is_free_and_the_input_is_uint8(images: NDArray[np.uint8]) -> None:
    twin = freeze(build("baseline_cnn", 4, (32, 32, 3)))
    contract = InputContract(height=32, width=32, dtype="uint8")
    session = onnxruntime.InferenceSession(convert(twin, "fp32", contract))
    assert session.get_inputs()[0].type == "tensor(uint8)"
    whole = session.run(None, {"image": images})[0]
    single = np.concatenate([session.run(None, {"image": images[i : i + 1]})[0] for i in range(len(images))])
    np.testing.assert_allclose(whole, single, atol=1e-6)


def test_int8_dynamic_quantizes_every_matrix_product_per_channel() -> None:
    twin = fold(freeze(build("convnext_atto", 4, (32, 32, 3), layer_scale=0.5)))
    model = onnx.load_from_string(convert(twin, "int8-dynamic", FLOAT))
    count = Counter(node.op_type for node in model.graph.node)
    assert count["MatMulInteger"] == 25
    assert count["MatMul"] == 0
    scales = [tensor for tensor in model.graph.initializer if tensor.name.endswith("kernel_scale")]
    assert len(scales) == 25
    assert all(tensor.dims[0] > 1 for tensor in scales)


@pytest.mark.parametrize(
    "stack",
    [
        (lambda: layers.UnitNormalization(), *END),
        (lambda: layers.Conv2D(4, 3), lambda: layers.GroupNormalization(2), *END),
        (lambda: layers.LayerNormalization(axis=1), *END),
        (lambda: layers.BatchNormalization(axis=1), *END),
        (lambda: layers.Dense(4, activation="mish"), *END),
        (lambda: layers.ReLU(max_value=6, negative_slope=0.1), *END),
        (lambda: layers.Conv2DTranspose(4, 3, strides=2), *END),
        (lambda: layers.UpSampling2D(2, interpolation="bicubic"), *END),
        (lambda: layers.Resizing(20, 24), *END),
    ],
)
def test_a_layer_that_is_not_ours_to_write_goes_through_tf2onnx(
    stack: tuple[Callable[[], keras.Layer], ...], graph: Graph, images: NDArray[np.uint8]
) -> None:
    assert_same(graph(lambda x: layers.Rescaling(1 / 255)(x), *(make() for make in stack)), images)


def test_layers_with_several_inputs_go_through_tf2onnx_too(images: NDArray[np.uint8]) -> None:
    inputs = keras.Input((32, 32, 3))
    tokens = layers.Reshape((64, 8))(layers.Conv2D(8, 4, strides=4)(layers.Rescaling(1 / 255)(inputs)))
    attended = layers.MultiHeadAttention(2, 4)(tokens, tokens)
    assert_same(keras.Model(inputs, layers.GlobalAveragePooling1D()(layers.Dot(-1)([attended, tokens]))), images)


class Strange(layers.Layer):
    def call(self, x: object) -> object:
        return keras.ops.svd(x, compute_uv=False)


def test_a_layer_without_an_onnx_form_is_named(graph: Graph) -> None:
    with pytest.raises(UnsupportedOp, match=r"layer 'odd' \(Strange\) has no ONNX form"):
        graph_of(graph(Strange(name="odd"), layers.Flatten()), FLOAT)
