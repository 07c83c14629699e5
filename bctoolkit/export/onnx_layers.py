"""How each Keras layer is written in ONNX: one small function per layer, found by the layer's class.

The input is a float32 twin, so dtypes, dropout and grouped depthwise convolutions are settled. Operators are those of
opset 20 (https://onnx.ai/onnx/operators/).
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from bctoolkit.export.onnx_foreign import splice
from bctoolkit.export.onnx_graph import Graph, Value
from bctoolkit.networks import LayerScale

__all__ = ["emit"]

Emitter = Callable[..., Value]
EMITTERS: dict[Any, Emitter] = {}


def emit(graph: Graph, operation: Any, *args: Any, **kwargs: Any) -> Value:
    """Write one Keras operation: by its function here, or through tf2onnx where there is none.

    Raises:
        UnsupportedOp: it has no form in ONNX; the message names the layer.
    """
    graph.scope = operation.name
    emitter = EMITTERS.get(type(operation)) or EMITTERS.get(_operation_key(operation)) or splice
    return emitter(graph, operation, *args, **kwargs)


def _operation_key(operation: Any) -> str | None:
    """Operations such as `a + b` have private classes, so they go by name."""
    return None if isinstance(operation, layers.Layer) else type(operation).__name__


def _emits(*keys: Any) -> Callable[[Emitter], Emitter]:
    def register(function: Emitter) -> Emitter:
        EMITTERS.update(dict.fromkeys(keys, function))
        return function

    return register


def _shape(operation: Any) -> tuple[int | None, ...]:
    return tuple(operation.output.shape)


ACTIVATIONS: dict[Any, Callable[[Graph, str], str]] = {
    keras.activations.linear: lambda g, x: x,
    keras.activations.relu: lambda g, x: g.add("Relu", [x]),
    keras.activations.sigmoid: lambda g, x: g.add("Sigmoid", [x]),
    keras.activations.tanh: lambda g, x: g.add("Tanh", [x]),
    keras.activations.gelu: lambda g, x: g.add("Gelu", [x], approximate="none"),
    keras.activations.silu: lambda g, x: g.add("Mul", [x, g.add("Sigmoid", [x])]),
}


def _activate(graph: Graph, operation: Any, value: Value) -> Value:
    """Apply an activation in whichever order of channels the value already has."""
    function = operation.activation
    if function is keras.activations.softmax:
        return Value(value.shape, last=graph.add("Softmax", [graph.last(value)], axis=-1))
    if function not in ACTIVATIONS:
        return splice(graph, _alone(operation, function), value)
    write = ACTIVATIONS[function]
    if value.last is None and value.first is not None:
        return Value(value.shape, first=write(graph, value.first))
    return Value(value.shape, last=write(graph, graph.last(value)))


def _alone(operation: Any, function: Any) -> Any:
    """An activation as a layer of its own, called once so that it knows its output's shape."""
    layer = layers.Activation(function, dtype="float32", name=operation.name)
    layer(keras.Input(_shape(operation)[1:]))
    return layer


@_emits(layers.Activation)
def _activation(graph: Graph, layer: Any, x: Value) -> Value:
    return _activate(graph, layer, x)


@_emits(layers.Softmax)
def _softmax(graph: Graph, layer: Any, x: Value) -> Value:
    return Value(x.shape, last=graph.add("Softmax", [graph.last(x)], axis=layer.axis))


@_emits(layers.ReLU)
def _relu(graph: Graph, layer: Any, x: Value) -> Value:
    if layer.negative_slope or layer.threshold or layer.max_value is not None:
        return splice(graph, layer, x)
    return Value(x.shape, last=graph.add("Relu", [graph.last(x)]))


@_emits(layers.Dense)
def _dense(graph: Graph, layer: Any, x: Value) -> Value:
    y = graph.add("MatMul", [graph.last(x), graph.constant(np.asarray(layer.kernel), "kernel")])
    if layer.use_bias:
        y = graph.add("Add", [y, graph.constant(np.asarray(layer.bias), "bias")])
    return _activate(graph, layer, Value(_shape(layer), last=y))


@_emits(layers.Conv2D)
def _conv(graph: Graph, layer: Any, x: Value) -> Value:
    kernel = np.asarray(layer.kernel).transpose(3, 2, 0, 1)
    return _convolve(graph, layer, x, kernel, layer.groups)


@_emits(layers.DepthwiseConv2D)
def _depthwise(graph: Graph, layer: Any, x: Value) -> Value:
    height, width, channels, multiplier = layer.kernel.shape
    kernel = np.asarray(layer.kernel).transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    return _convolve(graph, layer, x, kernel, channels)


def _convolve(graph: Graph, layer: Any, x: Value, kernel: Any, groups: int) -> Value:
    inputs = [graph.first(x), graph.constant(kernel, "kernel")]
    if layer.use_bias:
        inputs.append(graph.constant(np.asarray(layer.bias), "bias"))
    pads = _pads(x.shape, kernel.shape[2:], layer.strides, layer.dilation_rate, layer.padding)
    y = graph.add(
        "Conv",
        inputs,
        kernel_shape=kernel.shape[2:],
        strides=layer.strides,
        dilations=layer.dilation_rate,
        group=groups,
        pads=pads,
    )
    return _activate(graph, layer, Value(_shape(layer), first=y))


def _pads(shape: Any, kernel: Any, strides: Any, dilations: Any, padding: str) -> list[int]:
    """Explicit padding, all begins then all ends; TensorFlow's `same` puts the odd pixel at the end."""
    if padding == "valid":
        return [0, 0, 0, 0]
    begins, ends = [], []
    for size, k, stride, dilation in zip(shape[1:3], kernel, strides, dilations, strict=True):
        reach = (k - 1) * dilation + 1
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        begins.append(total // 2)
        ends.append(total - total // 2)
    return begins + ends


@_emits(layers.MaxPooling2D)
def _max_pool(graph: Graph, layer: Any, x: Value) -> Value:
    pads = _pads(x.shape, layer.pool_size, layer.strides, (1, 1), layer.padding)
    y = graph.add("MaxPool", [graph.first(x)], kernel_shape=layer.pool_size, strides=layer.strides, pads=pads)
    return Value(_shape(layer), first=y)


@_emits(layers.AveragePooling2D)
def _average_pool(graph: Graph, layer: Any, x: Value) -> Value:
    pads = _pads(x.shape, layer.pool_size, layer.strides, (1, 1), layer.padding)
    y = graph.add("AveragePool", [graph.first(x)], kernel_shape=layer.pool_size, strides=layer.strides, pads=pads)
    return Value(_shape(layer), first=y)


@_emits(layers.GlobalAveragePooling2D)
def _global_average(graph: Graph, layer: Any, x: Value) -> Value:
    axes = graph.constant(np.array([1, 2], np.int64), "axes")
    return Value(_shape(layer), last=graph.add("ReduceMean", [graph.last(x), axes], keepdims=int(layer.keepdims)))


@_emits(layers.LayerNormalization)
def _layer_norm(graph: Graph, layer: Any, x: Value) -> Value:
    if list(np.atleast_1d(layer.axis)) not in ([-1], [len(x.shape) - 1]):
        return splice(graph, layer, x)
    scale = np.asarray(layer.gamma) if layer.scale else np.ones(x.shape[-1] or 0, np.float32)
    inputs = [graph.last(x), graph.constant(scale, "gamma")]
    if layer.center:
        inputs.append(graph.constant(np.asarray(layer.beta), "beta"))
    return Value(x.shape, last=graph.add("LayerNormalization", inputs, axis=-1, epsilon=layer.epsilon))


@_emits(layers.BatchNormalization)
def _batch_norm(graph: Graph, layer: Any, x: Value) -> Value:
    deviation = np.sqrt(np.asarray(layer.moving_variance, np.float64) + layer.epsilon)
    factor = (np.asarray(layer.gamma) if layer.scale else 1.0) / deviation
    offset = (np.asarray(layer.beta) if layer.center else 0.0) - np.asarray(layer.moving_mean) * factor
    return _affine(graph, x, factor, offset)


@_emits(layers.Rescaling)
def _rescaling(graph: Graph, layer: Any, x: Value) -> Value:
    return _affine(graph, x, layer.scale, layer.offset)


@_emits(layers.Normalization)
def _normalization(graph: Graph, layer: Any, x: Value) -> Value:
    deviation = np.maximum(np.sqrt(np.ravel(layer.variance)), keras.backend.epsilon())
    return _affine(graph, x, 1 / deviation, -np.ravel(layer.mean) / deviation)


@_emits(LayerScale)
def _layer_scale(graph: Graph, layer: Any, x: Value) -> Value:
    return _affine(graph, x, np.asarray(layer.gamma), 0.0)


def _affine(graph: Graph, x: Value, factor: Any, offset: Any) -> Value:
    y = graph.add("Mul", [graph.last(x), graph.constant(np.asarray(factor, np.float32), "factor")])
    if np.any(offset):
        y = graph.add("Add", [y, graph.constant(np.asarray(offset, np.float32), "offset")])
    return Value(x.shape, last=y)


@_emits(layers.Add, "Add")
def _add(graph: Graph, operation: Any, *args: Any) -> Value:
    first, *others = args[0] if isinstance(args[0], list | tuple) else args
    y = graph.last(first)
    for other in others:
        y = graph.add("Add", [y, graph.last(other)])
    return Value(_shape(operation), last=y)


@_emits(layers.Flatten)
def _flatten(graph: Graph, layer: Any, x: Value) -> Value:
    shape = graph.constant(np.array([-1, _shape(layer)[1]], np.int64), "shape")
    return Value(_shape(layer), last=graph.add("Reshape", [graph.last(x), shape]))
