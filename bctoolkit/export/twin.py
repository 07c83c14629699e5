"""The float32 export twin: the same function as the trained network, in the layers that export best.

`freeze` changes the form only; `fold` then moves constant per-channel factors into neighbouring kernels. Both are exact
up to float32 rounding, and both are checked against the trained network before anything is exported.
"""

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from bctoolkit.export.walk import Operation, edges, rebuild
from bctoolkit.networks import Gelu, LayerScale, leaves

__all__ = ["fold", "freeze", "reference"]

IDLE = ("Dropout", "StochasticDepth", "GaussianNoise", "ActivityRegularization", "Random", "Identity")
"""Layers that do nothing at inference; their class names contain one of these."""

Weights = list[NDArray[Any]]


def reference(model: keras.Model) -> keras.Model:
    """The trained network computing in float32: itself, or a copy where its layers have another dtype policy."""
    if all(getattr(layer, "compute_dtype", "float32") == "float32" for layer in leaves(model)):
        return model
    return rebuild(model, _float32)


def freeze(model: keras.Model) -> keras.Model:
    """The float32 twin of a trained classifier.

    Requires: a functional or sequential model. Ensures: a flat float32 functional model with the same outputs at
    inference; no layer that acts only while training; no grouped convolution with one channel per group; every
    LayerScale is ours; no Gelu is.
    """
    weights: dict[int, Weights] = {}

    def replace(operation: Operation) -> Operation | None:
        if _is_idle(operation):
            return None
        if _is_depthwise(operation):
            kernel, *bias = operation.get_weights()
            weights[id(operation)] = [np.swapaxes(kernel, 2, 3), *bias]
            return _depthwise(operation)
        if type(operation).__name__ == "LayerScale":  # Keras's own, which is not public
            return LayerScale(dtype="float32", name=operation.name)
        if isinstance(operation, Gelu):
            return layers.Activation("gelu", dtype="float32", name=operation.name)
        return _float32(operation)

    return rebuild(model, replace, weights)


def fold(twin: keras.Model) -> keras.Model:
    """Move per-channel factors into the neighbouring kernels.

    Requires: a model made by `freeze`. Ensures: a flat float32 model with the same outputs in which every input
    normalization and every LayerNormalization affine that feeds exactly one unpadded convolution or dense layer, and
    every LayerScale that follows one, is part of that layer's kernel and bias.
    """
    weights = {id(layer): layer.get_weights() for layer in twin.layers}
    gone: set[int] = set()
    plain: set[int] = set()
    for producer, consumer in edges(twin):
        if _is_linear(consumer, padded=False):
            affine = _affine(producer)
            if affine is None:
                continue
            weights[id(consumer)] = _absorb_before(weights[id(consumer)], *affine)
            (plain if isinstance(producer, layers.LayerNormalization) else gone).add(id(producer))
        elif isinstance(consumer, LayerScale) and _is_linear(producer, padded=True):
            weights[id(producer)] = [array * weights[id(consumer)][0] for array in weights[id(producer)]]
            gone.add(id(consumer))

    def replace(operation: Operation) -> Operation | None:
        if id(operation) in gone:
            return None
        if id(operation) in plain:
            weights[id(operation)] = []
            return _like(operation, center=False, scale=False)
        return _float32(operation)

    return rebuild(twin, replace, weights)


def _like(layer: Operation, **changes: Any) -> Operation:
    """A new layer with the same arguments but for `changes`, computing in float32."""
    return type(layer).from_config({**layer.get_config(), "dtype": "float32", **changes})


def _float32(operation: Operation) -> Operation:
    """A float32 copy of a layer; operations without weights are used as they are."""
    return _like(operation) if isinstance(operation, layers.Layer) else operation


def _is_idle(operation: Operation) -> bool:
    if isinstance(operation, layers.Activation):
        return bool(operation.activation is keras.activations.linear)
    return isinstance(operation, layers.Layer) and any(word in type(operation).__name__ for word in IDLE)


def _is_depthwise(operation: Operation) -> bool:
    """A grouped convolution with one input channel per group."""
    return (
        type(operation) is layers.Conv2D
        and operation.groups > 1
        and operation.kernel.shape[2] == 1
        and operation.filters == operation.groups
        and len(set(operation.strides)) == 1
    )


def _depthwise(conv: Operation) -> Operation:
    config = {key: getattr(conv, key) for key in ("kernel_size", "strides", "padding", "dilation_rate", "use_bias")}
    return layers.DepthwiseConv2D(**config, activation=conv.activation, dtype="float32", name=conv.name)


def _is_linear(operation: Operation, padded: bool) -> bool:
    """A dense layer or convolution with a bias and, before a factor, no activation.

    A constant added before a zero-padded convolution would be missing from the padding, so `padded=False` asks for
    none.
    """
    if type(operation) not in (layers.Dense, layers.Conv2D) or not operation.use_bias:
        return False
    if padded:
        return bool(operation.activation is keras.activations.linear)
    return type(operation) is layers.Dense or (operation.padding == "valid" and operation.groups == 1)


def _affine(operation: Operation) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Factor and offset per channel that an operation ends with; None for any other operation."""
    if type(operation) is layers.LayerNormalization and operation.center and operation.scale:
        if list(np.atleast_1d(operation.axis)) not in ([-1], [len(operation.output.shape) - 1]):
            return None
        gamma, beta = operation.get_weights()
        return gamma, beta
    if type(operation) is layers.Rescaling:
        channels = operation.output.shape[-1]
        return np.broadcast_to(operation.scale, channels), np.broadcast_to(operation.offset, channels)
    if type(operation) is layers.Normalization and not operation.invert:
        mean, deviation = np.ravel(operation.mean), np.sqrt(np.ravel(operation.variance))
        deviation = np.maximum(deviation, keras.backend.epsilon())
        return (1 / deviation, -mean / deviation) if mean.size == operation.output.shape[-1] else None
    return None


def _absorb_before(weights: Weights, factor: NDArray[Any], offset: NDArray[Any]) -> Weights:
    """Kernel and bias that do `kernel · (factor · x + offset) + bias`; the kernel's last axes are input, output."""
    kernel, bias = (array.astype(np.float64) for array in weights)
    added = (kernel * offset[:, None]).reshape(-1, kernel.shape[-1]).sum(0)
    return [(kernel * factor[:, None]).astype(np.float32), (bias + added).astype(np.float32)]
