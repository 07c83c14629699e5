"""Factors and offsets per channel, and how a neighbouring kernel takes them over. Computed in float64."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from bctoolkit.export.keras_graph.walk import Operation
from bctoolkit.networks import LayerScale

__all__ = [
    "Affine",
    "Weights",
    "absorb_after",
    "absorb_before",
    "absorb_reversal",
    "affine_of",
    "affine_of_norm",
    "is_linear",
    "is_unpadded",
    "mixes_channels",
    "reverses_channels",
]

Weights = list[NDArray[Any]]

Affine = tuple[NDArray[Any], NDArray[Any]]
"""Factor and offset per channel."""


def is_linear(operation: Operation) -> bool:
    """A dense layer or convolution without activation."""
    kinds = (layers.Dense, layers.Conv2D, layers.DepthwiseConv2D)
    return type(operation) in kinds and operation.activation is keras.activations.linear


def mixes_channels(operation: Operation) -> bool:
    """A dense layer or convolution each of whose outputs sees all channels of its input."""
    return type(operation) is layers.Dense or (type(operation) is layers.Conv2D and operation.groups == 1)


def is_unpadded(operation: Operation) -> bool:
    """A dense layer or convolution that sees nothing but its input.

    A constant added before a zero-padded convolution would be missing from the padding.
    """
    return mixes_channels(operation) and getattr(operation, "padding", "valid") == "valid"


def reverses_channels(operation: Operation) -> bool:
    """`x[..., ::-1]` or a flip of the last axis: what makes BGR of RGB."""
    if type(operation).__name__ == "Flip":
        return operation.axis in (-1, len(operation.output.shape) - 1)
    if type(operation).__name__ != "GetItem" or len(operation._inbound_nodes) != 1:
        return False
    arguments = operation._inbound_nodes[0].arguments
    key = arguments.kwargs.get("key", arguments.args[1] if len(arguments.args) > 1 else None)
    rank = len(operation.output.shape)
    *others, last = tuple(key) if isinstance(key, (tuple, list)) else (key,)
    whole = others == [Ellipsis] or others == [slice(None)] * (rank - 1)
    return whole and last == slice(None, None, -1)


def affine_of(operation: Operation) -> Affine | None:
    """Factor and offset of an operation that is nothing else; None for any other operation."""
    kind = type(operation)
    if kind.__name__ in ARITHMETIC and not isinstance(operation, layers.Layer):
        return _affine_of_arithmetic(operation)
    if kind not in (LayerScale, layers.BatchNormalization, layers.Rescaling, layers.Normalization):
        return None
    shape = operation.output.shape
    if kind is LayerScale:
        return np.asarray(operation.gamma), np.zeros(shape[-1])
    if kind is layers.Rescaling:
        factor, offset = np.asarray(operation.scale, np.float64), np.asarray(operation.offset, np.float64)
    elif kind is layers.BatchNormalization:
        if operation.axis not in (-1, len(shape) - 1):
            return None
        factor = 1 / np.sqrt(np.asarray(operation.moving_variance, np.float64) + operation.epsilon)
        if operation.scale:
            factor = factor * np.asarray(operation.gamma)
        offset = -np.asarray(operation.moving_mean) * factor
        if operation.center:
            offset = offset + np.asarray(operation.beta)
    else:
        mean, deviation = np.ravel(operation.mean), np.sqrt(np.ravel(operation.variance).astype(np.float64))
        deviation = np.maximum(deviation, keras.backend.epsilon())
        factor, offset = (deviation, mean) if operation.invert else (1 / deviation, -mean / deviation)
    if not {factor.shape, offset.shape} <= {(), (shape[-1],)}:
        return None
    return np.broadcast_to(factor, shape[-1]), np.broadcast_to(offset, shape[-1])


def _affine_of_arithmetic(operation: Operation) -> Affine | None:
    """Factor and offset of `x * constant` and the like."""
    node, *others = operation._inbound_nodes
    args, shape = node.arguments.args, node.outputs[0].shape
    symbolic = [isinstance(arg, keras.KerasTensor) for arg in args]
    if others or node.arguments.kwargs or symbolic not in ([True, False], [False, True]) or len(shape) < 2:
        return None
    tensor, other = args if symbolic[0] else args[::-1]
    if not isinstance(other, int | float | np.ndarray | np.generic) or tuple(tensor.shape) != tuple(shape):
        return None
    constant = np.asarray(other, np.float64)
    if constant.size not in (1, constant.shape[-1:][0] if constant.ndim else 1) or constant.size not in (1, shape[-1]):
        return None
    coefficients = ARITHMETIC[type(operation).__name__](np.broadcast_to(constant.reshape(-1), shape[-1]), symbolic[0])
    if coefficients is None:
        return None
    factor, offset = coefficients
    return np.broadcast_to(factor, shape[-1]), np.broadcast_to(offset, shape[-1])


ARITHMETIC: dict[str, Callable[[NDArray[Any], bool], tuple[Any, Any] | None]] = {
    "Add": lambda constant, first: (1.0, constant),
    "Subtract": lambda constant, first: (1.0, -constant) if first else (-1.0, constant),
    "Multiply": lambda constant, first: (constant, 0.0),
    "Divide": lambda constant, first: (1 / constant, 0.0) if first and constant.all() else None,
    "TrueDivide": lambda constant, first: (1 / constant, 0.0) if first and constant.all() else None,
}
"""Operations with one constant, by class name: its factor and offset, given whether the tensor comes first."""


def affine_of_norm(operation: Operation) -> Affine | None:
    """Factor and offset that a LayerNormalization over the channels ends with; None for any other operation."""
    if type(operation) is not layers.LayerNormalization or not (operation.center and operation.scale):
        return None
    if list(np.atleast_1d(operation.axis)) not in ([-1], [len(operation.output.shape) - 1]):
        return None
    gamma, beta = operation.get_weights()
    return gamma, beta


def absorb_before(weights: Weights, factor: NDArray[Any], offset: NDArray[Any]) -> Weights:
    """Kernel and bias that do `kernel · (factor · x + offset) + bias`; the kernel's last axes are input, output."""
    kernel, bias = _in_float64(weights)
    added = (kernel * offset[:, None]).reshape(-1, kernel.shape[-1]).sum(0)
    return [(kernel * factor[:, None]).astype(np.float32), (bias + added).astype(np.float32)]


def absorb_reversal(weights: Weights) -> Weights:
    """Kernel and bias that do `kernel · reversed(x) + bias`; the kernel's last axes are input, output."""
    kernel, *bias = weights
    return [kernel[..., ::-1, :], *(bias or [np.zeros(kernel.shape[-1], kernel.dtype)])]


def absorb_after(layer: Operation, weights: Weights, factor: NDArray[Any], offset: NDArray[Any]) -> Weights:
    """Kernel and bias that do `factor · (kernel · x + bias) + offset`."""
    kernel, bias = _in_float64(weights)
    outputs = kernel.shape[-2:] if type(layer) is layers.DepthwiseConv2D else kernel.shape[-1:]
    return [(kernel * factor.reshape(outputs)).astype(np.float32), (bias * factor + offset).astype(np.float32)]


def _in_float64(weights: Weights) -> Weights:
    """Kernel and bias; a bias that is not there is zero."""
    kernel, *bias = (array.astype(np.float64) for array in weights)
    return [kernel, *(bias or [np.zeros(())])]
