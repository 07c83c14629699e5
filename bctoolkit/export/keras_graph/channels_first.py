"""Layers that want channels first, as layers that have them last between two transpositions.

Two transpositions that meet cancel, and what treats each element alike runs between them; so a network whose layers all
want channels first is transposed where its image comes in, and where its shape is taken apart.
"""

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from bctoolkit.errors import UnsupportedOp
from bctoolkit.export.keras_graph.walk import Operation

__all__ = ["ChannelsLast", "ElementWise", "channels_last_copy", "is_channels_first", "is_elementwise"]

TO_FIRST = "to_first"
"""How a transposition is called that moves channels to the front."""

NORMALIZATIONS = (layers.BatchNormalization, layers.GroupNormalization)
ELEMENTWISE = (
    *(layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Add, layers.Subtract, layers.Multiply),
    *(layers.Average, layers.Maximum, layers.Minimum, layers.Rescaling),
)


def is_channels_first(operation: Operation) -> bool:
    """Whether an operation wants channels first, or is a normalization along the first axis of an image's channels."""
    if getattr(operation, "data_format", None) == "channels_first":
        return True
    axis = getattr(operation, "axis", None)
    return type(operation) in NORMALIZATIONS and axis == 1 and len(operation.output.shape) > 2


def is_elementwise(operation: Operation) -> bool:
    """Whether a layer treats every element alike, so that the order of channels is the same to it."""
    if type(operation) not in ELEMENTWISE or np.ndim(getattr(operation, "scale", 0)):
        return False
    activation = getattr(operation, "activation", None)
    return activation not in (keras.activations.softmax, keras.activations.log_softmax, keras.activations.glu)


def channels_last_copy(operation: Operation) -> Operation:
    """A new layer with the same arguments but channels last, computing in float32.

    Raises:
        UnsupportedOp: an operation, whose arguments Keras does not tell.
    """
    if not isinstance(operation, layers.Layer):
        raise UnsupportedOp(
            f"{type(operation).__name__} {operation.name!r} wants channels first; give it data_format='channels_last'"
        )
    config = operation.get_config() | {"dtype": "float32"}
    if "data_format" in config:
        config["data_format"] = "channels_last"
    if type(operation) in NORMALIZATIONS:
        config["axis"] = -1
    return type(operation).from_config(config)


class ChannelsLast:
    """A layer with channels last in place of one that has them first: a row's operation, see `rebuild`."""

    def __init__(self, layer: Operation) -> None:
        self.layer, self.name = layer, layer.name
        self._transpositions: dict[str, Any] = {}

    @property
    def weights(self) -> list[Any]:
        """Those of the layer."""
        weights: list[Any] = self.layer.weights
        return weights

    def set_weights(self, arrays: list[NDArray[Any]]) -> None:
        """Set them."""
        self.layer.set_weights(arrays)

    def __call__(self, x: Any) -> Any:
        """Channels first in and out."""
        y = self.layer(self.to_last(x))
        return self.to_first(y) if len(y.shape) == len(x.shape) else y

    def to_last(self, x: Any) -> Any:
        """A tensor with its channels moved to the end; where they come from there, the one they come from."""
        if _comes_from_last(x):
            operation, index, _ = x._keras_history
            return operation._inbound_nodes[index].input_tensors[0]
        return self._transpose(x, (*range(2, len(x.shape)), 1), "to_last")

    def to_first(self, x: Any) -> Any:
        """A tensor with its channels moved to the front."""
        return self._transpose(x, (len(x.shape) - 1, *range(1, len(x.shape) - 1)), TO_FIRST)

    def _transpose(self, x: Any, dims: tuple[int, ...], name: str) -> Any:
        if name not in self._transpositions:
            self._transpositions[name] = layers.Permute(dims, dtype="float32", name=f"{self.name}.{name}")
        return self._transpositions[name](x)


class ElementWise(ChannelsLast):
    """A layer that treats every element alike: it runs channels last where its inputs come from there."""

    def __call__(self, x: Any) -> Any:
        """The layer's output, in the order of channels that its inputs have."""
        if not all(map(_comes_from_last, keras.tree.flatten(x))):
            return self.layer(x)
        return self.to_first(self.layer(keras.tree.map_structure(self.to_last, x)))


def _comes_from_last(x: Any) -> bool:
    operation = x._keras_history.operation
    return type(operation) is layers.Permute and str(operation.name).endswith(f".{TO_FIRST}")
