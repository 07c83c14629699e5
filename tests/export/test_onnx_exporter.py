"""Each Keras layer in ONNX, against Keras."""

from collections import Counter
from collections.abc import Callable
from typing import Any

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
from bctoolkit.documents.quantization import CalibrationSettings
from bctoolkit.errors import ExportError, UnsupportedOp
from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.export.onnx import exporter as to_onnx
from bctoolkit.export.onnx.exporter import OnnxExporter, graph_of
from bctoolkit.export.onnx.graph import Form
from bctoolkit.export.onnx.probe import observe
from bctoolkit.networks import LayerScale, build

pytestmark = pytest.mark.slow

Graph = Callable[..., keras.Model]
FLOAT = InputContract(height=32, width=32, dtype="float32")
FORMS: tuple[Form, ...] = ("Conv", "MatMul")


def convert(twin: keras.Model, quantization: str, contract: InputContract, **settings: Any) -> bytes:
    return OnnxExporter(twin, ExportSettings(contract)).convert(quantization, QuantizationSettings(**settings))


def run(model: bytes, images: NDArray[Any]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"image": images})[0]
    return result


def assert_same(model: keras.Model, images: NDArray[np.uint8], opset: int | None = None) -> None:
    expected = np.asarray(model(images.astype(np.float32), training=False))
    for form in FORMS:
        content = graph_of(model, ExportSettings(FLOAT, opset=opset), form).SerializeToString()
        observed = run(content, images.astype(np.float32))
        np.testing.assert_allclose(observed, expected, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(expected).max()))


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
    contract = InputContract(height=size[0], width=size[1], channels=2, dtype="float32")
    session = onnxruntime.InferenceSession(convert(model, "fp32", contract))
    np.testing.assert_allclose(session.run(None, {"image": image})[0], np.asarray(model(image)), rtol=1e-4, atol=1e-5)


def test_addition_takes_either_order_of_channels(images: NDArray[np.uint8]) -> None:
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(3, 3, padding="same")(inputs)
    y = layers.Dense(3)(x)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Add()([x, y, inputs]) + x))
    assert_same(model, images)


BLOCKS, STAGES = 12, 4


@pytest.fixture(scope="module")
def atto() -> keras.Model:
    return fold(freeze(build("convnext_atto", 4, (32, 32, 3), layer_scale=0.5)))


def kinds(model: onnx.ModelProto) -> Counter[str]:
    """How often each operator occurs; no node and no constant is dead."""
    made = [name for node in model.graph.node for name in node.output]
    used = {name for node in model.graph.node for name in node.input}
    assert [name for name in made if name not in used] == ["probabilities"]
    assert {tensor.name for tensor in model.graph.initializer} <= used
    return Counter(node.op_type for node in model.graph.node)


def test_a_float_block_is_what_a_specialist_would_write(atto: keras.Model) -> None:
    count = kinds(graph_of(atto, ExportSettings(FLOAT)))
    assert count["Gelu"] == BLOCKS
    assert count["LayerNormalization"] == BLOCKS + STAGES + 1
    assert count["Conv"] == 3 * BLOCKS + STAGES
    assert count["Add"] == BLOCKS + 1  # the residuals and the classifier's bias
    assert count["Transpose"] == 2 * (BLOCKS + STAGES) + 1  # around each norm, and the image
    assert count["MatMul"] == 1
    assert count["Mul"] == count["Reshape"] == count["Erf"] == 0


def test_a_block_of_products_is_what_a_specialist_would_write(atto: keras.Model) -> None:
    count = kinds(graph_of(atto, ExportSettings(FLOAT), "MatMul"))
    assert count["Gelu"] == BLOCKS
    assert count["LayerNormalization"] == BLOCKS + STAGES + 1
    assert count["Conv"] == BLOCKS + 1  # depthwise, and the stem
    assert count["MatMul"] == 2 * BLOCKS + STAGES  # with the downsampling convolutions and the classifier
    assert count["Transpose"] == 2 * BLOCKS + 2 + STAGES - 1
    assert count["Reshape"] == 2 * (STAGES - 1)
    assert count["Mul"] == count["Erf"] == 0


def test_equal_constants_are_stored_once(graph: Graph) -> None:
    norms = [layers.LayerNormalization(center=False, scale=False) for _ in range(4)]
    model = graph_of(graph(*norms, layers.GlobalAveragePooling2D()), ExportSettings(FLOAT))
    assert sorted(len(tensor.dims) and tensor.dims[0] for tensor in model.graph.initializer) == [2, 3]  # axes, ones


def test_names_in_the_file_are_those_of_the_keras_layers() -> None:
    model = graph_of(freeze(build("convnext_atto", 4, (32, 32, 3))), ExportSettings(FLOAT))
    assert any(node.name == "stage_2_block_3_depthwise/Conv" for node in model.graph.node)


def test_the_batch_is_free_and_the_input_is_uint8(images: NDArray[np.uint8]) -> None:
    twin = freeze(build("baseline_cnn", 4, (32, 32, 3)))
    contract = InputContract(height=32, width=32, dtype="uint8")
    session = onnxruntime.InferenceSession(convert(twin, "fp32", contract))
    assert session.get_inputs()[0].type == "tensor(uint8)"
    whole = session.run(None, {"image": images})[0]
    single = np.concatenate([session.run(None, {"image": images[i : i + 1]})[0] for i in range(len(images))])
    np.testing.assert_allclose(whole, single, atol=1e-6)


def test_a_dense_layer_on_rows_is_a_product_in_either_form(images: NDArray[np.uint8], graph: Graph) -> None:
    assert_same(graph(layers.Reshape((32, 96)), layers.Dense(6, "gelu"), layers.Flatten(), layers.Dense(3)), images)


@pytest.mark.parametrize("opset", [18, 19, 21])
def test_another_opset_answers_alike(opset: int, stock_convnext: keras.Model, images: NDArray[np.uint8]) -> None:
    twin = fold(freeze(stock_convnext))
    assert_same(twin, images, opset)
    model = graph_of(twin, ExportSettings(FLOAT, opset=opset))
    assert model.opset_import[0].version == opset
    assert ("Erf" in kinds(model)) == (opset < 20)


def test_the_opset_is_the_oldest_with_all_operators() -> None:
    def opset_of(activation: str) -> int:
        image = keras.Input(FLOAT.shape)
        pooled = layers.AveragePooling2D(2)(layers.Activation(activation)(image))
        model = keras.Model(image, layers.Dense(2, activation="softmax")(layers.Flatten()(pooled)))
        return int(graph_of(model, ExportSettings(FLOAT)).opset_import[0].version)

    assert opset_of("relu") == 18, "later ONNX Runtime averages three times as slowly"
    assert opset_of("gelu") == 20


@pytest.mark.parametrize("opset", [0, 17, 999])
def test_an_opset_the_operators_are_not_written_for_is_refused(opset: int, atto: keras.Model) -> None:
    with pytest.raises(ExportError, match=rf"opset {opset} is not one of 18 to \d+: ReduceMean"):
        OnnxExporter(atto, ExportSettings(FLOAT, opset=opset)).convert("fp32", QuantizationSettings())


ONNX_FORMS = ("fp32", "fp16", "fp16-weights", "int8-dynamic", "int8")
LIMIT = {"fp32": 1e-5, "fp16": 5e-3, "fp16-weights": 5e-3, "int8-dynamic": 0.05, "int8": 0.08}
SIZE = {"fp32": 1.0, "fp16": 0.51, "fp16-weights": 0.51, "int8-dynamic": 0.27, "int8": 0.27}


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("quantization", ONNX_FORMS)
def test_every_form_runs_and_answers_like_keras(
    quantization: str, dtype: Any, atto: keras.Model, images: NDArray[np.uint8]
) -> None:
    contract = InputContract(height=32, width=32, dtype=dtype)
    expected = np.asarray(atto(images.astype(np.float32), training=False))
    content = convert(atto, quantization, contract, images=images)
    observed = run(content, images.astype(dtype))
    assert observed.dtype == np.float32
    assert np.abs(observed - expected).max() <= LIMIT[quantization]
    assert len(content) <= SIZE[quantization] * len(convert(atto, "fp32", contract)) * 1.01
    kinds(onnx.load_from_string(content))


@pytest.mark.parametrize("quantization", ONNX_FORMS)
def test_every_form_carries_the_properties(quantization: str, atto: keras.Model, images: NDArray[np.uint8]) -> None:
    exporter = OnnxExporter(atto, ExportSettings(FLOAT, properties={"labels": '["a", "b"]', "licence": "CC0-1.0"}))
    session = onnxruntime.InferenceSession(exporter.convert(quantization, QuantizationSettings(images=images)))
    own = {"int16_saturation": "none"} if quantization.startswith("int8") else {}
    expected = {"labels": '["a", "b"]', "licence": "CC0-1.0", **own}
    assert session.get_modelmeta().custom_metadata_map == expected


@pytest.mark.parametrize("quantization", ["int8-dynamic", "int8"])
def test_the_layers_called_quantizable_are_those_that_get_integers(
    quantization: str, atto: keras.Model, images: NDArray[np.uint8]
) -> None:
    exporter = OnnxExporter(atto, ExportSettings(FLOAT))
    layers_of = exporter.quantizable(quantization)
    assert len(layers_of) == 2 * BLOCKS + STAGES - 1
    assert layers_of[0] == "stage_0_block_0_expand"
    assert "stage_1_downsample_conv" in layers_of
    kept = frozenset(layers_of[::2])
    model = onnx.load_from_string(exporter.convert(quantization, QuantizationSettings(images=images, keep_float=kept)))
    stored = {t.name.rsplit("/kernel", 1)[0] for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8}
    assert stored == set(layers_of) - kept


def test_float_forms_have_nothing_quantizable(atto: keras.Model) -> None:
    assert OnnxExporter(atto, ExportSettings(FLOAT)).quantizable("fp16") == ()


def test_int8_without_calibration_images_is_refused(atto: keras.Model) -> None:
    with pytest.raises(ExportError, match="needs images of the training part"):
        convert(atto, "int8", FLOAT)


def test_a_network_without_products_has_no_int8(graph: Graph) -> None:
    model = graph(layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Softmax())
    with pytest.raises(ExportError, match="graph has nothing that onnx int8-dynamic could quantize"):
        convert(model, "int8-dynamic", FLOAT)


def test_calibration_is_done_once_for_the_same_images(
    atto: keras.Model, images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    percentile = CalibrationSettings(method="percentile")
    calls: list[int] = []

    def counted(*args: Any) -> Any:
        calls.append(1)
        return observe(*args)

    monkeypatch.setattr(to_onnx, "observe", counted)
    exporter = OnnxExporter(atto, ExportSettings(FLOAT))
    name = exporter.quantizable("int8")[0]
    for keep in (frozenset[str](), frozenset([name])):
        exporter.convert("int8", QuantizationSettings(images=images, keep_float=keep))
    assert len(calls) == 1
    exporter.convert("int8", QuantizationSettings(images=images, calibration=percentile))
    exporter.convert("int8", QuantizationSettings(images=images[:2], calibration=percentile))
    assert len(calls) == 3


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
        graph_of(graph(Strange(name="odd"), layers.Flatten()), ExportSettings(FLOAT))
