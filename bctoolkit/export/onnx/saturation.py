"""Products of uint8 activations and int8 weights that every CPU adds up exactly.

x86 without VNNI multiplies them with `vpmaddubsw`, which adds two neighbouring products in 16 bits and saturates at
32,767 (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, PMADDUBSW; ONNX Runtime's documentation
of quantization, "When and why do I need to try U8U8?"). Neighbours are rows 0 and 1, 2 and 3, … of a column of weights.
Their sum cannot leave 16 bits, whatever the activations, where the positive weights of each two add up to 128 at the
most, and so do the negative ones: 255 · 128 = 32,640.
"""

from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

__all__ = ["HEADROOM", "IntegerWeights", "integer_weights", "pair_sums", "round_pairwise", "saturating_columns"]

HEADROOM = 128
"""Largest sum of two neighbouring weights of one sign."""

MULTIPLIES = {"MatMulInteger": 1, "QLinearMatMul": 3, "MatMul": 1, "Gemm": 1}
"""Products, whose neighbours are known, and which of their inputs holds the weights."""
CONVOLVES = {"ConvInteger": 1, "QLinearConv": 3, "Conv": 1}
"""Convolutions, whose weights the engine orders in its own way."""


class IntegerWeights(NamedTuple):
    """The int8 weights of one product."""

    weights: NDArray[np.int8]
    """Inputs × output columns."""
    ordered: bool
    """Whether the rows meet the activations in this order; if not, any two may be neighbours."""


def pair_sums(kernel: NDArray[Any]) -> NDArray[Any]:
    """Of each column of a K × N matrix the largest |sum| of the weights of one sign among two neighbours."""
    pairs = _pairs(kernel)
    sums: NDArray[Any] = np.maximum(np.maximum(pairs, 0).sum(1), np.maximum(-pairs, 0).sum(1)).max(0)
    return sums


def round_pairwise(steps: NDArray[Any]) -> NDArray[np.int8]:
    """Round a K × N matrix, given in steps of its columns, to integers whose `pair_sums` are `HEADROOM` at the most.

    Requires: |steps| ≤ 127 and `pair_sums` ≤ `HEADROOM`. Only where both of a pair lie halfway does rounding lead
    beyond; then the first gives up the half that it would gain.
    """
    pairs = np.rint(_pairs(steps))
    beyond = (pairs[:, 0] * pairs[:, 1] > 0) & (np.abs(pairs).sum(1) > HEADROOM)
    pairs[:, 0] -= np.sign(pairs[:, 0]) * beyond
    rounded: NDArray[np.int8] = pairs.reshape(-1, steps.shape[1])[: len(steps)].astype(np.int8)
    return rounded


def saturating_columns(stored: IntegerWeights) -> int:
    """How many columns hold a pair whose products some activations bring beyond 16 bits."""
    if stored.ordered:
        return int((pair_sums(stored.weights.astype(np.int16)) > HEADROOM).sum())
    largest = np.sort(stored.weights.astype(np.int16), axis=0)
    ends = largest[:2], largest[-2:]
    sums = (np.abs(np.minimum(ends[0], 0).sum(0)), np.maximum(ends[1], 0).sum(0))
    return int((np.maximum(*sums) > HEADROOM).sum())


def integer_weights(model: onnx.ModelProto) -> dict[str, IntegerWeights]:
    """The int8 weights of a model's integer products by the name of the operator.

    Products are integer operators, and float operators that read the dequantized weights: engines fuse these.
    """
    stored = {t.name: t for t in model.graph.initializer if t.data_type == TensorProto.INT8}
    dequantized = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    weights = {}
    for node in model.graph.node:
        position = (MULTIPLIES | CONVOLVES).get(node.op_type)
        if position is None or position >= len(node.input):
            continue
        tensor = stored.get(dequantized.get(node.input[position], node.input[position]))
        if tensor is None:
            continue
        kernel = numpy_helper.to_array(tensor)
        outputs_first = node.op_type in CONVOLVES or _transposes(node)
        rows = kernel.reshape(len(kernel), -1).T if outputs_first else kernel.reshape(-1, kernel.shape[-1])
        weights[node.name or node.output[0]] = IntegerWeights(rows, node.op_type in MULTIPLIES)
    return weights


def _pairs(kernel: NDArray[Any]) -> NDArray[Any]:
    """K × N as ⌈K / 2⌉ × 2 × N; an odd last row meets zeros."""
    return np.pad(kernel, ((0, len(kernel) % 2), (0, 0))).reshape(-1, 2, kernel.shape[1])


def _transposes(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
