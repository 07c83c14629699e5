"""What an artifact holds and computes: read from its file and from its engine, format by format."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from bctoolkit.errors import ParityFailed
from bctoolkit.export.checks.locate import Tensor
from bctoolkit.export.onnx.probe import float_tensors
from bctoolkit.export.onnx.saturation import integer_weights, saturating_columns
from bctoolkit.export.tflite.graph import Graph
from bctoolkit.export.tflite.passes.weights import WEIGHTED_OPS
from bctoolkit.lazy import require
from bctoolkit.manifest import IntegerProducts

__all__ = ["INTROSPECTORS", "Integers", "Introspector", "coarse_channel", "require_exact_integers"]

LEAST_USED = 32
"""Of 127 integers: a channel whose largest weight is a smaller one has lost two of its seven bits or more."""


class Integers(NamedTuple):
    """What an artifact computes in integers."""

    weights: dict[str, NDArray[np.int8]]
    """The int8 weights of the products, output channels first, by name."""
    products: IntegerProducts | None
    """How many products there are, and how many of their columns a CPU may saturate; None where none could."""


class Introspector(NamedTuple):
    """How to look into the artifacts of one format."""

    tensors: Callable[[bytes, NDArray[Any]], list[Tensor]]
    """Every tensor computed on one image 1 × height × width × channels; integers as what they stand for."""
    integers: Callable[[bytes], Integers]
    constants: Callable[[bytes], list[NDArray[np.float32]]]
    """Every float32 constant, in whatever layout."""


def coarse_channel(weights: dict[str, NDArray[np.int8]]) -> str | None:
    """A channel that a scale meant for others leaves few integers, in words; None where there is none.

    With a scale of its own the largest weight of a channel is ±64 to ±127. Where the channels of a kernel share one,
    those with small weights are rounded to almost nothing, which the predictions may hide on the images at hand:
    LayerNorm and averaging make up for much of it.
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
    return float_tensors(onnx.load_from_string(model), image)


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
    tensors = []
    for entry in interpreter.get_tensor_details():
        try:
            value = interpreter.get_tensor(entry["index"])
        except ValueError:  # no data is kept for it
            continue
        scale, zero = entry["quantization"]
        if scale:
            tensors.append((value.astype(np.float32) - zero) * np.float32(scale))
        elif value.dtype.kind == "f":
            tensors.append(value.astype(np.float32))
    return tensors


def _integers_of_onnx(model: bytes) -> Integers:
    """Matrices are input × output, kernels output × input × height × width."""
    proto = onnx.load_from_string(model)
    stored = [t for t in proto.graph.initializer if t.data_type == TensorProto.INT8 and len(t.dims) in (2, 4)]
    kernels = {tensor.name: numpy_helper.to_array(tensor) for tensor in stored}
    weights = {name: kernel.T if kernel.ndim == 2 else kernel for name, kernel in kernels.items()}
    operators = integer_weights(proto).values()
    columns = sum(operator.weights.shape[1] for operator in operators)
    saturating = sum(map(saturating_columns, operators))
    return Integers(weights, IntegerProducts(len(operators), columns, saturating) if operators else None)


def _integers_of_tflite(model: bytes) -> Integers:
    """XNNPACK and LiteRT's own kernels widen before they add, so no CPU saturates."""
    graph = Graph(model)
    weights = {}
    for operator in (operator for operator in graph.operators if graph.kind(operator) in WEIGHTED_OPS):
        kernel = graph.constant(operator.inputs[1])
        if kernel is not None and kernel.dtype == np.int8:
            weights[graph.name(operator.inputs[1])] = np.moveaxis(kernel, WEIGHTED_OPS[graph.kind(operator)], 0)
    return Integers(weights, None)


def _constants_of_onnx(model: bytes) -> list[NDArray[np.float32]]:
    tensors = onnx.load_from_string(model).graph.initializer
    return [numpy_helper.to_array(tensor) for tensor in tensors if tensor.data_type == TensorProto.FLOAT]


def _constants_of_tflite(model: bytes) -> list[NDArray[np.float32]]:
    graph = Graph(model)
    arrays = map(graph.constant, {tensor for operator in graph.operators for tensor in operator.inputs})
    return [array for array in arrays if array is not None and array.dtype == np.float32]


INTROSPECTORS: dict[str, Introspector] = {
    "onnx": Introspector(_tensors_of_onnx, _integers_of_onnx, _constants_of_onnx),
    "tflite": Introspector(_tensors_of_tflite, _integers_of_tflite, _constants_of_tflite),
}


def require_exact_integers(before: str, artifact: tuple[str, str], model: bytes) -> IntegerProducts | None:
    """Check the integer products: each output channel needs a scale of its own, and sums that every CPU gets right.

    Args:
        before: name of the variant that the artifact was made from.
        artifact: format and quantization.
        model: the artifact.

    Returns:
        What the manifest says of them; None where there are none.

    Raises:
        ParityFailed: channels share a scale, or a CPU may saturate.
    """
    introspector = INTROSPECTORS.get(artifact[0])
    if introspector is None:
        return None
    weights, products = introspector.integers(model)
    fault = coarse_channel(weights)
    if fault is None and products is not None and products.saturating:
        fault = (
            f"{products.saturating} of {products.columns} columns of integer weights hold neighbours that x86 without "
            "VNNI cannot add up in 16 bits"
        )
    if fault:
        raise ParityFailed(f"{before} → {' '.join(artifact)}: {fault}; no bundle was written")
    return products
