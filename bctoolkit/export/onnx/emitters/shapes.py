"""Layers that rearrange a tensor, in ONNX."""

from typing import Any

import numpy as np
from keras import layers

from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry, is_first, shape_of

__all__ = ["EMITTERS"]

EMITTERS = Registry()

FIRST_AXIS = (0, 2, 3, 1)
"""Where an axis of a channels-last tensor lies when channels come first."""


@EMITTERS.register(layers.Reshape, layers.Flatten)
def _reshape(graph: Graph, layer: Any, x: Value) -> Value:
    shape = shape_of(layer, x)
    if len(shape) == 4 and shape[1:3] == (1, 1):  # one pixel: either order of channels is the same in memory
        return Value(shape, first=_to(graph, x, (shape[3], 1, 1)))
    return Value(shape, last=_to(graph, x, shape[1:]))


def _to(graph: Graph, x: Value, shape: tuple[int | None, ...]) -> str:
    """Reshape, in channels-last order of the elements, to `shape` without its batch."""
    target = graph.constant(np.array([-1, *shape], np.int64), "shape")
    one_pixel = x.last is None and x.shape[1:3] == (1, 1)
    source = graph.first(x) if one_pixel else graph.last(x)
    return graph.add("Reshape", [source, target])


@EMITTERS.register(layers.Permute)
def _permute(graph: Graph, layer: Any, x: Value) -> Value:
    return Value(shape_of(layer, x), last=graph.add("Transpose", [graph.last(x)], perm=(0, *layer.dims)))


@EMITTERS.register(layers.Concatenate, "Concatenate")
def _concatenate(graph: Graph, operation: Any, values: list[Value]) -> Value:
    shape = shape_of(operation, values)
    axis = operation.axis % len(shape)
    if len(shape) == 4 and is_first(*values):
        return Value(shape, first=graph.add("Concat", [graph.first(v) for v in values], axis=FIRST_AXIS[axis]))
    return Value(shape, last=graph.add("Concat", [graph.last(v) for v in values], axis=axis))
