"""Write a float32 twin as ONNX, layer by layer, and its quantizations as passes over that graph."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import keras
import onnx
from onnx import TensorProto

from bctoolkit.errors import ExportError
from bctoolkit.export.calibration.ranges import RangeCollector
from bctoolkit.export.exporter import Quantizing, Settings
from bctoolkit.export.keras_graph.walk import walk
from bctoolkit.export.onnx.graph import Form, Graph, Value
from bctoolkit.export.onnx.layers import emit
from bctoolkit.export.onnx.passes.float16 import compute_in_halves, store_in_halves
from bctoolkit.export.onnx.passes.int8 import (
    activations,
    layer_of,
    products,
    quantize_dynamically,
    quantize_statically,
)
from bctoolkit.export.onnx.probe import observe

__all__ = ["OnnxExporter", "graph_of"]

OPSET = 20
"""The first with Gelu; ONNX Runtime reads it since 1.17."""

ELEMENT = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}

Ranges = Mapping[str, tuple[float, float]]


class OnnxExporter:
    """Writes a float32 twin as ONNX: shape (batch, height, width, channels) with a free batch."""

    def __init__(self, twin: keras.Model, settings: Settings) -> None:
        self._twin, self._settings = twin, settings
        self._calibrated: tuple[Quantizing, Ranges] | None = None

    @cached_property
    def _convolutions(self) -> onnx.ModelProto:
        """The form that float32 runs fastest in."""
        return graph_of(self._twin, self._settings, "Conv")

    @cached_property
    def _products(self) -> onnx.ModelProto:
        """The form that integers, and GPUs, run fastest in."""
        return graph_of(self._twin, self._settings, "MatMul")

    def quantizable(self, quantization: str) -> tuple[str, ...]:
        """Layers whose matrix product becomes one of integers, in the order they run; none for a float form."""
        if not quantization.startswith("int8"):
            return ()
        return tuple(dict.fromkeys(layer_of(node) for node in products(self._products)))

    def convert(self, quantization: str, quantizing: Quantizing) -> bytes:
        """An ONNX file's bytes.

        Raises:
            UnsupportedOp: a layer has no ONNX form.
            ExportError: the network has nothing to quantize, or `int8` has no images to calibrate on.
        """
        content: bytes = self._model(quantization, quantizing).SerializeToString()
        return content

    def _model(self, quantization: str, quantizing: Quantizing) -> onnx.ModelProto:
        if quantization == "fp32":
            return self._convolutions
        if quantization == "fp16-weights":
            return store_in_halves(self._convolutions)
        if quantization == "fp16":
            return compute_in_halves(self._products)
        if not self.quantizable(quantization):
            raise ExportError(
                f"{self._twin.name} has nothing that onnx {quantization} could quantize: no dense layer, and no "
                "convolution without padding whose windows do not overlap; fp16-weights makes it smaller"
            )
        if quantization == "int8-dynamic":
            return quantize_dynamically(self._products, quantizing.keep_float)
        return quantize_statically(self._products, quantizing.keep_float, self._ranges(quantizing))

    def _ranges(self, quantizing: Quantizing) -> Ranges:
        """The range of every activation; kept, because a search for layers to keep in float asks again and again."""
        if self._calibrated is None or not _same(self._calibrated[0], quantizing):
            if quantizing.images is None or not len(quantizing.images):
                raise ExportError(
                    "onnx int8 needs images of the training part to calibrate on; int8-dynamic needs none"
                )
            collector = RangeCollector(quantizing.method, quantizing.percentile)
            for values in observe(self._products, activations(self._products), quantizing.images):
                collector.update(values)
            self._calibrated = quantizing, collector.ranges()
        return self._calibrated[1]


def _same(one: Quantizing, other: Quantizing) -> bool:
    """Whether two artifacts are calibrated alike."""
    return one.images is other.images and (one.method, one.percentile) == (other.method, other.percentile)


def graph_of(twin: keras.Model, settings: Settings, form: Form = "Conv") -> onnx.ModelProto:
    """The twin as a float32 ONNX model.

    Raises:
        UnsupportedOp: a layer has no ONNX form.
        ExportError: the operators are not written for the opset asked for.
    """
    contract = settings.contract
    graph = Graph(twin.name, OPSET if settings.opset is None else settings.opset, form)
    name = "image"
    image = name if contract.dtype == "float32" else graph.add("Cast", [name], to=TensorProto.FLOAT)

    def visit(operation: Any, *args: Any, **kwargs: Any) -> Value:
        return emit(graph, operation, *args, **kwargs)

    output = walk(twin, Value((None, *contract.shape), last=image), visit)
    value = output[0] if isinstance(output, list | tuple) else output
    return graph.model(
        (name, ELEMENT[contract.dtype], ["batch", *contract.shape]),
        (graph.last(value), ["batch", *value.shape[1:]]),
        settings.properties,
    )
