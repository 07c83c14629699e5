"""TFLite files of others are bounded before they are unpacked, and their forms told apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from bctoolkit.documents.preprocessing import InputSettings
from bctoolkit.export.adoption.foreign import read_model
from bctoolkit.export.tflite.graph import Graph
from tests.export.adoption.test_reading import adapter_of, message, opened, written
from tests.support.foreign import SIDE, tflite_classifier


def tampered(change: Callable[[Any], object]) -> bytes:
    """A TFLite file with something changed in its tables."""
    graph = Graph(tflite_classifier())
    change(graph._model)
    return graph.content()


def test_tflite_files_that_ask_for_too_much_or_for_libraries(tmp_path: Path) -> None:
    def add_custom(model: Any) -> None:
        for code in model.operatorCodes:
            code.customCode = b"FlexErf"

    def add_graph(model: Any) -> None:
        model.subgraphs = [model.subgraphs[0], model.subgraphs[0]]

    def reach_out(model: Any) -> None:
        model.buffers[1].data, model.buffers[1].offset, model.buffers[1].size = None, 5000, 10**9

    def overlap(model: Any) -> None:
        for _ in range(50):
            buffer = schema.BufferT()
            buffer.offset, buffer.size = 100, 900
            model.buffers.append(buffer)
            model.subgraphs[0].tensors[1].buffer = len(model.buffers) - 1

    def keep_state(model: Any) -> None:
        code = model.operatorCodes[0]
        code.builtinCode, code.deprecatedBuiltinCode = schema.BuiltinOperator.VAR_HANDLE, 127

    assert "it needs operator VAR_HANDLE, which is never run" in message(written(tmp_path, tampered(keep_state)))
    assert "operator FlexErf is not built into LiteRT" in message(written(tmp_path, tampered(add_custom)))
    assert "needs control flow (2 graphs" in message(written(tmp_path, packed(add_graph)))
    assert "constants together are larger" in message(written(tmp_path, packed(reach_out)))
    assert "constants together are larger" in message(written(tmp_path, packed(overlap)))


def packed(change: Callable[[Any], object]) -> bytes:
    """The same, by the schema's own writer: ours would leave out what nothing uses."""
    import flatbuffers

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(tflite_classifier()))
    change(model)
    builder = flatbuffers.Builder(2**16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_constants_behind_the_flatbuffer_are_brought_inside(tmp_path: Path) -> None:
    content = tflite_classifier()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    largest = max((each for each in model.buffers if each.data is not None), key=lambda each: each.data.size)
    data, largest.data = largest.data.tobytes(), None
    largest.size = len(data)
    largest.offset = 2**20
    import flatbuffers

    builder = flatbuffers.Builder(2**16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    outside = bytes(builder.Output()).ljust(2**20, b"\0") + data
    images = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    answers = []
    for name, each in (("inside.tflite", content), ("outside.tflite", outside)):
        path = written(tmp_path, each, name)
        file = read_model(path)
        adapter = opened(path).adapter(InputSettings(scale="0-1"), images)
        written(tmp_path, file.wrapped(adapter, {}), "wrapped.tflite")
        answers.append(opened(tmp_path / "wrapped.tflite").predict(adapter_of(tmp_path, images), images))
    assert np.array_equal(answers[0], answers[1])


def test_tflite_forms_are_told_apart() -> None:
    from bctoolkit.export.adoption.formats.tflite_file import TfliteFile

    path = Path("net.tflite")
    assert TfliteFile(path, tflite_classifier()).quantization == "fp32"
    assert TfliteFile(path, tflite_classifier(integers="int8", last=tf.nn.softmax)).quantization == "int8-full"
