"""Write a float32 twin as ONNX, layer by layer, and quantize it."""

import tempfile
from pathlib import Path
from typing import Any

import keras
import onnx
from onnx import TensorProto

from bctoolkit.contract import InputContract
from bctoolkit.export.onnx_graph import Graph, Value
from bctoolkit.export.onnx_layers import emit
from bctoolkit.export.walk import walk

__all__ = ["convert", "graph_of"]

OPSET, IR_VERSION = 20, 10
"""Opset 20 is the first with Gelu; ONNX Runtime reads it since 1.17."""

ELEMENT = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}


def convert(twin: keras.Model, quantization: str, contract: InputContract) -> bytes:
    """An ONNX file's bytes.

    Args:
        twin: a model of `bctoolkit.export.twin`.
        quantization: `fp32` or `int8-dynamic`.
        contract: dtype of the input; shape (batch, height, width, channels) with a free batch.

    Raises:
        UnsupportedOp: a layer has no ONNX form.
    """
    model = graph_of(twin, contract)
    if quantization == "int8-dynamic":
        model = _quantize_dynamically(model)
    content: bytes = model.SerializeToString()
    return content


def graph_of(twin: keras.Model, contract: InputContract) -> onnx.ModelProto:
    """The twin as a float32 ONNX model."""
    graph = Graph(twin.name, OPSET, IR_VERSION)
    name = "image"
    image = name if contract.dtype == "float32" else graph.add("Cast", [name], to=TensorProto.FLOAT)

    def visit(operation: Any, *args: Any, **kwargs: Any) -> Value:
        return emit(graph, operation, *args, **kwargs)

    output = walk(twin, Value((None, *contract.shape), last=image), visit)
    value = output[0] if isinstance(output, list | tuple) else output
    return graph.model(
        (name, ELEMENT[contract.dtype], ["batch", *contract.shape]), (graph.last(value), ["batch", *value.shape[1:]])
    )


def _quantize_dynamically(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights of matrix products to int8 per output channel; activations are quantized at run time."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        quantize_dynamic(model, target, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)
        return onnx.load(target)
