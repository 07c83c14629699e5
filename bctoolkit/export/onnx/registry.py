"""The registry of ONNX emitters, and what emitters share: output shapes, and arithmetic in either order of channels."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from bctoolkit.export.keras_graph.walk import Operation
from bctoolkit.export.onnx.graph import TO_CHANNELS_FIRST, Graph, Value

__all__ = ["Emitter", "Registry", "elementwise", "is_first", "shape_of"]

Emitter = Callable[..., Value]
"""Called with the graph, the operation, and the operation's arguments with a `Value` in place of each tensor."""


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
    """Shape of the output for these arguments; an operation used twice may have two."""

    def symbolic(leaf: Any) -> Any:
        return keras.KerasTensor(leaf.shape) if isinstance(leaf, Value) else leaf

    args, kwargs = keras.tree.map_structure(symbolic, (args, kwargs))
    return tuple(operation.compute_output_spec(*args, **kwargs).shape)


def is_first(*values: Value) -> bool:
    """Whether an operator that takes either order of channels should run channels first: it saves transposes."""
    return all(value.first is not None for value in values) and any(value.last is None for value in values)


def elementwise(graph: Graph, write: Callable[..., str], shape: tuple[int | None, ...], *operands: Any) -> Value:
    """Write an operator that treats every element alike, in the order of channels that its inputs have.

    Args:
        graph: the graph.
        write: given the operands' names, adds the nodes and returns the name of the result.
        shape: of the result, which the operands broadcast to.
        operands: values, and constants in channels-last order.
    """
    first = is_first(*(operand for operand in operands if isinstance(operand, Value)))

    def name(operand: Any) -> str:
        if isinstance(operand, Value):
            return graph.first(operand) if first else graph.last(operand)
        array = np.asarray(operand, np.float32)
        if first and array.ndim:
            array = array.reshape((1,) * (4 - array.ndim) + array.shape).transpose(TO_CHANNELS_FIRST)
        return graph.constant(array, "constant")

    result = write(*(name(operand) for operand in operands))
    return Value(shape, first=result) if first else Value(shape, last=result)
