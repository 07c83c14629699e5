"""Means, sums and extremes along axes, in ONNX."""

from typing import Any

import numpy as np

from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry, axis_in, is_first, ordered, shape_of, specs_of, value_in

__all__ = ["EMITTERS"]

EMITTERS = Registry()

OPERATORS = {
    "Mean": "ReduceMean",
    "Sum": "ReduceSum",
    "Max": "ReduceMax",
    "Amax": "ReduceMax",
    "Min": "ReduceMin",
    "Amin": "ReduceMin",
    "Prod": "ReduceProd",
    "Logsumexp": "ReduceLogSumExp",
}


@EMITTERS.register(*OPERATORS)
def _reduce(graph: Graph, operation: Any, x: Value) -> Value | None:
    axes = _axes(operation.axis, len(x.shape))
    if axes is None or getattr(operation, "initial", None) is not None:
        return None
    first = _keeps_order(x, axes, operation.keepdims)
    y = _along(graph, OPERATORS[type(operation).__name__], ordered(graph, x, first), x, axes, operation.keepdims, first)
    return value_in(y, shape_of(operation, x), first)


@EMITTERS.register("Var", "Std")
def _variance(graph: Graph, operation: Any, x: Value) -> Value | None:
    axes = _axes(operation.axis, len(x.shape))
    if axes is None:
        return None
    first = _keeps_order(x, axes, operation.keepdims)
    _, variance = _mean_and_variance(graph, x, axes, operation.keepdims, first)
    y = graph.add("Sqrt", [variance]) if type(operation).__name__ == "Std" else variance
    return value_in(y, shape_of(operation, x), first)


@EMITTERS.register("Moments")
def _moments(graph: Graph, operation: Any, x: Value) -> list[Value] | None:
    axes = _axes(operation.axes, len(x.shape))
    if axes is None:
        return None
    first = _keeps_order(x, axes, operation.keepdims)
    names = _mean_and_variance(graph, x, axes, operation.keepdims, first)
    specs = specs_of(operation, x)
    return [value_in(name, tuple(spec.shape), first) for name, spec in zip(names, specs, strict=True)]


def _mean_and_variance(graph: Graph, x: Value, axes: list[int], keepdims: bool, first: bool) -> tuple[str, str]:
    name = ordered(graph, x, first)
    mean = _along(graph, "ReduceMean", name, x, axes, True, first)
    apart = graph.add("Sub", [name, mean])
    variance = _along(graph, "ReduceMean", graph.add("Mul", [apart, apart]), x, axes, keepdims, first)
    return mean if keepdims else _along(graph, "ReduceMean", name, x, axes, False, first), variance


def _along(graph: Graph, operator: str, name: str, x: Value, axes: list[int], keepdims: bool, first: bool) -> str:
    positions = sorted(axis_in(axis, len(x.shape), first) for axis in axes)
    return graph.add(operator, [name, graph.integers(*positions)], keepdims=int(bool(keepdims)))


def _axes(axis: Any, rank: int) -> list[int] | None:
    """The axes, counted from the first; None where they reach over the images of a batch."""
    if axis is None:
        return None
    axes = [int(each) % rank for each in np.atleast_1d(axis)]
    return None if 0 in axes else axes


def _keeps_order(x: Value, axes: list[int], keepdims: bool) -> bool:
    """Whether to reduce channels first: the result has that order too where all axes stay."""
    return is_first(x) and bool(keepdims)
