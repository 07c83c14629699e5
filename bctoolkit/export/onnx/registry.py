"""The registry of ONNX emitters, and what emitters share: output shapes, and arithmetic in either order of channels."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from bctoolkit.export.keras_graph.walk import Operation
from bctoolkit.export.onnx.graph import Graph, Value, to_channels_first

__all__ = [
    "Emitter",
    "Registry",
    "axis_in",
    "elementwise",
    "is_first",
    "ordered",
    "shape_of",
    "specs_of",
    "value_in",
]

Emitter = Callable[..., Any]
"""Called with the graph, the operation, and the operation's arguments with a `Value` in place of each tensor.

It returns a `Value` for each output: one, or a list of several.
"""


class Registry(dict[Any, Emitter]):
    """Emitters by layer class, or by class name for operations such as `a + b`, whose classes are private."""

    def register(self, *keys: Any) -> Callable[[Emitter], Emitter]:
        """Register the decorated function for layer classes or operation names."""

        def decorate(function: Emitter) -> Emitter:
            self.update(dict.fromkeys(keys, function))
            return function

        return decorate

    def find(self, operation: Operation) -> Emitter | None:
        """The emitter of an operation; None where there is none."""
        if isinstance(operation, keras.layers.Layer):
            return self.get(type(operation))
        return self.get(type(operation).__name__)


def shape_of(operation: Operation, *args: Any, **kwargs: Any) -> tuple[int | None, ...]:
    """Shape of the only output for these arguments; an operation used twice may have two."""
    (spec,) = keras.tree.flatten(specs_of(operation, *args, **kwargs))
    return tuple(spec.shape)


def specs_of(operation: Operation, *args: Any, **kwargs: Any) -> Any:
    """Shape and dtype of the outputs for these arguments, in the operation's own structure."""

    def symbolic(leaf: Any) -> Any:
        return keras.KerasTensor(leaf.shape, leaf.dtype) if isinstance(leaf, Value) else leaf

    args, kwargs = keras.tree.map_structure(symbolic, (args, kwargs))
    return operation.compute_output_spec(*args, **kwargs)


def is_first(*values: Value) -> bool:
    """Whether an operator that takes either order of channels should run channels first: it saves transposes."""
    one_rank = len({len(value.shape) for value in values}) == 1
    return one_rank and all(v.first is not None for v in values) and any(v.last is None for v in values)


def axis_in(axis: int, rank: int, first: bool) -> int:
    """Where an axis of a tensor in Keras's layout lies in the order of channels that is written."""
    axis %= rank
    return to_channels_first(rank).index(axis) if first else axis


def ordered(graph: Graph, x: Value, first: bool) -> str:
    """The name of a value in one order of channels."""
    return graph.first(x) if first else graph.last(x)


def value_in(name: str, shape: tuple[int | None, ...], first: bool) -> Value:
    """A value that has been written in one order of channels."""
    return Value(shape, first=name) if first else Value(shape, last=name)


def elementwise(graph: Graph, write: Callable[..., str], shape: tuple[int | None, ...], *operands: Any) -> Value:
    """Write an operator that treats every element alike, in the order of channels that its inputs have.

    Args:
        graph: the graph.
        write: given the operands' names, adds the nodes and returns the name of the result.
        shape: of the result, which the operands broadcast to.
        operands: values, and constants in channels-last order.
    """
    values = [operand for operand in operands if isinstance(operand, Value)]
    rank = len(shape)
    first = is_first(*values) and all(len(value.shape) == rank for value in values)

    def name(operand: Any) -> str:
        if isinstance(operand, Value):
            return ordered(graph, operand, first)
        array = np.asarray(operand, np.float32)
        if first and array.ndim:
            array = array.reshape((1,) * (rank - array.ndim) + array.shape).transpose(to_channels_first(rank))
        return graph.constant(array, "constant")

    return value_in(write(*(name(operand) for operand in operands)), shape, first)
