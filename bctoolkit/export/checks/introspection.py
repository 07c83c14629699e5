"""What an artifact holds and computes: looked up in its file and in its engine, format by format."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from bctoolkit.bundle import IntegerProducts
from bctoolkit.export.checks.locate import Tensor
from bctoolkit.export.onnx.saturation import integer_weights, saturating_columns
from bctoolkit.export.tflite.graph import Graph
from bctoolkit.export.tflite.passes.weights import PRODUCTS
from bctoolkit.lazy import require

__all__ = ["INSIDE", "Inside", "coarse_channel"]

LEAST_USED = 32
"""Of 127 integers: a channel whose largest weight is a smaller one has lost two of its seven bits or more."""


class Inside(NamedTuple):
    """How to look into the artifacts of one format."""

    tensors: Callable[[bytes, NDArray[Any]], list[Tensor]]
    """Every tensor computed on one image 1 × height × width × channels; integers as what they stand for."""
    integer_weights: Callable[[bytes], dict[str, NDArray[np.int8]]]
    """The int8 weights of the products, output channels first, by name."""
    integer_products: Callable[[bytes], IntegerProducts | None]
    """The products of integers, and how many of their columns a CPU may saturate; None where there are none."""


def coarse_channel(weights: dict[str, NDArray[np.int8]]) -> str | None:
    """A channel that a scale meant for others leaves few integers, in words; None where there is none.

    With a scale of its own the largest weight of a channel is ±64 to ±127. Where the channels of a kernel share one,
    those with small weights are rounded to almost nothing, which the answers may hide on the images at hand: LayerNorm
    and averaging make up for much of it.
    """
    for name, kernel in weights.items():
        used = np.abs(kernel.reshape(len(kernel), -1).astype(np.int16)).max(1)
        poor = np.flatnonzero((used < LEAST_USED) & (used.max() >= LEAST_USED))
        if poor.size:
            return (
                f"{poor.size} of {len(kernel)} channels of the weights {name!r} share a scale with larger ones; "
                f"channel {poor[0]} is left {used[poor[0]]} of 127 integers"
            )
    return None


def _tensors_of_onnx(model: bytes, image: NDArray[Any]) -> list[Tensor]:
    runtime = require("onnxruntime", "onnx")
    graph = onnx.load_from_string(model)
    standing = {output.name for output in graph.graph.output}
    names = [name for node in graph.graph.node for name in node.output if name and name not in standing]
    graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = session.run(None, {session.get_inputs()[0].name: image})
    return [value.astype(np.float32) for value in values if value.dtype.kind == "f"]


def _tensors_of_tflite(model: bytes, image: NDArray[Any]) -> list[Tensor]:
    """With LiteRT's own kernels: the delegate keeps what it computes to itself."""
    litert = require("ai_edge_litert.interpreter", "tflite")
    resolver = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = litert.Interpreter(
        model_content=model, experimental_preserve_all_tensors=True, experimental_op_resolver_type=resolver
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    found = []
    for entry in interpreter.get_tensor_details():
        try:
            value = interpreter.get_tensor(entry["index"])
        except ValueError:  # no data is kept for it
            continue
        scale, zero = entry["quantization"]
        if scale:
            found.append((value.astype(np.float32) - zero) * np.float32(scale))
        elif value.dtype.kind == "f":
            found.append(value.astype(np.float32))
    return found


def _weights_of_onnx(model: bytes) -> dict[str, NDArray[np.int8]]:
    """Matrices are input × output, kernels output × input × height × width."""
    graph = onnx.load_from_string(model).graph
    stored = [t for t in graph.initializer if t.data_type == TensorProto.INT8 and len(t.dims) in (2, 4)]
    kernels = {tensor.name: numpy_helper.to_array(tensor) for tensor in stored}
    return {name: kernel.T if kernel.ndim == 2 else kernel for name, kernel in kernels.items()}


def _weights_of_tflite(model: bytes) -> dict[str, NDArray[np.int8]]:
    graph = Graph(model)
    found = {}
    for operator in (operator for operator in graph.operators if graph.kind(operator) in PRODUCTS):
        kernel = graph.constant(operator.inputs[1])
        if kernel is not None and kernel.dtype == np.int8:
            found[graph.name(operator.inputs[1])] = np.moveaxis(kernel, PRODUCTS[graph.kind(operator)], 0)
    return found


def _products_of_onnx(model: bytes) -> IntegerProducts | None:
    found = integer_weights(onnx.load_from_string(model)).values()
    columns = sum(stored.weights.shape[1] for stored in found)
    return IntegerProducts(len(found), columns, sum(map(saturating_columns, found))) if found else None


def _products_of_tflite(model: bytes) -> None:
    """XNNPACK and LiteRT's own kernels widen before they add."""


INSIDE: dict[str, Inside] = {
    "onnx": Inside(_tensors_of_onnx, _weights_of_onnx, _products_of_onnx),
    "tflite": Inside(_tensors_of_tflite, _weights_of_tflite, _products_of_tflite),
}
