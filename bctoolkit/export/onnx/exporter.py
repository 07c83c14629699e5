"""Write a float32 twin as ONNX, layer by layer, and its quantizations as passes over that graph."""

from functools import cached_property
from typing import Any

import keras
import onnx
from onnx import TensorProto

from bctoolkit.errors import ExportError
from bctoolkit.export.calibration.ranges import RangeCollector
from bctoolkit.export.exporter import ExportSettings, QuantizationSettings, RangesKey
from bctoolkit.export.keras_graph.walk import walk
from bctoolkit.export.onnx.graph import Form, Graph, Value
from bctoolkit.export.onnx.layers import emit
from bctoolkit.export.onnx.passes.float16 import convert_to_float16, float16_weights
from bctoolkit.export.onnx.passes.int8 import (
    Ranges,
    activations,
    layer_of,
    quantizable_matmuls,
    quantize_dynamically,
    quantize_statically,
)
from bctoolkit.export.onnx.passes.sigmoid import exact_sigmoids
from bctoolkit.export.onnx.probe import observe

__all__ = ["OnnxExporter", "graph_of"]

ELEMENT = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}


class OnnxExporter:
    """Writes a float32 twin as ONNX: shape (batch, height, width, channels) with a free batch."""

    def __init__(self, twin: keras.Model, settings: ExportSettings) -> None:
        self._twin, self._settings = twin, settings
        self._ranges_of: dict[RangesKey, Ranges] = {}

    @cached_property
    def _conv_model(self) -> onnx.ModelProto:
        """The form that float32 runs fastest in."""
        return graph_of(self._twin, self._settings, "Conv")

    @cached_property
    def _matmul_model(self) -> onnx.ModelProto:
        """The form that integers, and GPUs, run fastest in."""
        return graph_of(self._twin, self._settings, "MatMul")

    def quantizable(self, quantization: str) -> tuple[str, ...]:
        """Layers whose matrix product becomes one of integers, in the order they run; none for a float form."""
        if not quantization.startswith("int8"):
            return ()
        return tuple(dict.fromkeys(layer_of(node) for node in quantizable_matmuls(self._matmul_model)))

    def convert(self, quantization: str, settings: QuantizationSettings) -> bytes:
        """An ONNX file's bytes.

        Raises:
            UnsupportedOp: a layer has no ONNX form.
            ExportError: the network has nothing to quantize, or `int8` has no images to calibrate on.
        """
        content: bytes = self._model(quantization, settings).SerializeToString()
        return content

    def _model(self, quantization: str, settings: QuantizationSettings) -> onnx.ModelProto:
        if quantization == "fp32":
            return self._conv_model
        if quantization == "fp16-weights":
            return float16_weights(self._conv_model)
        if quantization == "fp16":
            return convert_to_float16(self._matmul_model)
        if not self.quantizable(quantization):
            raise ExportError(
                f"{self._twin.name} has nothing that onnx {quantization} could quantize: no dense layer, and no "
                "convolution without padding whose windows do not overlap; fp16-weights makes it smaller"
            )
        if quantization == "int8-dynamic":
            return quantize_dynamically(self._matmul_model, settings.keep_float)
        return quantize_statically(self._matmul_model, settings.keep_float, self._ranges(settings))

    def _ranges(self, settings: QuantizationSettings) -> Ranges:
        """The range of every activation; cached, because a search for layers to keep in float needs it many times."""
        key = settings.ranges_key
        if key not in self._ranges_of:
            if settings.images is None or not len(settings.images):
                raise ExportError(
                    "onnx int8 needs images of the training part to calibrate on; int8-dynamic needs none"
                )
            collector = RangeCollector(settings.calibration.method, settings.calibration.percentile)
            for values in observe(self._matmul_model, activations(self._matmul_model), settings.images):
                collector.update(values)
            self._ranges_of[key] = collector.ranges()
        return self._ranges_of[key]


def graph_of(twin: keras.Model, settings: ExportSettings, form: Form = "Conv") -> onnx.ModelProto:
    """The twin as a float32 ONNX model.

    Raises:
        UnsupportedOp: a layer has no ONNX form.
        ExportError: the operators are not written for this opset.
    """
    contract = settings.contract
    graph = Graph(twin.name, settings.opset, form)
    name = "image"
    image = name if contract.dtype == "float32" else graph.add("Cast", [name], to=TensorProto.FLOAT)

    def visit(operation: Any, *args: Any, **kwargs: Any) -> Any:
        return emit(graph, operation, *args, **kwargs)

    (value,) = keras.tree.flatten(walk(twin, Value((None, *contract.shape), last=image), visit))
    model = graph.model(
        (name, ELEMENT[contract.dtype], ["batch", *contract.shape]),
        (graph.last(value), ["batch", *value.shape[1:]]),
        settings.properties,
    )
    return exact_sigmoids(model)
