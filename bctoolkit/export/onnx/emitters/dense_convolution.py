"""Dense layers and convolutions in ONNX: matrix products in the form that an artifact's arithmetic runs best.

A dense layer on the pixels of an image, and a convolution whose windows neither overlap nor are padded, are one matrix
product each. ONNX Runtime multiplies float32 fastest as convolutions that stay in its blocked order of channels from
one depthwise convolution to the next, and integers fastest as a MatMul: `Graph.form` says which to write.
"""

from typing import Any

import numpy as np
from keras import layers
from numpy.typing import NDArray

from bctoolkit.export.onnx.emitters.activations import activate
from bctoolkit.export.onnx.emitters.spatial import pads
from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry, shape_of

__all__ = ["EMITTERS", "reachable"]

EMITTERS = Registry()

FEW = 4
"""Channels of an image: to gather so few into rows costs more than their product."""

Array = NDArray[np.float32]


@EMITTERS.register(layers.Dense)
def _dense(graph: Graph, layer: Any, x: Value) -> Value:
    kernel = np.asarray(layer.kernel)
    if graph.form == "Conv" and len(x.shape) == 4:
        return _convolve(graph, layer, x, kernel.T[:, :, None, None], (1, 1), (1, 1), [0, 0, 0, 0])
    return _multiply(graph, layer, graph.last(x), kernel, shape_of(layer, x))


@EMITTERS.register(layers.Conv1D, layers.Conv2D, layers.Conv3D)
def _conv(graph: Graph, layer: Any, x: Value) -> Value:
    kernel = np.asarray(layer.kernel)
    around = pads(x.shape, layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding)
    if graph.form == "MatMul" and _is_product(layer, x, around):
        rows = _patches(graph, x, layer.kernel_size)
        return _multiply(graph, layer, rows, kernel.reshape(-1, kernel.shape[-1]), shape_of(layer, x))
    kernel = np.moveaxis(kernel, (-1, -2), (0, 1))
    return _convolve(graph, layer, x, kernel, layer.strides, layer.dilation_rate, around)


@EMITTERS.register(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def _depthwise(graph: Graph, layer: Any, x: Value) -> Value:
    *sizes, channels, multiplier = layer.kernel.shape
    kernel = np.moveaxis(np.asarray(layer.kernel), (-2, -1), (0, 1)).reshape(channels * multiplier, 1, *sizes)
    around = pads(x.shape, layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding)
    strides = (layer.strides,) if isinstance(layer.strides, int) else layer.strides
    return _convolve(graph, layer, x, kernel, strides, layer.dilation_rate, around)


def _is_product(layer: Any, x: Value, around: list[int]) -> bool:
    """Whether each input pixel is in exactly one window of a convolution, or in one that is a single pixel."""
    if len(x.shape) != 4:
        return False
    height, width, channels = x.shape[1:]
    if layer.groups > 1 or any(around) or channels is None or channels <= FEW or height is None or width is None:
        return False
    whole = height % layer.kernel_size[0] == 0 and width % layer.kernel_size[1] == 0
    return whole and tuple(layer.kernel_size) == tuple(layer.strides)


def _patches(graph: Graph, x: Value, kernel: Any) -> str:
    """Each window of the image as one row: batch × rows × columns × (height · width · channels of a window)."""
    if tuple(kernel) == (1, 1):
        return graph.last(x)
    (height, width, channels), (k, m) = x.shape[1:], kernel
    assert height is not None
    assert width is not None
    assert channels is not None

    def reshape(name: str, *shape: int) -> str:
        return graph.add("Reshape", [name, graph.constant(np.array([-1, *shape], np.int64), "shape")])

    cut = reshape(graph.last(x), height // k, k, width // m, m, channels)
    together = graph.add("Transpose", [cut], perm=(0, 1, 3, 2, 4, 5))
    return reshape(together, height // k, width // m, k * m * channels)


def _multiply(graph: Graph, layer: Any, x: str, kernel: Array, shape: tuple[int | None, ...]) -> Value:
    y = graph.add("MatMul", [x, graph.constant(kernel, "kernel")])
    if layer.use_bias:
        y = graph.add("Add", [y, graph.constant(np.asarray(layer.bias), "bias")])
    return activate(graph, layer, Value(shape, last=y))


def _convolve(
    graph: Graph, layer: Any, x: Value, kernel: Array, strides: Any, dilations: Any, around: list[int]
) -> Value:
    """A convolution with the kernel in ONNX's order: output channels, input channels of a group, then its sizes."""
    if set(dilations) == {1}:
        kernel, around = reachable(kernel, x.shape[1:-1], strides, around)
    inputs = [graph.first(x), graph.constant(kernel, "kernel")]
    if layer.use_bias:
        inputs.append(graph.constant(np.asarray(layer.bias), "bias"))
    y = graph.add(
        "Conv",
        inputs,
        kernel_shape=kernel.shape[2:],
        strides=strides,
        dilations=dilations,
        group=(x.shape[-1] or 0) // kernel.shape[1],
        pads=around,
    )
    return activate(graph, layer, Value(shape_of(layer, x), first=y))


def reachable(kernel: Array, size: Any, strides: Any, around: list[int]) -> tuple[Array, list[int]]:
    """Leave out the rows and columns of a kernel that only ever meet padding: 7 × 7 on 3 × 3 pixels is 5 × 5.

    Requires: a kernel of shape outputs × inputs × its sizes, not dilated; `around` is all begins, then all ends.
    Ensures: the same convolution; no padding is negative.
    """
    begins, ends = list(around[: len(around) // 2]), list(around[len(around) // 2 :])
    slices = [slice(None), slice(None)]
    for axis, (pixels, stride) in enumerate(zip(size, strides, strict=True)):
        if pixels is None:
            slices.append(slice(None))
            continue
        taps = kernel.shape[2 + axis]
        outputs = (pixels + begins[axis] + ends[axis] - taps) // stride + 1
        met = [
            tap
            for tap in range(taps)
            if any(0 <= output * stride + tap - begins[axis] < pixels for output in range(outputs))
        ]
        slices.append(slice(met[0], met[-1] + 1))
        begins[axis] -= met[0]
        ends[axis] -= taps - 1 - met[-1]
    return kernel[tuple(slices)], begins + ends
