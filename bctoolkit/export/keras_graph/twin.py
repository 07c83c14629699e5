"""The float32 export twin: the same function as the trained network, in the layers that export best.

`freeze` changes the form only; `fold` then moves constant per-channel factors into neighbouring kernels. Both are exact
up to float32 rounding, and both are checked against the trained network before anything is exported.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers
from keras.src.applications import convnext, inception_resnet_v2

from bctoolkit.export.keras_graph.affine import (
    Weights,
    absorb_after,
    absorb_before,
    absorb_reversal,
    affine_of,
    affine_of_norm,
    is_linear,
    is_unpadded,
    mixes_channels,
    reverses_channels,
)
from bctoolkit.export.keras_graph.channels_first import (
    ChannelsLast,
    ElementWise,
    channels_last_copy,
    is_channels_first,
    is_elementwise,
)
from bctoolkit.export.keras_graph.einsum_dense import dense_row, dense_weights, is_dense
from bctoolkit.export.keras_graph.walk import Operation, edges, rebuild
from bctoolkit.networks import Gelu, LayerScale
from bctoolkit.networks.inference import float32_copy

__all__ = ["fold", "freeze"]

IDLE = ("Dropout", "StochasticDepth", "GaussianNoise", "ActivityRegularization", "Identity")
"""Layers that do nothing at inference; their class names contain one of these."""

LAST: dict[str, Any] = {"data_format": "channels_last", "dtype": "float32"}

AUGMENTATION = ("Random", "AugMix", "CutMix", "MixUp", "RandAugment")
"""So do Keras's augmentation layers, but for RandomCrop, which cuts at inference too."""


def freeze(model: keras.Model) -> keras.Model:
    """The float32 twin of a trained classifier.

    Requires: a functional or sequential model whose weights are numbers, as `adapt_network` has found. Ensures: a
    flat float32 functional model with the same outputs at inference; no layer that is made of others and could be
    taken apart; no layer that acts only while training, or wants channels first; no grouped convolution with one
    channel per group; no separable convolution; no dense layer over several axes; every input normalization is given
    by constants; every LayerScale is ours; no Gelu is.

    Raises:
        UnsupportedOp: a layer cannot be built in float32, or a model is a subclass without a graph.
    """
    weights: dict[int, Weights] = {}

    def replace(operation: Operation) -> list[Operation]:
        if _is_idle(operation):
            return []
        if is_channels_first(operation):
            return [ChannelsLast(layer) for layer in _frozen(operation, weights, channels_last_copy)]
        if is_elementwise(operation):
            return [ElementWise(layer) for layer in _frozen(operation, weights)]
        return _frozen(operation, weights)

    return rebuild(model, replace, weights)


def _frozen(
    operation: Operation, weights: dict[int, Weights], copy: Callable[[Operation], Operation] = float32_copy
) -> list[Operation]:
    """The operations that do what one does, computing in float32; `weights` gets theirs where they are others."""
    if _is_depthwise(operation):
        kernel, *bias = operation.get_weights()
        height, width, _, filters = kernel.shape
        weights[id(operation)] = [kernel.reshape(height, width, operation.groups, -1), *bias]
        return [_depthwise(operation, filters // operation.groups)]
    if type(operation) is layers.SeparableConv2D:
        return _separate(operation)
    if is_dense(operation):
        weights[id(operation)] = dense_weights(operation)
        return dense_row(operation)
    if isinstance(operation, convnext.LayerScale):
        return [LayerScale(dtype="float32", name=operation.name)]
    if isinstance(operation, inception_resnet_v2.CustomScaleLayer):
        return [_scaled_sum(operation)]
    if isinstance(operation, Gelu):
        return [layers.Activation("gelu", dtype="float32", name=operation.name)]
    return [copy(operation)]


def fold(twin: keras.Model) -> keras.Model:
    """Move per-channel factors and offsets into the neighbouring kernels.

    Requires: a model made by `freeze`. Ensures: a flat float32 model with the same outputs in which these are part of
    the layer's kernel and bias: every batch normalization, rescaling and LayerScale that alone follows a convolution or
    dense layer without activation; every one, and every LayerNormalization's affine, that feeds exactly one convolution
    or dense layer, which is unpadded where something is added; every reversal of channels that feeds exactly one.
    """
    weights: dict[int, Weights] = {}
    home: dict[int, Operation] = {}  # the layer that does the work of one which is gone
    plain: set[int] = set()
    pairs = list(edges(twin))

    def weights_of(layer: Operation) -> Weights:
        return weights.get(id(layer)) or layer.get_weights()

    for producer, consumer in pairs:
        linear = home.get(id(producer), producer)
        affine = affine_of(consumer) if is_linear(linear) else None
        if affine is not None:
            weights[id(linear)] = absorb_after(linear, weights_of(linear), *affine)
            home[id(consumer)] = linear
    for producer, consumer in reversed(pairs):
        linear = home.get(id(consumer), consumer)
        if id(producer) in home or not mixes_channels(linear):
            continue
        if reverses_channels(producer):
            weights[id(linear)] = absorb_reversal(weights_of(linear))
            home[id(producer)] = linear
            continue
        norm = affine_of_norm(producer)
        affine = norm or affine_of(producer)
        if affine is not None and (is_unpadded(linear) or not affine[1].any()):
            weights[id(linear)] = absorb_before(weights_of(linear), *affine)
            if norm:
                plain.add(id(producer))
            else:
                home[id(producer)] = linear

    def replace(operation: Operation) -> list[Operation]:
        if id(operation) in home:
            return []
        if id(operation) in plain:
            weights[id(operation)] = []
            return [_like(operation, center=False, scale=False)]
        if id(operation) in weights:
            return [_like(operation, use_bias=True)]
        return [float32_copy(operation)]

    return rebuild(twin, replace, weights)


def _like(layer: Operation, **changes: Any) -> Operation:
    """A new layer with the same arguments but for `changes`, computing in float32.

    Its activation is the same object, for a user's own may not be built from its name.
    """
    same = {"activation": layer.activation} if hasattr(layer, "activation") else {}
    return type(layer).from_config({**layer.get_config(), **same, "dtype": "float32", **changes})


def _is_idle(operation: Operation) -> bool:
    if isinstance(operation, layers.Activation):
        return bool(operation.activation is keras.activations.linear)
    if not isinstance(operation, layers.Layer):
        return False
    kind = type(operation)
    if kind.__module__.startswith("keras.") and kind.__name__.startswith(AUGMENTATION):
        return kind is not layers.RandomCrop
    return any(word in kind.__name__ for word in IDLE)


def _is_depthwise(operation: Operation) -> bool:
    """A grouped convolution with one input channel per group."""
    return (
        type(operation) is layers.Conv2D
        and operation.groups > 1
        and operation.kernel.shape[2] == 1
        and len(set(operation.strides)) == 1
    )


def _depthwise(conv: Operation, multiplier: int) -> Operation:
    config = {key: getattr(conv, key) for key in ("kernel_size", "strides", "padding", "dilation_rate", "use_bias")}
    return layers.DepthwiseConv2D(
        **config, **LAST, depth_multiplier=multiplier, activation=conv.activation, name=conv.name
    )


def _separate(conv: Operation) -> list[Operation]:
    """A separable convolution as the two that it is; its weights are those of the first, then those of the second."""
    config = {key: getattr(conv, key) for key in ("kernel_size", "strides", "padding", "dilation_rate")}
    first = layers.DepthwiseConv2D(
        **config,
        **LAST,
        depth_multiplier=conv.depth_multiplier,
        use_bias=False,
        name=f"{conv.name}_depthwise",
    )
    second = layers.Conv2D(conv.filters, 1, **LAST, use_bias=conv.use_bias, activation=conv.activation, name=conv.name)
    return [first, second]


def _scaled_sum(operation: Operation) -> Operation:
    """A sum whose second part is scaled, as layers that say so."""
    scale = layers.Rescaling(operation.scale, dtype="float32", name=f"{operation.name}_scale")
    total = layers.Add(dtype="float32", name=operation.name)
    return lambda parts: total([parts[0], scale(parts[1])])
