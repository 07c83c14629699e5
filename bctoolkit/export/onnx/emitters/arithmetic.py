"""Arithmetic on tensors in ONNX: merging layers such as Multiply, and what `a * b` or `x / 255` record."""

from functools import reduce
from typing import Any

from keras import layers

from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry, elementwise, shape_of

__all__ = ["EMITTERS"]

EMITTERS = Registry()

OPERATORS = {
    "Add": "Add",
    "Subtract": "Sub",
    "Multiply": "Mul",
    "Divide": "Div",
    "TrueDivide": "Div",
    "Maximum": "Max",
    "Minimum": "Min",
    "Power": "Pow",
    "Negative": "Neg",
    "Absolute": "Abs",
    "Abs": "Abs",
    "Sqrt": "Sqrt",
    "Log": "Log",
    "Reciprocal": "Reciprocal",
    "Erf": "Erf",
    "Sin": "Sin",
    "Cos": "Cos",
    "Sign": "Sign",
}
"""Class names of layers and operations, and the ONNX operators that they are."""


@EMITTERS.register(layers.Add, layers.Subtract, layers.Multiply, layers.Maximum, layers.Minimum, *OPERATORS)
def _calculate(graph: Graph, operation: Any, *args: Any) -> Value:
    operator = OPERATORS[type(operation).__name__]

    def write(*names: str) -> str:
        if len(names) == 1:
            return graph.add(operator, [*names])
        return reduce(lambda a, b: graph.add(operator, [a, b]), names)

    return elementwise(graph, write, shape_of(operation, *args), *_operands(args))


@EMITTERS.register(layers.Average)
def _average(graph: Graph, layer: Any, args: list[Value]) -> Value:
    def write(*names: str) -> str:
        *terms, share = names
        return graph.add("Mul", [reduce(lambda a, b: graph.add("Add", [a, b]), terms), share])

    return elementwise(graph, write, shape_of(layer, args), *args, 1 / len(args))


@EMITTERS.register("Square")
def _square(graph: Graph, operation: Any, x: Value) -> Value:
    return elementwise(graph, lambda name: graph.add("Mul", [name, name]), x.shape, x)


@EMITTERS.register("Rsqrt")
def _reciprocal_root(graph: Graph, operation: Any, x: Value) -> Value:
    return elementwise(graph, lambda name: graph.add("Reciprocal", [graph.add("Sqrt", [name])]), x.shape, x)


@EMITTERS.register("Cast", "SaturateCast", "Copy", "StopGradient", "ConvertToTensor")
def _same(graph: Graph, operation: Any, x: Value) -> Value | None:
    """What leaves a float32 tensor as it is."""
    dtype = getattr(operation, "dtype", None) or x.dtype
    return x if str(dtype) == x.dtype else None


def _operands(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Layers are given one list, operations one argument after the other."""
    return tuple(args[0]) if isinstance(args[0], list | tuple) else args
