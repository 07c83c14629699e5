"""Weights of a TFLite graph in fewer bits: int8 per output channel, or float16."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bctoolkit.export.tflite.graph import Graph, Grid, Operator

__all__ = ["PRODUCTS", "halve_weights", "int8_weights", "products", "quantize_dynamically"]

PRODUCTS = {"FULLY_CONNECTED": 0, "CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}
"""Operators whose second input are weights, and the axis of their output channels."""

DYNAMIC_VERSION = {"FULLY_CONNECTED": 12, "CONV_2D": 5}
"""The operator versions that take float activations with int8 weights per channel."""


def products(graph: Graph) -> list[Operator]:
    """The operators with constant float32 weights, in the order they run."""
    found = [operator for operator in graph.operators if graph.kind(operator) in PRODUCTS]
    return [o for o in found if graph.constant(o.inputs[1]) is not None and graph.dtype(o.inputs[1]) == np.float32]


def int8_weights(kernel: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], Grid]:
    """Symmetric int8 values and their scale per output channel, as the TFLite quantization specification has it.

    https://ai.google.dev/edge/litert/models/quantization_spec
    """
    others = tuple(i for i in range(kernel.ndim) if i != axis)
    largest = np.abs(kernel).max(others, keepdims=True)
    scale = (np.where(largest > 0, largest, 1) / 127).astype(np.float32)
    return np.rint(kernel / scale).astype(np.int8), Grid(scale.ravel(), 0, axis)


def quantize_dynamically(graph: Graph, chosen: Iterable[Operator]) -> None:
    """Store the chosen products' weights as int8; the engine quantizes their activations at run time.

    Requires: `chosen` from `products`, none of them depthwise.
    """
    made: dict[int, int] = {}
    for operator in chosen:
        kind, weights = graph.kind(operator), operator.inputs[1]
        if weights not in made:
            kernel = graph.constant(weights)
            assert kernel is not None
            values, grid = int8_weights(kernel, PRODUCTS[kind])
            made[weights] = graph.add_constant(values, graph.name(weights), grid)
        operator.inputs[1] = made[weights]
        if kind == "FULLY_CONNECTED":
            operator.builtinOptions.asymmetricQuantizeInputs = True
        graph.set_version(operator, DYNAMIC_VERSION[kind])


def halve_weights(graph: Graph, chosen: Iterable[Operator]) -> None:
    """Store the chosen products' weights as float16; the engine computes in float32 where it has no float16."""
    made: dict[int, int] = {}
    operators = []
    for operator in chosen:
        weights = operator.inputs[1]
        if weights not in made:
            kernel = graph.constant(weights)
            assert kernel is not None
            half = graph.add_constant(kernel.astype(np.float16), f"{graph.name(weights)}/half")
            made[weights] = graph.add_tensor(kernel.shape, np.float32, graph.name(weights))
            operators.append(graph.operator("DEQUANTIZE", [half], [made[weights]], version=3))
        operator.inputs[1] = made[weights]
    graph.operators = operators + graph.operators
