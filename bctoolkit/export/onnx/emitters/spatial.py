"""Layers that pool, pad, crop or resize an image, in ONNX."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import layers

from bctoolkit.export.onnx.emitters.tf2onnx_fallback import convert_layer
from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry, is_first, shape_of

__all__ = ["EMITTERS", "pads"]

EMITTERS = Registry()


def pads(shape: Any, kernel: Any, strides: Any, dilations: Any, padding: str) -> list[int]:
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


@EMITTERS.register(layers.MaxPooling2D)
def _max_pool(graph: Graph, layer: Any, x: Value) -> Value:
    return _pool(graph, layer, x, "MaxPool")


@EMITTERS.register(layers.AveragePooling2D)
def _average_pool(graph: Graph, layer: Any, x: Value) -> Value:
    """TensorFlow does not count padding, and neither does ONNX by default."""
    return _pool(graph, layer, x, "AveragePool")


def _pool(graph: Graph, layer: Any, x: Value, operator: str) -> Value:
    around = pads(x.shape, layer.pool_size, layer.strides, (1, 1), layer.padding)
    y = graph.add(operator, [graph.first(x)], kernel_shape=layer.pool_size, strides=layer.strides, pads=around)
    return Value(shape_of(layer, x), first=y)


@EMITTERS.register(layers.GlobalAveragePooling2D)
def _global_average(graph: Graph, layer: Any, x: Value) -> Value:
    return _pool_all(graph, layer, x, "GlobalAveragePool", "ReduceMean")


@EMITTERS.register(layers.GlobalMaxPooling2D)
def _global_max(graph: Graph, layer: Any, x: Value) -> Value:
    return _pool_all(graph, layer, x, "GlobalMaxPool", "ReduceMax")


def _pool_all(graph: Graph, layer: Any, x: Value, first: str, last: str) -> Value:
    shape = shape_of(layer, x)
    if not is_first(x):
        axes = graph.constant(np.array([1, 2], np.int64), "axes")
        return Value(shape, last=graph.add(last, [graph.last(x), axes], keepdims=int(layer.keepdims)))
    y = graph.add(first, [graph.first(x)])
    return Value(shape, first=y) if layer.keepdims else Value(shape, last=graph.add("Flatten", [y]))


@EMITTERS.register(layers.ZeroPadding2D)
def _pad(graph: Graph, layer: Any, x: Value) -> Value:
    begins, ends = zip(*layer.padding, strict=True)
    shape = shape_of(layer, x)
    if is_first(x):
        around = graph.constant(np.array([0, 0, *begins, 0, 0, *ends], np.int64), "pads")
        return Value(shape, first=graph.add("Pad", [graph.first(x), around]))
    around = graph.constant(np.array([0, *begins, 0, 0, *ends, 0], np.int64), "pads")
    return Value(shape, last=graph.add("Pad", [graph.last(x), around]))


@EMITTERS.register(layers.Cropping2D)
def _crop(graph: Graph, layer: Any, x: Value) -> Value:
    shape = shape_of(layer, x)
    begins = [begin for begin, _ in layer.cropping]
    ends = [begin + (size or 0) for begin, size in zip(begins, shape[1:3], strict=True)]
    first = is_first(x)
    bounds = [_integers(graph, values) for values in (begins, ends, (2, 3) if first else (1, 2))]
    y = graph.add("Slice", [graph.first(x) if first else graph.last(x), *bounds])
    return Value(shape, first=y) if first else Value(shape, last=y)


def _integers(graph: Graph, values: Sequence[int]) -> str:
    return graph.constant(np.array(values, np.int64), "bounds")


MODES = {
    "nearest": {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
}


@EMITTERS.register(layers.UpSampling2D)
def _upsample(graph: Graph, layer: Any, x: Value) -> Value:
    if layer.interpolation not in MODES:
        return convert_layer(graph, layer, x)
    scales = graph.constant(np.array([1, 1, *layer.size], np.float32), "scales")
    y = graph.add("Resize", [graph.first(x), "", scales], **MODES[layer.interpolation])
    return Value(shape_of(layer, x), first=y)
