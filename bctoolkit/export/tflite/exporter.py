"""Write a float32 twin as TFLite with a fixed batch of one and built-in operators only."""

from functools import cached_property

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from bctoolkit.documents.quantization import CalibrationSettings
from bctoolkit.errors import RecipeError, UnsupportedOp
from bctoolkit.export.calibration.ranges import RangeCollector
from bctoolkit.export.exporter import ExportSettings, QuantizationSettings, RangesKey
from bctoolkit.export.tflite.convert import float_file, scope_of
from bctoolkit.export.tflite.float_islands import describe, float_islands
from bctoolkit.export.tflite.graph import Graph, Operator
from bctoolkit.export.tflite.passes.depthwise import TAPS, split_depthwise
from bctoolkit.export.tflite.passes.interface import (
    INT16_SHARE,
    UINT8_SHARE,
    integer_output,
    name_interface,
    uint8_input,
)
from bctoolkit.export.tflite.passes.lstm import expand_lstm
from bctoolkit.export.tflite.passes.static import (
    INT8,
    INT16,
    IntegerForm,
    Ranges,
    activations,
    has_form,
    integer_regions,
    quantize_statically,
)
from bctoolkit.export.tflite.passes.weights import float16_weights, quantize_dynamically, weighted_ops
from bctoolkit.runtime.backends import default_threads

__all__ = ["TfliteExporter"]

FLOATS = ("fp32", "fp16")

STATIC = {"int8": INT8, "int8-full": INT8, "w8a16": INT16}
"""Forms with calibrated ranges."""

THROUGHOUT = {"int8-full": UINT8_SHARE, "w8a16": INT16_SHARE}
"""Forms in integers wherever there is such an operator, and what they tell the probabilities in."""

LINEAR = (keras.layers.Dense, keras.layers.Conv2D, keras.layers.DepthwiseConv2D)

STATISTICS = ("LayerNormalization", "GroupNormalization", "RMSNormalization", "UnitNormalization")
"""Layers that divide by what they measure on the image: eight bits for a variance ruin it, so they stay float."""

UNDELEGATED = ("GELU", "HARD_SWISH", "SOFTMAX")
"""Operators whose int8 form XNNPACK leaves to slower kernels; their float form it takes."""


class TfliteExporter:
    """Writes a float32 twin as TFLite, one image at a time.

    The float32 graph is converted once; each quantization is a rewriting of it.
    """

    def __init__(self, twin: keras.Model, settings: ExportSettings) -> None:
        self._twin, self._settings = twin, settings
        self._ranges_of: dict[tuple[str, RangesKey], Ranges] = {}
        self._layers = {scope_of(layer): layer for layer in twin.layers}

    def quantizable(self, quantization: str) -> tuple[str, ...]:
        """Names of the twin's layers whose products become products of integers, in the order they run."""
        graph = Graph(self._float32)
        integer = self._integer(graph, quantization, frozenset())
        return tuple(dict.fromkeys(self._layer(graph, o) for o in weighted_ops(graph) if o in integer))

    def convert(self, quantization: str, settings: QuantizationSettings) -> bytes:
        """A TFLite file's bytes.

        Raises:
            UnsupportedOp: a layer needs an operator that TFLite has not built in.
            RecipeError: the form needs calibration images or uint8 input, and there are none.
        """
        self._require(quantization, settings)
        graph = Graph(self._float32)
        self._quantize(graph, quantization, settings)
        if quantization not in THROUGHOUT:  # an NPU has its own way with a large kernel
            split_depthwise(graph)
        if quantization != "fp32":
            float16_weights(graph, weighted_ops(graph))
        name_interface(graph)
        if self._settings.contract.dtype == "uint8":
            uint8_input(graph)
        if quantization in THROUGHOUT:
            integer_output(graph, THROUGHOUT[quantization])
        arithmetic = {"arithmetic": describe(float_islands(graph))} if quantization in STATIC else {}
        return graph.content({**self._settings.properties, **arithmetic})

    @cached_property
    def _float32(self) -> bytes:
        content = float_file(self._twin, self._settings.contract.shape)
        graph = Graph(content)
        if not graph.variables():
            return content
        expand_lstm(graph)
        stateless = graph.content()
        if names := Graph(stateless).variables():
            raise UnsupportedOp(f"{self._twin.name} keeps {names[0]!r} from one image to the next")
        return stateless

    def _require(self, quantization: str, settings: QuantizationSettings) -> None:
        if quantization in THROUGHOUT and self._settings.contract.dtype != "uint8":
            raise RecipeError(f"{quantization} takes uint8 images, got input {self._settings.contract.dtype!r}")
        if quantization in STATIC and (settings.images is None or not len(settings.images)):
            raise RecipeError(f"{quantization} needs calibration images for the ranges of its activations; got none")

    def _quantize(self, graph: Graph, quantization: str, settings: QuantizationSettings) -> None:
        if quantization in FLOATS:
            return
        integer = self._integer(graph, quantization, settings.keep_float)
        if not integer:
            raise RecipeError(
                f"{self._twin.name}: {quantization} leaves no layer to quantize, with {len(weighted_ops(graph))} in "
                f"all and {len(settings.keep_float)} kept in float; export it as fp32"
            )
        if quantization == "int8-dynamic":
            quantize_dynamically(graph, integer)
        else:
            quantize_statically(graph, integer, self._ranges(quantization, settings), STATIC[quantization])

    def _integer(self, graph: Graph, quantization: str, keep_float: frozenset[str]) -> list[Operator]:
        """The operators that `quantization` turns into integer ones, in the order they run."""
        if quantization in FLOATS:
            return []
        weighted = weighted_ops(graph)
        floats = [operator for operator in weighted if self._layer(graph, operator) in keep_float]
        if quantization in THROUGHOUT:
            form = STATIC[quantization]
            return [o for o in graph.operators if o not in floats and (o in weighted or self._is_in(form, graph, o))]
        dense = [o for o in weighted[1:-1] if o not in floats and graph.kind(o) != "DEPTHWISE_CONV_2D"]
        if quantization == "int8-dynamic":
            return dense
        return integer_regions(graph, dense, lambda o: o not in floats and _is_faster_in_int8(graph, o))

    def _is_in(self, form: IntegerForm, graph: Graph, operator: Operator) -> bool:
        layers = (self._layers.get(scope) for scope in graph.scopes(*operator.outputs))
        return has_form(graph, operator, form) and not any(type(layer).__name__ in STATISTICS for layer in layers)

    def _layer(self, graph: Graph, operator: Operator) -> str:
        """The name of the layer that an operator with weights comes from, of all that the converter merged into it."""
        scopes = [scope for scope in graph.scopes(operator.inputs[1], *operator.outputs) if scope in self._layers]
        linear = [scope for scope in scopes if isinstance(self._layers[scope], LINEAR)]
        return str(self._layers[(linear or scopes)[0]].name) if scopes else graph.name(operator.outputs[0])

    def _ranges(self, quantization: str, settings: QuantizationSettings) -> Ranges:
        """The ranges of all that `quantization` may turn into integers; measured once for each set of images."""
        assert settings.images is not None
        key = (quantization, settings.ranges_key)
        if key not in self._ranges_of:
            graph = Graph(self._float32)
            tensors = activations(graph, self._integer(graph, quantization, frozenset()), STATIC[quantization])
            self._ranges_of[key] = _observe(graph, tensors, settings.images, settings.calibration)
        return self._ranges_of[key]


def _observe(graph: Graph, tensors: list[int], images: NDArray[np.uint8], calibration: CalibrationSettings) -> Ranges:
    """The ranges of some tensors of a float32 graph on images, in the engine that will run the artifact."""
    graph.outputs = list(tensors)
    interpreter = Interpreter(model_content=graph.content(), num_threads=default_threads())
    interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]["index"]
    outputs = [detail["index"] for detail in interpreter.get_output_details()]
    collector = RangeCollector(calibration.method, calibration.percentile)
    for pixels in images:
        interpreter.set_tensor(image, pixels[None].astype(np.float32))
        interpreter.invoke()
        collector.update({str(t): interpreter.get_tensor(i) for t, i in zip(tensors, outputs, strict=True)})
    return {int(name): limits for name, limits in collector.ranges().items()}


def _is_faster_in_int8(graph: Graph, operator: Operator) -> bool:
    """Whether an operator between two with int8 weights is best in integers too, where XNNPACK runs the graph."""
    if graph.kind(operator) == "DEPTHWISE_CONV_2D":
        kernel = graph.constant(operator.inputs[1])
        return kernel is not None and kernel.shape[1] * kernel.shape[2] <= TAPS
    return has_form(graph, operator, INT8) and graph.kind(operator) not in UNDELEGATED
