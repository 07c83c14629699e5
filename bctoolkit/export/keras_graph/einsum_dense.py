"""Dense layers over several axes, such as those of attention, as dense layers over one between two reshapings.

So factors fold into them, and integer forms multiply them, as they do with any dense layer.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from keras import activations, layers

from bctoolkit.export.keras_graph.affine import Weights
from bctoolkit.export.keras_graph.walk import Operation

__all__ = ["dense_row", "dense_weights", "is_dense"]

ALONG_AN_AXIS = (activations.softmax, activations.log_softmax, activations.glu, activations.sparsemax)


class _Axes(NamedTuple):
    """How many of the kernel's first axes are summed over, and the sizes of the others."""

    summed: int
    outputs: tuple[int, ...]


def is_dense(operation: Operation) -> bool:
    """Whether it is an `EinsumDense` that sums over the last axes of its input, and over no other."""
    return _axes(operation) is not None


def dense_row(operation: Operation) -> list[Operation]:
    """The layers that do the same, to be run in a row."""
    axes = _axes(operation)
    assert axes is not None
    dense = layers.Dense(
        math.prod(axes.outputs),
        activation=operation.activation,
        use_bias=operation.bias is not None,
        dtype="float32",
        name=operation.name,
    )
    row: list[Operation] = [dense]
    if axes.summed > 1:
        row.insert(
            0, _Reshaped(f"{operation.name}.merged", axes.summed, (math.prod(operation.kernel.shape[: axes.summed]),))
        )
    if len(axes.outputs) > 1:
        row.append(_Reshaped(f"{operation.name}.split", 1, axes.outputs))
    return row


def dense_weights(operation: Operation) -> Weights:
    """Kernel and bias of `dense_row`."""
    axes = _axes(operation)
    assert axes is not None
    kernel = np.asarray(operation.kernel).reshape(-1, math.prod(axes.outputs))
    if operation.bias is None:
        return [kernel]
    return [kernel, np.broadcast_to(np.asarray(operation.bias), axes.outputs).reshape(-1)]


def _axes(operation: Operation) -> _Axes | None:
    if type(operation) is not layers.EinsumDense:
        return None
    left, right, result = operation.equation.replace(" ", "").replace("->", ",").split(",")
    summed = [label for label in right if label not in result]
    count, outputs = len(summed), tuple(operation.kernel.shape[len(summed) :])
    kept, last = left[: len(left) - count], left[len(left) - count :]
    if not count or not kept or right[:count] != last or "".join(summed) != last or result != kept + right[count:]:
        return None
    if operation.bias is not None and len(operation.bias.shape) > len(outputs):
        return None
    if not outputs or (len(outputs) > 1 and operation.activation in ALONG_AN_AXIS):
        return None
    return _Axes(count, outputs)


class _Reshaped:
    """A reshaping of the last axes: a row's operation, see `rebuild`."""

    def __init__(self, name: str, count: int, sizes: tuple[int, ...]) -> None:
        self.name, self.weights = name, list[Any]()
        self._count, self._sizes = count, sizes
        self._layers: dict[tuple[int, ...], Any] = {}

    def set_weights(self, arrays: Weights) -> None:
        """There are none."""

    def __call__(self, x: Any) -> Any:
        target = (*x.shape[1 : len(x.shape) - self._count], *self._sizes)
        if target not in self._layers:
            name = self.name if not self._layers else f"{self.name}_{len(self._layers)}"
            self._layers[target] = layers.Reshape(
                tuple(-1 if size is None else size for size in target), dtype="float32", name=name
            )
        return self._layers[target](x)
