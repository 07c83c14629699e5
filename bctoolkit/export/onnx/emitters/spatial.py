"""Layers that pool, pad or crop an image or a sequence, in ONNX."""

from typing import Any

from keras import layers

from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry, axis_in, is_first, ordered, shape_of, value_in

__all__ = ["EMITTERS", "pads"]

EMITTERS = Registry()


def pads(shape: Any, kernel: Any, strides: Any, dilations: Any, padding: str) -> list[int]:
    """Explicit padding, all begins then all ends; TensorFlow's `same` puts the odd pixel at the end.

    `causal` puts all of it at the beginning: no step sees a later one.
    """
    begins, ends = [], []
    for size, k, stride, dilation in zip(shape[1:-1], kernel, strides, dilations, strict=True):
        reach = (k - 1) * dilation + 1
        if padding != "same":
            begins.append(reach - 1 if padding == "causal" else 0)
            ends.append(0)
            continue
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        begins.append(total // 2)
        ends.append(total - total // 2)
    return begins + ends


@EMITTERS.register(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D)
def _max_pool(graph: Graph, layer: Any, x: Value) -> Value:
    return _pool(graph, layer, x, "MaxPool")


@EMITTERS.register(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D)
def _average_pool(graph: Graph, layer: Any, x: Value) -> Value:
    """TensorFlow does not count padding, and neither does ONNX by default."""
    return _pool(graph, layer, x, "AveragePool")


def _pool(graph: Graph, layer: Any, x: Value, operator: str) -> Value:
    around = pads(x.shape, layer.pool_size, layer.strides, (1,) * len(layer.pool_size), layer.padding)
    y = graph.add(operator, [graph.first(x)], kernel_shape=layer.pool_size, strides=layer.strides, pads=around)
    return Value(shape_of(layer, x), first=y)


@EMITTERS.register(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D)
def _global_average(graph: Graph, layer: Any, x: Value) -> Value:
    return _pool_all(graph, layer, x, "GlobalAveragePool", "ReduceMean")


@EMITTERS.register(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D)
def _global_max(graph: Graph, layer: Any, x: Value) -> Value:
    return _pool_all(graph, layer, x, "GlobalMaxPool", "ReduceMax")


def _pool_all(graph: Graph, layer: Any, x: Value, first: str, last: str) -> Value:
    shape = shape_of(layer, x)
    if not is_first(x):
        axes = graph.integers(*range(1, len(x.shape) - 1))
        return Value(shape, last=graph.add(last, [graph.last(x), axes], keepdims=int(layer.keepdims)))
    y = graph.add(first, [graph.first(x)])
    return Value(shape, first=y) if layer.keepdims else Value(shape, last=graph.add("Flatten", [y]))


@EMITTERS.register(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)
def _pad(graph: Graph, layer: Any, x: Value) -> Value:
    begins, ends = zip(*_sides(layer.padding), strict=True)
    first = is_first(x)
    around = (0, 0, *begins, 0, 0, *ends) if first else (0, *begins, 0, 0, *ends, 0)
    y = graph.add("Pad", [ordered(graph, x, first), graph.integers(*around)])
    return value_in(y, shape_of(layer, x), first)


@EMITTERS.register(layers.Cropping1D, layers.Cropping2D, layers.Cropping3D)
def _crop(graph: Graph, layer: Any, x: Value) -> Value:
    shape = shape_of(layer, x)
    begins = [begin for begin, _ in _sides(layer.cropping)]
    ends = [begin + (size or 0) for begin, size in zip(begins, shape[1:-1], strict=True)]
    first = is_first(x)
    axes = [axis_in(axis, len(shape), first) for axis in range(1, len(shape) - 1)]
    bounds = [graph.integers(*values) for values in (begins, ends, axes)]
    return value_in(graph.add("Slice", [ordered(graph, x, first), *bounds]), shape, first)


def _sides(amounts: Any) -> list[tuple[int, int]]:
    """Pixels at the beginning and at the end of each axis; a layer of one axis has one pair alone."""
    return [tuple(amounts)] if isinstance(amounts[0], int) else [tuple(pair) for pair in amounts]
