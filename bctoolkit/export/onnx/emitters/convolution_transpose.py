"""Transposed convolutions in ONNX."""

from typing import Any

import numpy as np
from keras import layers

from bctoolkit.export.onnx.emitters.activations import activate
from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry, shape_of

__all__ = ["EMITTERS"]

EMITTERS = Registry()


@EMITTERS.register(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def _transposed(graph: Graph, layer: Any, x: Value) -> Value | None:
    """The gradient of a convolution that makes `x` of the output.

    Each pixel is spread over stride · (size - 1) + reach of the kernel; of that the convolution's padding is cut off at
    the beginning, and what is missing at the end is zero.
    """
    shape = shape_of(layer, x)
    if None in shape[1:] or None in x.shape[1:]:
        return None
    begins, ends, missing = [], [], []
    for axis, (k, stride, dilation) in enumerate(
        zip(layer.kernel_size, layer.strides, layer.dilation_rate, strict=True), start=1
    ):
        reach = (k - 1) * dilation + 1
        size, output = x.shape[axis] or 0, shape[axis] or 0
        total = 0
        if layer.padding == "same":
            total = max((-(-output // stride) - 1) * stride + reach - output, 0)
        beyond = stride * (size - 1) + reach - total // 2 - output
        begins.append(total // 2)
        ends.append(max(beyond, 0))
        missing.append(max(-beyond, 0))
    kernel = np.moveaxis(np.asarray(layer.kernel), (-1, -2), (0, 1))
    inputs = [graph.first(x), graph.constant(kernel, "kernel")]
    if layer.use_bias:
        inputs.append(graph.constant(np.asarray(layer.bias), "bias"))
    y = graph.add(
        "ConvTranspose",
        inputs,
        kernel_shape=layer.kernel_size,
        strides=layer.strides,
        dilations=layer.dilation_rate,
        pads=begins + ends,
        output_padding=missing,
    )
    return activate(graph, layer, Value(shape, first=y))
