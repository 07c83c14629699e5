"""Depthwise convolutions in the sizes that XNNPACK has kernels for.

XNNPACK's depthwise kernels take at most 25 taps. A larger one, such as ConvNeXt's 7×7, runs as one matrix product per
channel with a single column, some ten times slower. A sum of smaller ones computes the same.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.export.tflite.graph import Graph, Operator

__all__ = ["TAPS", "split_depthwise"]

TAPS = 25
"""Of XNNPACK's largest depthwise kernel."""

SAME = 0
"""The schema's code of the padding that keeps the size."""


def split_depthwise(graph: Graph) -> None:
    """Write large float depthwise convolutions as sums of smaller ones.

    Ensures: the same outputs up to float32 rounding. Taps that only ever meet padding are dropped; of what remains, the
    middle rows are one convolution and each pair of rows around them is one of two rows, dilated. A convolution that
    has strides, an even size, or rows too long for a pair stays as it is.
    """
    operators: list[Operator] = []
    for operator in graph.operators:
        kernel = _splittable(graph, operator)
        operators += [operator] if kernel is None else _parts(graph, operator, kernel)
    graph.operators = operators


def _splittable(graph: Graph, operator: Operator) -> NDArray[np.float32] | None:
    """The kernel 1 × rows × columns × channels of an operator to split."""
    if graph.kind(operator) != "DEPTHWISE_CONV_2D":
        return None
    options, kernel = operator.builtinOptions, graph.constant(operator.inputs[1])
    if kernel is None or kernel.dtype != np.float32 or options.padding != SAME or options.depthMultiplier != 1:
        return None
    if {options.strideH, options.strideW, options.dilationHFactor, options.dilationWFactor} != {1}:
        return None
    rows, columns = kernel.shape[1:3]
    fits = rows * columns > TAPS >= 2 * columns and rows % 2 == columns % 2 == 1
    return kernel if fits else None


def _parts(graph: Graph, operator: Operator, kernel: NDArray[np.float32]) -> list[Operator]:
    """The operators that replace one."""
    source, _, bias = operator.inputs
    (target,) = operator.outputs
    name, shape = graph.name(operator.inputs[1]), graph.shape(target)
    activation = operator.builtinOptions.fusedActivationFunction
    pieces = list(_rows(_reachable(kernel, graph.shape(source))))
    parts: list[Operator] = []
    total = -1
    for index, (dilation, piece) in enumerate(pieces):
        last = index == len(pieces) - 1
        inputs = (source, graph.add_constant(piece, f"{name}/{index}"), bias if index == 0 else _zeros(graph, piece))
        output = target if last and index == 0 else graph.add_tensor(shape, np.float32, f"{name}/part_{index}")
        options: dict[str, Any] = {"dilationHFactor": dilation}
        if len(pieces) > 1:
            options["fusedActivationFunction"] = 0
        parts.append(graph.copy(operator, inputs, [output], **options))
        if index:
            added = target if last else graph.add_tensor(shape, np.float32, f"{name}/sum_{index}")
            parts.append(graph.operator("ADD", (total, output), [added]))
            output = added
        total = output
    parts[-1].builtinOptions.fusedActivationFunction = activation
    return parts


def _reachable(kernel: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The kernel without the outer rows and columns that lie in the padding wherever the kernel stands."""
    (_, rows, columns, _), (_, height, width, _) = kernel.shape, shape
    top, left = max(0, rows // 2 - (height - 1)), max(0, columns // 2 - (width - 1))
    return kernel[:, top : rows - top, left : columns - left]


def _rows(kernel: NDArray[np.float32]) -> list[tuple[int, NDArray[np.float32]]]:
    """Kernels with their vertical dilation: the middle rows, then the pairs of rows around them."""
    rows, columns = kernel.shape[1:3]
    middle = rows
    while middle * columns > TAPS:
        middle -= 2
    edge = (rows - middle) // 2
    pieces = [(1, kernel[:, edge : rows - edge])]
    return pieces + [(rows - 1 - 2 * row, kernel[:, [row, rows - 1 - row]]) for row in range(edge)]


def _zeros(graph: Graph, kernel: NDArray[np.float32]) -> int:
    return graph.add_constant(np.zeros(kernel.shape[3], np.float32), "no_bias")
