"""Layers and operations that rearrange a tensor, in ONNX."""

from typing import Any

import numpy as np
from keras import layers

from bctoolkit.export.onnx.graph import Graph, Value, to_channels_first, to_channels_last
from bctoolkit.export.onnx.registry import Registry, axis_in, is_first, ordered, shape_of, value_in

__all__ = ["EMITTERS"]

EMITTERS = Registry()


@EMITTERS.register(layers.Reshape, layers.Flatten, "Reshape")
def _reshape(graph: Graph, layer: Any, x: Value) -> Value | None:
    shape = shape_of(layer, x)
    if shape == () or (None in shape[1:] and (shape.count(None) > 1 or None not in x.shape)):
        return None
    if len(shape) == 4 and shape[1:3] == (1, 1):  # one pixel: either order of channels is the same in memory
        return Value(shape, first=_to(graph, x, (None, shape[3], 1, 1)))
    return Value(shape, last=_to(graph, x, shape))


def _to(graph: Graph, x: Value, shape: tuple[int | None, ...]) -> str:
    """Reshape, in channels-last order of the elements; an open size, or else that of the batch, is inferred."""
    sizes = shape if None in shape else (None, *shape[1:])
    target = graph.constant(np.array([-1 if size is None else size for size in sizes], np.int64), "shape")
    one_pixel = x.last is None and x.shape[1:-1] == (1,) * (len(x.shape) - 2)
    source = graph.first(x) if one_pixel else graph.last(x)
    return graph.add("Reshape", [source, target])


@EMITTERS.register(layers.Permute)
def _permute(graph: Graph, layer: Any, x: Value) -> Value:
    return _transposed(graph, x, (0, *layer.dims), shape_of(layer, x))


@EMITTERS.register("Transpose")
def _transpose(graph: Graph, operation: Any, x: Value) -> Value:
    rank = len(x.shape)
    axes = operation.axes or tuple(reversed(range(rank)))
    return _transposed(graph, x, tuple(axis % rank for axis in axes), shape_of(operation, x))


@EMITTERS.register("Swapaxes")
def _swap_axes(graph: Graph, operation: Any, x: Value) -> Value:
    perm = list(range(len(x.shape)))
    a, b = operation.axis1, operation.axis2
    perm[a], perm[b] = perm[b], perm[a]  # from the end, too
    return _transposed(graph, x, tuple(perm), shape_of(operation, x))


@EMITTERS.register("Moveaxis")
def _move_axis(graph: Graph, operation: Any, x: Value) -> Value:
    sizes = range(1, len(x.shape) + 1)  # an array of which each axis has another size tells where numpy moves it
    moved = np.moveaxis(np.empty(sizes, np.bool_), operation.source, operation.destination)
    return _transposed(graph, x, tuple(size - 1 for size in moved.shape), shape_of(operation, x))


def _transposed(graph: Graph, x: Value, perm: tuple[int, ...], shape: tuple[int | None, ...]) -> Value:
    """Moving the channels is no operator: it only changes which order is called which."""
    rank = len(perm)
    if perm == tuple(range(rank)):
        return x
    if rank > 2 and perm == to_channels_first(rank):
        return Value(shape, last=graph.first(x))
    if rank > 2 and perm == to_channels_last(rank):
        return Value(shape, first=graph.last(x))
    return Value(shape, last=graph.add("Transpose", [graph.last(x)], perm=perm))


@EMITTERS.register(layers.Concatenate, "Concatenate")
def _concatenate(graph: Graph, operation: Any, values: list[Any]) -> Value | None:
    if not all(isinstance(value, Value) for value in values):
        return None
    shape = shape_of(operation, values)
    rank = len(shape)
    first = is_first(*values)
    axis = axis_in(operation.axis, rank, first)
    return value_in(graph.add("Concat", [ordered(graph, v, first) for v in values], axis=axis), shape, first)


@EMITTERS.register(layers.RepeatVector)
def _repeat_vector(graph: Graph, layer: Any, x: Value) -> Value:
    shape = shape_of(layer, x)
    row = graph.add("Unsqueeze", [graph.last(x), graph.integers(1)])
    return Value(shape, last=graph.add("Expand", [row, graph.integers(1, layer.n, 1)]))


@EMITTERS.register("Pad")
def _pad(graph: Graph, operation: Any, x: Value, constant_values: Any = None) -> Value | None:
    width = np.broadcast_to(np.array(operation.pad_width), (len(x.shape), 2))
    modes = {"constant": "constant", "reflect": "reflect", "edge": "edge"}
    if operation.mode not in modes or width[0].any() or (width < 0).any() or np.size(constant_values) != 1:
        return None
    first, rank = is_first(x), len(x.shape)
    order = to_channels_first(rank) if first else tuple(range(rank))
    around = graph.integers(*(int(width[axis][side]) for side in (0, 1) for axis in order))
    inputs = [ordered(graph, x, first), around]
    if constant_values:
        inputs.append(graph.scalar(float(constant_values)))
    return value_in(graph.add("Pad", inputs, mode=modes[operation.mode]), shape_of(operation, x), first)
