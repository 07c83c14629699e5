"""Files made elsewhere with pre- and postprocessing written in: they answer as the files do, done by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bctoolkit.documents.preprocessing import InputSettings, OutputSettings
from bctoolkit.export.adoption.adapter import Adapter
from bctoolkit.export.adoption.classifier import ForeignClassifier
from bctoolkit.export.adoption.formats.onnx_file import OnnxFile
from bctoolkit.export.adoption.formats.tflite_file import TfliteFile
from bctoolkit.export.tflite.graph import Graph
from bctoolkit.runtime import on_litert, on_onnxruntime
from tests.support.foreign import SIDE, classifier, constant, model_of, tflite_classifier

IMAGES = np.random.default_rng(5).integers(0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8)
FILE = Path("file")
TORCH_MEAN, TORCH_DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CAFFE_MEAN = np.array([103.939, 116.779, 123.68])
BY_HAND = {
    "none": lambda images: images.astype(np.float64),
    "0-1": lambda images: images / 255,
    "-1-1": lambda images: images / 127.5 - 1,
    "imagenet": lambda images: (images / 255 - TORCH_MEAN) / TORCH_DEVIATION,
    "caffe": lambda images: images[..., ::-1] - CAFFE_MEAN,
}
"""Presets as the documents of Keras and PyTorch have them, of images N × height × width × 3, RGB."""


def softmax(scores: NDArray[Any]) -> NDArray[Any]:
    raised = np.exp(scores - scores.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


def onnx_answers(content: bytes, images: NDArray[Any] = IMAGES) -> NDArray[np.float32]:
    return on_onnxruntime.open_model(content, "cpu", 1).run(images)


def tflite_answers(content: bytes) -> NDArray[np.float32]:
    return on_litert.open_model(content, "cpu", 1).run(IMAGES)


def wrapped(file: Any, settings: InputSettings, output: OutputSettings | None = None) -> tuple[bytes, Adapter]:
    foreign = ForeignClassifier(FILE, file, output or OutputSettings(), None)
    complete = foreign.settings(settings)
    assert complete is not None
    adapter = foreign.adapter(complete, IMAGES)
    return file.wrapped(adapter, {"labels": "[]"}), adapter


@pytest.mark.parametrize("scale", BY_HAND)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_an_onnx_file_gets_its_scale_its_layout_and_a_softmax(scale: Any, layout: str) -> None:
    shape: list[int | str] = [1, 3, SIDE, SIDE] if layout == "NCHW" else ["N", SIDE, SIDE, 3]
    model = classifier(shape=shape)
    content, _ = wrapped(OnnxFile(FILE, model.SerializeToString()), InputSettings(scale=scale))
    values = BY_HAND[scale](IMAGES)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    fed = (values.transpose(0, 3, 1, 2) if layout == "NCHW" else values).astype(np.float32)
    expected = softmax(np.concatenate([session.run(None, {"input": row[None]})[0] for row in fed]))
    assert np.abs(onnx_answers(content) - expected).max() < (1e-3 if scale in ("none", "caffe") else 2e-6)


@pytest.mark.parametrize("last", ["Softmax", "Sigmoid", None])
@pytest.mark.parametrize("scores", [1, 3])
def test_scores_become_probabilities_of_two_classes_or_more(last: str | None, scores: int) -> None:
    if last == "Softmax" and scores == 1:
        pytest.skip("of one score it is always one")
    model = classifier(last=last, scores=scores)
    content, _ = wrapped(OnnxFile(FILE, model.SerializeToString()), InputSettings(scale="imagenet"))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    values = BY_HAND["imagenet"](IMAGES).transpose(0, 3, 1, 2).astype(np.float32)
    raw = np.concatenate([session.run(None, {"input": row[None]})[0] for row in values])
    if scores == 1:
        second = raw if last else 1 / (1 + np.exp(-raw))
        expected = np.concatenate([1 - second, second], 1)
    else:
        expected = raw if last else softmax(raw)
    assert np.abs(onnx_answers(content) - expected).max() < 2e-6


def test_numbers_of_each_channel_are_in_the_order_the_network_has_them() -> None:
    settings = InputSettings(scale=((0.1, 0.01, 0.001), (1.0, 2.0, 3.0)), channels="bgr")
    model = classifier()
    content, _ = wrapped(OnnxFile(FILE, model.SerializeToString()), settings)
    values = IMAGES[..., ::-1] * np.array([0.1, 0.01, 0.001]) + np.array([1.0, 2.0, 3.0])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    fed = values.transpose(0, 3, 1, 2).astype(np.float32)
    expected = softmax(np.concatenate([session.run(None, {"input": row[None]})[0] for row in fed]))
    assert np.abs(onnx_answers(content) - expected).max() < 1e-5


@pytest.mark.parametrize("dtype", ["float16", "float64", "uint8"])
def test_an_input_of_another_dtype_is_converted(dtype: str) -> None:
    model = classifier(dtype=dtype)
    settings = InputSettings() if dtype == "uint8" else InputSettings(scale="0-1")
    content, adapter = wrapped(OnnxFile(FILE, model.SerializeToString()), settings, OutputSettings(head="softmax"))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    values = IMAGES if dtype == "uint8" else IMAGES / 255
    fed = values.transpose(0, 3, 1, 2).astype(dtype)
    expected = softmax(np.concatenate([session.run(None, {"input": row[None]})[0] for row in fed]))
    assert adapter.head == "softmax"
    assert np.abs(onnx_answers(content) - expected).max() < 1e-3


def test_names_that_would_clash_are_changed_and_nodes_are_not() -> None:
    inner = helper.make_graph(
        [
            helper.make_node("Size", ["image"], ["pixels"]),
            helper.make_node("Size", ["probabilities"], ["scores"]),
            helper.make_node("Add", ["pixels", "scores"], ["inner"]),
        ],
        "inner",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.INT64, [])],
    )
    nodes = [
        helper.make_node("Flatten", ["image"], ["adopted/0_Cast"], axis=1),
        helper.make_node("MatMul", ["adopted/0_Cast", "weights"], ["probabilities"]),
        helper.make_node("If", ["yes"], ["unused"], then_branch=inner, else_branch=inner),
    ]
    weights = np.random.default_rng(0).normal(0, 0.1, (3 * SIDE * SIDE, 3)).astype(np.float32)
    stored = [constant("weights", weights), constant("yes", np.array(True))]
    model = model_of(nodes[:2], stored, [1, 3, SIDE, SIDE], {"probabilities": [1, 3]}, input_name="image")
    with_branch = onnx.ModelProto()
    with_branch.CopyFrom(model)
    with_branch.graph.node.append(nodes[2])
    for each in (model, with_branch):
        content, _ = wrapped(OnnxFile(FILE, each.SerializeToString()), InputSettings(scale="0-1"))
        written = onnx.load_model_from_string(content)
        kinds = [node.op_type for node in written.graph.node]
        assert [kind for kind in kinds if kind in ("Flatten", "MatMul", "If")] == [n.op_type for n in each.graph.node]
        assert (written.graph.input[0].name, written.graph.output[0].name) == ("image", "probabilities")
        expected = softmax((IMAGES / 255).transpose(0, 3, 1, 2).reshape(6, -1).astype(np.float32) @ weights)
        assert np.abs(onnx_answers(content) - expected).max() < 1e-6


def test_an_old_file_whose_constants_are_inputs_too_is_wrapped() -> None:
    model = classifier(opset=8)
    model.ir_version = 3
    model.graph.input.append(helper.make_tensor_value_info("weights", TensorProto.FLOAT, [3 * SIDE * SIDE, 3]))
    content, _ = wrapped(OnnxFile(FILE, model.SerializeToString()), InputSettings(scale="0-1"))
    session = onnxruntime.InferenceSession(classifier().SerializeToString())
    fed = (IMAGES / 255).transpose(0, 3, 1, 2).astype(np.float32)
    expected = softmax(np.concatenate([session.run(None, {"input": row[None]})[0] for row in fed]))
    assert np.abs(onnx_answers(content) - expected).max() < 2e-6


def test_a_promise_about_integers_is_not_taken_over() -> None:
    model = classifier()
    helper.set_model_props(model, {"int16_saturation": "none"})
    content, _ = wrapped(OnnxFile(FILE, model.SerializeToString()), InputSettings(scale="0-1"))
    assert {entry.key for entry in onnx.load_model_from_string(content).metadata_props} == {"labels"}


def interpreted(content: bytes, rows: NDArray[Any]) -> NDArray[np.float64]:
    """What a TFLite file gives, in real numbers, for inputs in real numbers."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    results = []
    for row in rows:
        scale, zero = source["quantization"]
        span = np.iinfo(source["dtype"]) if scale else None
        value = row if span is None else np.clip(np.rint(row / scale) + zero, span.min, span.max)
        interpreter.set_tensor(source["index"], value[None].astype(source["dtype"]))
        interpreter.invoke()
        raw = interpreter.get_tensor(target["index"]).astype(np.float64)
        scale, zero = target["quantization"]
        results.append((raw - zero) * scale if scale else raw)
    return np.concatenate(results)


@pytest.mark.parametrize("scale", ["none", "imagenet", "caffe"])
def test_a_tflite_file_gets_its_scale_and_a_softmax(scale: Any) -> None:
    content = tflite_classifier()
    written, _ = wrapped(TfliteFile(FILE, content), InputSettings(scale=scale))
    expected = softmax(interpreted(content, BY_HAND[scale](IMAGES).astype(np.float32)))
    assert np.abs(tflite_answers(written) - expected).max() < 2e-6


def test_a_tflite_file_with_channels_first_gets_them_so() -> None:
    content = tflite_classifier(shape=(1, 3, SIDE, SIDE), span=(0, 1))
    written, _ = wrapped(TfliteFile(FILE, content), InputSettings(scale="-1-1", channels="bgr"))
    values = BY_HAND["-1-1"](IMAGES[..., ::-1]).transpose(0, 3, 1, 2).astype(np.float32)
    assert np.abs(tflite_answers(written) - softmax(interpreted(content, values))).max() < 2e-6


@pytest.mark.parametrize("kind", ["logit", "sigmoid"])
def test_one_score_of_a_tflite_file_becomes_two_probabilities(kind: str) -> None:
    content = tflite_classifier(scores=1, last=tf.sigmoid if kind == "sigmoid" else None, span=(0, 1))
    output = OutputSettings(head="none" if kind == "sigmoid" else "sigmoid")
    written, _ = wrapped(TfliteFile(FILE, content), InputSettings(scale="0-1"), output)
    raw = interpreted(content, (IMAGES / 255).astype(np.float32))
    second = raw if kind == "sigmoid" else 1 / (1 + np.exp(-raw))
    assert np.abs(tflite_answers(written) - np.concatenate([1 - second, second], 1)).max() < 2e-6


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
@pytest.mark.parametrize(("scale", "span"), [("none", (0, 255)), ("0-1", (0, 1)), ("-1-1", (-1, 1))])
def test_an_integer_tflite_file_takes_the_pixels(dtype: str, scale: Any, span: tuple[float, float]) -> None:
    content = tflite_classifier(last=tf.nn.softmax, integers=dtype, span=span)
    file = TfliteFile(FILE, content)
    assert file.quantization == ("w8a16" if dtype == "int16" else "int8-full")
    written, adapter = wrapped(file, InputSettings(scale=scale))
    expected = interpreted(content, BY_HAND[scale](IMAGES))
    assert adapter.head == "none"
    assert np.abs(tflite_answers(written) - expected).max() <= 2 / 256


def test_uint8_pixels_of_a_tflite_file_go_in_as_they_are() -> None:
    content = tflite_classifier(last=tf.nn.softmax, integers="uint8", span=(-1, 1))
    written, adapter = wrapped(TfliteFile(FILE, content), InputSettings())
    before, after = (Graph(each) for each in (content, written))
    assert [after.kind(each) for each in after.operators] == [before.kind(each) for each in before.operators]
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], IMAGES[:1])
    interpreter.invoke()
    raw = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert adapter.input.quantization is not None
    assert np.array_equal(np.rint(tflite_answers(written)[:1] * 256), raw)
