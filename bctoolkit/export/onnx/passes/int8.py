"""Passes that turn the matrix products of an ONNX graph into products of integers.

Weights are int8, symmetric, with one scale for each output channel, such that every CPU adds the products up exactly;
activations are uint8 with one range for the tensor, taken at run time or by calibration. Both are written in standard
operators that ONNX Runtime fuses when it loads the file (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bctoolkit.export.onnx.passes.base import constant, constants, rebuilt
from bctoolkit.export.onnx.saturation import HEADROOM, pair_sums, round_pairwise
from bctoolkit.runtime.saturation import NEVER_SATURATES

__all__ = ["Ranges", "activations", "layer_of", "quantizable_matmuls", "quantize_dynamically", "quantize_statically"]

Ranges = Mapping[str, tuple[float, float]]
"""Lowest and highest value of tensors, by name."""

Nodes = list[onnx.NodeProto]
Tensors = list[onnx.TensorProto]


def quantizable_matmuls(model: onnx.ModelProto) -> Nodes:
    """The matrix products worth integers, in the order they run: those with a constant matrix, but for the last.

    The last is the classifier. Its errors reach the probabilities undamped and it costs next to nothing, so it stays
    float unless it is the only one.
    """
    matrices = {name for name, tensor in constants(model).items() if len(tensor.dims) == 2}
    nodes = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in matrices]
    return nodes[:-1] or nodes


def layer_of(node: onnx.NodeProto) -> str:
    """The Keras layer that a node was written for."""
    return str(node.name).rsplit("/", 1)[0]


def activations(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the tensors that `quantize_statically` needs a range of."""
    return tuple(dict.fromkeys(node.input[0] for node in quantizable_matmuls(model)))


def quantize_dynamically(model: onnx.ModelProto, keep_float: Collection[str]) -> onnx.ModelProto:
    """Products of integers; the engine takes the range of each activation at run time.

    Requires: float32 products. Ensures: every one of `quantizable_matmuls` but those of the layers `keep_float` is a
    MatMulInteger; an activation that several read is quantized once.
    """

    def quantize(x: str) -> tuple[Nodes, Tensors]:
        outputs = [f"{x}/quantized", f"{x}/scale", f"{x}/zero"]
        return [helper.make_node("DynamicQuantizeLinear", [x], outputs, name=outputs[0])], []

    def multiply(node: onnx.NodeProto, kernel: str) -> Nodes:
        x, y = node.input[0], node.output[0]
        chain: tuple[tuple[str, list[str], str, dict[str, Any]], ...] = (
            ("MatMulInteger", [f"{x}/quantized", f"{kernel}/int8", f"{x}/zero"], f"{y}/integers", {}),
            ("Cast", [f"{y}/integers"], f"{y}/float", {"to": TensorProto.FLOAT}),
            ("Mul", [f"{x}/scale", f"{kernel}/scale"], f"{y}/scale", {}),
            ("Mul", [f"{y}/float", f"{y}/scale"], y, {}),
        )
        return [helper.make_node(kind, inputs, [out], name=out, **more) for kind, inputs, out, more in chain]

    return _quantize(model, keep_float, quantize, multiply)


def quantize_statically(model: onnx.ModelProto, keep_float: Collection[str], ranges: Ranges) -> onnx.ModelProto:
    """Products of integers in the QDQ form; `ranges` says what each activation may hold.

    Requires: float32 products, a range for each of `activations`. Ensures: every one of `quantizable_matmuls` but those
    of the layers `keep_float` multiplies a uint8 activation by int8 weights; zero is represented exactly.
    """

    def quantize(x: str) -> tuple[Nodes, Tensors]:
        scale, zero = _uint8_params(*ranges[x])
        stored = [constant(f"{x}/scale", scale), constant(f"{x}/zero", zero)]
        names = [tensor.name for tensor in stored]
        return [
            helper.make_node("QuantizeLinear", [x, *names], [f"{x}/quantized"], name=f"{x}/quantized"),
            helper.make_node("DequantizeLinear", [f"{x}/quantized", *names], [f"{x}/float"], name=f"{x}/float"),
        ], stored

    def multiply(node: onnx.NodeProto, kernel: str) -> Nodes:
        x, y = node.input[0], node.output[0]
        stored = [f"{kernel}/int8", f"{kernel}/scale"]
        return [
            helper.make_node("DequantizeLinear", stored, [f"{y}/kernel"], name=f"{y}/kernel", axis=1),
            helper.make_node("MatMul", [f"{x}/float", f"{y}/kernel"], [y], name=y),
        ]

    return _quantize(model, keep_float, quantize, multiply)


def _quantize(
    model: onnx.ModelProto,
    keep_float: Collection[str],
    quantize: Callable[[str], tuple[Nodes, Tensors]],
    multiply: Callable[[onnx.NodeProto, str], Nodes],
) -> onnx.ModelProto:
    """Write each product to quantize by `multiply`, and before the first that reads an activation, that by `quantize`.

    The file says that its products cannot saturate. A float file must not: whoever quantizes it would inherit that.
    """
    to_quantize = {node.name for node in quantizable_matmuls(model) if layer_of(node) not in keep_float}
    stored = constants(model)
    nodes: Nodes = []
    more: Tensors = []
    seen: set[str] = set()
    for node in model.graph.node:
        if node.name not in to_quantize:
            nodes.append(node)
            continue
        x, kernel = node.input
        if x not in seen:
            written, tensors = quantize(x)
            nodes += written
            more += tensors
        if kernel not in seen:
            integers, scale = per_channel(numpy_helper.to_array(stored[kernel]))
            more += [constant(f"{kernel}/int8", integers), constant(f"{kernel}/scale", scale)]
        seen |= {x, kernel}
        nodes += multiply(node, kernel)
    quantized = rebuilt(model, nodes, more)
    key, value = NEVER_SATURATES
    quantized.metadata_props.add(key=key, value=value)
    return quantized


def per_channel(kernel: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A K × N matrix as int8 and the scale of each of its N columns.

    The scale is the least at which no weight exceeds 127 and no pair of neighbours what every CPU adds up exactly, see
    `saturation`. A column of zeros gets the scale one, and so does one whose scale would be too small for float32.
    """
    exact = kernel.astype(np.float64)
    least = np.maximum(np.abs(exact).max(axis=0) / 127, pair_sums(exact) / HEADROOM)
    scale = np.where(least >= np.finfo(np.float32).tiny, least, 1).astype(np.float32)
    return round_pairwise(exact / scale), scale


def _uint8_params(low: float, high: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Scale and zero point of uint8 for a range, widened to hold zero; a range of nothing gets the scale one."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255 or 1.0
    return np.array(scale, np.float32), np.array(round(-low / scale), np.uint8)
