"""Normalizations, and factors and offsets per channel, in ONNX."""

from typing import Any

import keras
import numpy as np
from keras import layers

from bctoolkit.export.onnx.emitters.tf2onnx_fallback import convert_layer
from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry, elementwise, is_first
from bctoolkit.networks import LayerScale

__all__ = ["EMITTERS"]

EMITTERS = Registry()


@EMITTERS.register(layers.LayerNormalization)
def _layer_norm(graph: Graph, layer: Any, x: Value) -> Value:
    if list(np.atleast_1d(layer.axis)) not in ([-1], [len(x.shape) - 1]):
        return convert_layer(graph, layer, x)
    scale = np.asarray(layer.gamma) if layer.scale else np.ones(x.shape[-1] or 0, np.float32)
    inputs = [graph.last(x), graph.constant(scale, "gamma")]
    if layer.center:
        inputs.append(graph.constant(np.asarray(layer.beta), "beta"))
    return Value(x.shape, last=graph.add("LayerNormalization", inputs, axis=-1, epsilon=layer.epsilon))


@EMITTERS.register(layers.BatchNormalization)
def _batch_norm(graph: Graph, layer: Any, x: Value) -> Value:
    if layer.axis not in (-1, len(x.shape) - 1):
        return convert_layer(graph, layer, x)
    mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
    gamma = np.asarray(layer.gamma) if layer.scale else np.ones_like(mean)
    beta = np.asarray(layer.beta) if layer.center else np.zeros_like(mean)
    if is_first(x):
        named = (("gamma", gamma), ("beta", beta), ("mean", mean), ("variance", variance))
        inputs = [graph.first(x), *(graph.constant(array, name) for name, array in named)]
        return Value(x.shape, first=graph.add("BatchNormalization", inputs, epsilon=layer.epsilon))
    factor = gamma / np.sqrt(variance.astype(np.float64) + layer.epsilon)
    return _scale_and_shift(graph, x, factor, beta - mean * factor)


@EMITTERS.register(layers.Rescaling)
def _rescaling(graph: Graph, layer: Any, x: Value) -> Value:
    return _scale_and_shift(graph, x, layer.scale, layer.offset)


@EMITTERS.register(layers.Normalization)
def _normalization(graph: Graph, layer: Any, x: Value) -> Value:
    mean = np.asarray(layer.mean, np.float64)
    deviation = np.maximum(np.sqrt(np.asarray(layer.variance, np.float64)), keras.backend.epsilon())
    if layer.invert:
        return _scale_and_shift(graph, x, deviation, mean)
    return _scale_and_shift(graph, x, 1 / deviation, -mean / deviation)


@EMITTERS.register(LayerScale)
def _layer_scale(graph: Graph, layer: Any, x: Value) -> Value:
    return _scale_and_shift(graph, x, np.asarray(layer.gamma), 0.0)


def _scale_and_shift(graph: Graph, x: Value, factor: Any, offset: Any) -> Value:
    y = elementwise(graph, lambda *names: graph.add("Mul", [*names]), x.shape, x, factor)
    if not np.any(offset):
        return y
    return elementwise(graph, lambda *names: graph.add("Add", [*names]), x.shape, y, offset)
