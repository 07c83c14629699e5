"""Normalizations, and factors and offsets per channel, in ONNX."""

import math
from typing import Any

import keras
import numpy as np
from keras import layers

from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry, elementwise, is_first
from bctoolkit.networks import LayerScale

__all__ = ["EMITTERS"]

EMITTERS = Registry()


@EMITTERS.register(layers.LayerNormalization)
def _layer_norm(graph: Graph, layer: Any, x: Value) -> Value | None:
    if list(np.atleast_1d(layer.axis)) not in ([-1], [len(x.shape) - 1]):
        return None
    scale = np.asarray(layer.gamma) if layer.scale else np.ones(x.shape[-1] or 0, np.float32)
    inputs = [graph.last(x), graph.constant(scale, "gamma")]
    if layer.center:
        inputs.append(graph.constant(np.asarray(layer.beta), "beta"))
    return Value(x.shape, last=graph.add("LayerNormalization", inputs, axis=-1, epsilon=layer.epsilon))


@EMITTERS.register(layers.BatchNormalization)
def _batch_norm(graph: Graph, layer: Any, x: Value) -> Value | None:
    if layer.axis not in (-1, len(x.shape) - 1):
        return None
    mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
    gamma = np.asarray(layer.gamma) if layer.scale else np.ones_like(mean)
    beta = np.asarray(layer.beta) if layer.center else np.zeros_like(mean)
    if is_first(x):
        named = (("gamma", gamma), ("beta", beta), ("mean", mean), ("variance", variance))
        inputs = [graph.first(x), *(graph.constant(array, name) for name, array in named)]
        return Value(x.shape, first=graph.add("BatchNormalization", inputs, epsilon=layer.epsilon))
    factor = gamma / np.sqrt(variance.astype(np.float64) + layer.epsilon)
    return _scale_and_shift(graph, x, factor, beta - mean * factor)


@EMITTERS.register(layers.GroupNormalization)
def _group_norm(graph: Graph, layer: Any, x: Value) -> Value | None:
    """Groups of channels lie side by side where channels come first: each as one channel, normalized by itself."""
    *sizes, channels = (size or 0 for size in x.shape[1:])
    if layer.axis not in (-1, len(x.shape) - 1) or not all((*sizes, channels)) or not sizes:
        return None
    groups = channels if layer.groups == -1 else layer.groups
    rows = graph.add("Reshape", [graph.first(x), graph.integers(-1, groups, math.prod(sizes) * channels // groups)])
    ones, zeros = (graph.constant(np.full(groups, value, np.float32), "constant") for value in (1, 0))
    rows = graph.add("InstanceNormalization", [rows, ones, zeros], epsilon=layer.epsilon)
    y = Value(x.shape, first=graph.add("Reshape", [rows, graph.integers(-1, channels, *sizes)]))
    return _scale_and_shift(
        graph, y, np.asarray(layer.gamma) if layer.scale else 1.0, np.asarray(layer.beta) if layer.center else 0.0
    )


@EMITTERS.register(layers.RMSNormalization)
def _rms_norm(graph: Graph, layer: Any, x: Value) -> Value | None:
    """X · scale / √(mean of x² + ε), Zhang & Sennrich 2019, arXiv:1910.07467."""
    if list(np.atleast_1d(layer.axis)) not in ([-1], [len(x.shape) - 1]):
        return None
    name = graph.last(x)
    mean = graph.add("ReduceMean", [graph.add("Mul", [name, name]), graph.integers(-1)], keepdims=1)
    root = graph.add("Sqrt", [graph.add("Add", [mean, graph.scalar(layer.epsilon)])])
    return _scale_and_shift(graph, Value(x.shape, last=graph.add("Div", [name, root])), np.asarray(layer.scale), 0.0)


@EMITTERS.register("LayerNorm")
def _layer_norm_operation(graph: Graph, operation: Any, x: Value, gamma: Any = None, beta: Any = None) -> Value | None:
    if list(np.atleast_1d(operation.axis)) not in ([-1], [len(x.shape) - 1]) or getattr(
        operation, "rms_scaling", False
    ):
        return None
    if isinstance(gamma, Value) or isinstance(beta, Value):
        return None
    scale = np.ones(x.shape[-1] or 0) if gamma is None else np.asarray(gamma)
    inputs = [graph.last(x), graph.constant(scale.astype(np.float32), "gamma")]
    if beta is not None:
        inputs.append(graph.constant(np.asarray(beta, np.float32), "beta"))
    return Value(x.shape, last=graph.add("LayerNormalization", inputs, axis=-1, epsilon=operation.epsilon))


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
    one = np.ndim(factor) == 0 and float(factor) == 1.0
    y = x if one else elementwise(graph, lambda *names: graph.add("Mul", [*names]), x.shape, x, factor)
    if not np.any(offset):
        return y
    return elementwise(graph, lambda *names: graph.add("Add", [*names]), x.shape, y, offset)
