"""Write a float32 twin as ONNX, layer by layer, and quantize it."""

import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import onnx
from onnx import TensorProto

from bctoolkit.contract import InputContract
from bctoolkit.export.exporter import Quantizing, Settings
from bctoolkit.export.onnx_graph import Graph, Value
from bctoolkit.export.onnx_layers import emit
from bctoolkit.export.walk import walk

__all__ = ["OnnxExporter", "graph_of"]

OPSET, IR_VERSION = 20, 10
"""Opset 20 is the first with Gelu; ONNX Runtime reads it since 1.17."""

ELEMENT = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}


class OnnxExporter:
    """Writes a float32 twin as ONNX: shape (batch, height, width, channels) with a free batch."""

    def __init__(self, twin: keras.Model, settings: Settings) -> None:
        self._twin, self._settings = twin, settings

    @cached_property
    def _float32(self) -> onnx.ModelProto:
        return graph_of(self._twin, self._settings.contract)

    def quantizable(self, quantization: str) -> tuple[str, ...]:
        """Layers whose matrix product becomes one of integers."""
        return tuple(layer.name for layer in self._twin.layers if isinstance(layer, keras.layers.Dense))

    def convert(self, quantization: str, quantizing: Quantizing) -> bytes:
        """An ONNX file's bytes.

        Raises:
            UnsupportedOp: a layer has no ONNX form.
        """
        model = self._float32
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
