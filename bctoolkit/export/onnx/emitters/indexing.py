"""Parts of a tensor, and tensors of parts, in ONNX: slices, splits, stacks and axes of one."""

from typing import Any

import numpy as np

from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry, axis_in, is_first, ordered, shape_of, specs_of, value_in

__all__ = ["EMITTERS"]

EMITTERS = Registry()

END = np.iinfo(np.int64).max


@EMITTERS.register("GetItem")
def _get_item(graph: Graph, operation: Any, x: Value, key: Any) -> Value | None:
    """Basic indexing of numpy: integers, slices, `None` and one ellipsis, on any axis but the batch."""
    entries = list(key) if isinstance(key, tuple | list) else [key]
    if not all(entry is None or entry is Ellipsis or _is_basic(entry) for entry in entries):
        return None
    consumed = sum(entry is not None and entry is not Ellipsis for entry in entries)
    missing = [slice(None)] * (len(x.shape) - consumed)
    at = next((index for index, entry in enumerate(entries) if entry is Ellipsis), len(entries))
    entries = [*entries[:at], *missing, *entries[at + 1 :]]
    if x.shape[0] is None and entries[0] != slice(None):
        return None
    axes = [entry for entry in entries if entry is not None]
    first = is_first(x) and all(isinstance(entry, slice) for entry in entries)
    name = _slice(graph, ordered(graph, x, first), axes, len(x.shape), first)
    gone = [axis for axis, entry in enumerate(axes) if not isinstance(entry, slice)]
    if gone:
        name = graph.add("Squeeze", [name, graph.integers(*gone)])
    kept = [entry for entry in entries if entry is None or isinstance(entry, slice)]
    new = [axis for axis, entry in enumerate(kept) if entry is None]
    if new:
        name = graph.add("Unsqueeze", [name, graph.integers(*new)])
    return value_in(name, shape_of(operation, x, key), first)


def _is_basic(entry: Any) -> bool:
    if isinstance(entry, slice):
        return all(bound is None or isinstance(bound, int) for bound in (entry.start, entry.stop, entry.step))
    return isinstance(entry, int | np.integer)


def _slice(graph: Graph, x: str, axes: list[Any], rank: int, first: bool) -> str:
    """The part of every axis that a slice leaves; an integer leaves one."""
    bounds = []
    for axis, entry in enumerate(axes):
        if entry == slice(None):
            continue
        if not isinstance(entry, slice):
            entry = slice(entry, entry + 1 if entry != -1 else END)
        step = 1 if entry.step is None else entry.step
        start = entry.start if entry.start is not None else (0 if step > 0 else END)
        stop = entry.stop if entry.stop is not None else (END if step > 0 else -END)
        bounds.append((start, stop, axis_in(axis, rank, first), step))
    if not bounds:
        return x
    return graph.add("Slice", [x, *(graph.integers(*each) for each in zip(*bounds, strict=True))])


@EMITTERS.register("Split")
def _split(graph: Graph, operation: Any, x: Value) -> list[Value] | None:
    shapes = [tuple(spec.shape) for spec in specs_of(operation, x)]
    axis, rank = operation.axis % len(x.shape), len(x.shape)
    if any(shape[axis] is None for shape in shapes):
        return None
    if len(shapes) == 1:
        return [x]
    first = is_first(x)
    sizes = graph.integers(*(shape[axis] or 0 for shape in shapes))
    inputs = [ordered(graph, x, first), sizes]
    names = graph.add_many("Split", inputs, len(shapes), axis=axis_in(axis, rank, first))
    return [value_in(name, shape, first) for name, shape in zip(names, shapes, strict=True)]


@EMITTERS.register("Unstack")
def _unstack(graph: Graph, operation: Any, x: Value) -> list[Value] | None:
    axis = operation.axis % len(x.shape)
    count = x.shape[axis]
    if count is None:
        return None
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    sizes = graph.integers(*[1] * count)
    names = graph.add_many("Split", [graph.last(x), sizes], count, axis=axis)
    return [Value(shape, last=graph.add("Squeeze", [name, graph.integers(axis)])) for name in names]


@EMITTERS.register("Stack")
def _stack(graph: Graph, operation: Any, values: list[Any]) -> Value | None:
    if not all(isinstance(value, Value) for value in values):
        return None
    shape = shape_of(operation, values)
    axis = operation.axis % len(shape)
    parts = [graph.add("Unsqueeze", [graph.last(value), graph.integers(axis)]) for value in values]
    return Value(shape, last=graph.add("Concat", parts, axis=axis))


@EMITTERS.register("ExpandDims")
def _expand_dims(graph: Graph, operation: Any, x: Value) -> Value:
    shape = shape_of(operation, x)
    axes = [int(axis) % len(shape) for axis in np.atleast_1d(operation.axis)]
    return Value(shape, last=graph.add("Unsqueeze", [graph.last(x), graph.integers(*axes)]))


@EMITTERS.register("Squeeze")
def _squeeze(graph: Graph, operation: Any, x: Value) -> Value | None:
    if operation.axis is None:
        return None
    axes = [int(axis) % len(x.shape) for axis in np.atleast_1d(operation.axis)]
    return Value(shape_of(operation, x), last=graph.add("Squeeze", [graph.last(x), graph.integers(*axes)]))


@EMITTERS.register("Flip")
def _flip(graph: Graph, operation: Any, x: Value) -> Value | None:
    if operation.axis is None:
        return None
    first, rank = is_first(x), len(x.shape)
    flipped = {int(axis) % rank for axis in np.atleast_1d(operation.axis)}
    if 0 in flipped:
        return None
    axes = [slice(None, None, -1) if axis in flipped else slice(None) for axis in range(rank)]
    return value_in(_slice(graph, ordered(graph, x, first), axes, rank, first), x.shape, first)


@EMITTERS.register("Roll")
def _roll(graph: Graph, operation: Any, x: Value) -> Value | None:
    """Each axis cut in two, and put together in the other order."""
    if operation.axis is None:
        return None
    first, rank = is_first(x), len(x.shape)
    axes = [int(axis) % rank for axis in np.atleast_1d(operation.axis)]
    shifts = np.broadcast_to(np.atleast_1d(operation.shift), len(axes))
    if any(axis == 0 or x.shape[axis] is None for axis in axes):
        return None
    name = ordered(graph, x, first)
    for axis, shift in zip(axes, shifts, strict=True):
        size = x.shape[axis] or 1
        cut = -int(shift) % size
        if cut:
            sizes, position = graph.integers(cut, size - cut), axis_in(axis, rank, first)
            begin, end = graph.add_many("Split", [name, sizes], 2, axis=position)
            name = graph.add("Concat", [end, begin], axis=position)
    return value_in(name, x.shape, first)
