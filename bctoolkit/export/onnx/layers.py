"""How each Keras layer is written in ONNX: one small function per layer, found by the layer's class.

The input is a float32 twin, so dtypes, dropout and grouped depthwise convolutions are settled. Operators are those of
https://onnx.ai/onnx/operators/.
"""

from typing import Any

import keras
import numpy as np
from keras import layers

from bctoolkit.export.onnx.emitters import activations, arithmetic, dense_convolution, shapes, spatial
from bctoolkit.export.onnx.emitters.tf2onnx_fallback import splice
from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Table, elementwise, is_first
from bctoolkit.networks import LayerScale

__all__ = ["emit"]

EMITTERS = Table(
    activations.EMITTERS | arithmetic.EMITTERS | dense_convolution.EMITTERS | shapes.EMITTERS | spatial.EMITTERS
)


def emit(graph: Graph, operation: Any, *args: Any, **kwargs: Any) -> Value:
    """Write one Keras operation: by its function here, or through tf2onnx where there is none.

    Raises:
        UnsupportedOp: it has no form in ONNX; the message names the layer.
    """
    graph.scope = operation.name
    emitter = EMITTERS.find(operation) or splice
    return emitter(graph, operation, *args, **kwargs)


@EMITTERS.writes(layers.LayerNormalization)
def _layer_norm(graph: Graph, layer: Any, x: Value) -> Value:
    if list(np.atleast_1d(layer.axis)) not in ([-1], [len(x.shape) - 1]):
        return splice(graph, layer, x)
    scale = np.asarray(layer.gamma) if layer.scale else np.ones(x.shape[-1] or 0, np.float32)
    inputs = [graph.last(x), graph.constant(scale, "gamma")]
    if layer.center:
        inputs.append(graph.constant(np.asarray(layer.beta), "beta"))
    return Value(x.shape, last=graph.add("LayerNormalization", inputs, axis=-1, epsilon=layer.epsilon))


@EMITTERS.writes(layers.BatchNormalization)
def _batch_norm(graph: Graph, layer: Any, x: Value) -> Value:
    if layer.axis not in (-1, len(x.shape) - 1):
        return splice(graph, layer, x)
    mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
    gamma = np.asarray(layer.gamma) if layer.scale else np.ones_like(mean)
    beta = np.asarray(layer.beta) if layer.center else np.zeros_like(mean)
    if is_first(x):
        named = (("gamma", gamma), ("beta", beta), ("mean", mean), ("variance", variance))
        inputs = [graph.first(x), *(graph.constant(array, name) for name, array in named)]
        return Value(x.shape, first=graph.add("BatchNormalization", inputs, epsilon=layer.epsilon))
    factor = gamma / np.sqrt(variance.astype(np.float64) + layer.epsilon)
    return _affine(graph, x, factor, beta - mean * factor)


@EMITTERS.writes(layers.Rescaling)
def _rescaling(graph: Graph, layer: Any, x: Value) -> Value:
    return _affine(graph, x, layer.scale, layer.offset)


@EMITTERS.writes(layers.Normalization)
def _normalization(graph: Graph, layer: Any, x: Value) -> Value:
    mean = np.asarray(layer.mean, np.float64)
    deviation = np.maximum(np.sqrt(np.asarray(layer.variance, np.float64)), keras.backend.epsilon())
    if layer.invert:
        return _affine(graph, x, deviation, mean)
    return _affine(graph, x, 1 / deviation, -mean / deviation)


@EMITTERS.writes(LayerScale)
def _layer_scale(graph: Graph, layer: Any, x: Value) -> Value:
    return _affine(graph, x, np.asarray(layer.gamma), 0.0)


def _affine(graph: Graph, x: Value, factor: Any, offset: Any) -> Value:
    y = elementwise(graph, lambda *names: graph.add("Mul", [*names]), x.shape, x, factor)
    if not np.any(offset):
        return y
    return elementwise(graph, lambda *names: graph.add("Add", [*names]), x.shape, y, offset)
