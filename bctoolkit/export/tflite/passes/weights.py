"""Weights of a TFLite graph in fewer bits: int8 per output channel, or float16."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bctoolkit.export.tflite.graph import Graph, Operator, QuantParams

__all__ = ["WEIGHTED_OPS", "float16_weights", "int8_weights", "quantize_dynamically", "weighted_ops"]

WEIGHTED_OPS = {"FULLY_CONNECTED": 0, "CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}
"""Operators whose second input are weights, and the axis of their output channels."""

DYNAMIC_VERSION = {"FULLY_CONNECTED": 12, "CONV_2D": 5}
"""The operator versions that take float activations with int8 weights per channel."""


def weighted_ops(graph: Graph) -> list[Operator]:
    """The operators with constant float32 weights, in the order they run."""
    operators = [operator for operator in graph.operators if graph.kind(operator) in WEIGHTED_OPS]
    return [o for o in operators if graph.constant(o.inputs[1]) is not None and graph.dtype(o.inputs[1]) == np.float32]


def int8_weights(kernel: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], QuantParams]:
    """Symmetric int8 values and their scale per output channel, as the TFLite quantization specification has it.

    https://ai.google.dev/edge/litert/models/quantization_spec
    """
    others = tuple(i for i in range(kernel.ndim) if i != axis)
    largest = np.abs(kernel).max(others, keepdims=True)
    scale = (np.where(largest > 0, largest, 1) / 127).astype(np.float32)
    return np.rint(kernel / scale).astype(np.int8), QuantParams(scale.ravel(), 0, axis)


def quantize_dynamically(graph: Graph, operators: Iterable[Operator]) -> None:
    """Store the operators' weights as int8; the engine quantizes their activations at run time.

    Requires: `operators` from `weighted_ops`, none of them depthwise.
    """
    int8_of: dict[int, int] = {}
    for operator in operators:
        kind, weights = graph.kind(operator), operator.inputs[1]
        if weights not in int8_of:
            kernel = graph.constant(weights)
            assert kernel is not None
            values, params = int8_weights(kernel, WEIGHTED_OPS[kind])
            int8_of[weights] = graph.add_constant(values, graph.name(weights), params)
        operator.inputs[1] = int8_of[weights]
        if kind == "FULLY_CONNECTED":
            operator.builtinOptions.asymmetricQuantizeInputs = True
        graph.set_version(operator, DYNAMIC_VERSION[kind])


def float16_weights(graph: Graph, operators: Iterable[Operator]) -> None:
    """Store the operators' weights as float16; the engine computes in float32 where it has no float16."""
    float32_of: dict[int, int] = {}
    casts = []
    for operator in operators:
        weights = operator.inputs[1]
        if weights not in float32_of:
            kernel = graph.constant(weights)
            assert kernel is not None
            half = graph.add_constant(kernel.astype(np.float16), f"{graph.name(weights)}/half")
            float32_of[weights] = graph.add_tensor(kernel.shape, np.float32, graph.name(weights))
            casts.append(graph.operator("DEQUANTIZE", [half], [float32_of[weights]], version=3))
        operator.inputs[1] = float32_of[weights]
    graph.operators = casts + graph.operators
