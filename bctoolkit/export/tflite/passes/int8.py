"""Static int8 in a TFLite graph: which operators compute in integers, and the grids of what flows between them.

The arithmetic is that of the TFLite quantization specification (int8 activations with a zero point, symmetric int8
weights per output channel, int32 biases): https://ai.google.dev/edge/litert/models/quantization_spec
"""

from collections.abc import Callable, Mapping

import numpy as np

from bctoolkit.export.tflite.graph import Graph, Grid, Operator
from bctoolkit.export.tflite.passes.weights import PRODUCTS, int8_weights

__all__ = ["CARRIERS", "Ranges", "activations", "between_integers", "grid_of", "quantize_statically"]

Ranges = Mapping[int, tuple[float, float]]
"""Lowest and highest value of a tensor."""

PROBABILITY, IMAGE = Grid(1 / 256, -128), Grid(1, -128)

FIXED = {"SOFTMAX": PROBABILITY, "LOGISTIC": PROBABILITY, "TANH": Grid(1 / 128, 0)}
"""Operators whose output has the same grid always."""

UNCHANGED = ("MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE", "PAD", "TRANSPOSE", "SQUEEZE")
"""Operators whose output has the grid of their input."""

CARRIERS = {
    **dict.fromkeys(("ADD", "SUB", "MUL", "MEAN", "CONCATENATION", "RELU", "RELU6", "GELU", "LEAKY_RELU"), 2),
    **dict.fromkeys(("SOFTMAX", "LOGISTIC", "TANH", "MAX_POOL_2D", "AVERAGE_POOL_2D", "PAD", "TRANSPOSE"), 2),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "HARD_SWISH"), 1),
}
"""Operators besides products that have an int8 form, and its version."""

VERSION = {"FULLY_CONNECTED": 12, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, **CARRIERS}


def between_integers(graph: Graph, products: list[Operator], riders: Callable[[Operator], bool]) -> list[Operator]:
    """The products, and every operator that `riders` allows between two of them, in the order they run.

    An operator rides along if all it reads comes from an integer operator and all that read it are integer operators:
    then its values need never be floats.
    """
    inside = {id(operator): operator for operator in graph.operators if riders(operator)}
    inside |= {id(operator): operator for operator in products}
    fixed = {id(operator) for operator in products}
    source = {tensor: id(operator) for operator in graph.operators for tensor in operator.outputs}
    readers = graph.readers()

    def rides(operator: Operator) -> bool:
        read = [tensor for tensor in operator.inputs if graph.constant(tensor) is None and tensor >= 0]
        following = [id(reader) for tensor in operator.outputs for reader in readers.get(tensor, [])]
        ends = any(tensor in graph.outputs for tensor in operator.outputs)
        return not ends and all(source.get(t) in inside for t in read) and all(key in inside for key in following)

    while leaving := [key for key, operator in inside.items() if key not in fixed and not rides(operator)]:
        for key in leaving:
            del inside[key]
    return [operator for operator in graph.operators if id(operator) in inside]


def activations(graph: Graph, integer: list[Operator]) -> list[int]:
    """The tensors whose ranges `quantize_statically` needs."""
    needed: dict[int, None] = {}
    for operator in integer:
        free = graph.kind(operator) not in (*FIXED, *UNCHANGED)
        tensors = [*operator.inputs, *(operator.outputs if free else ())]
        needed |= dict.fromkeys(t for t in tensors if _is_activation(graph, t) and t not in graph.inputs)
    return list(needed)


def grid_of(low: float, high: float) -> Grid:
    """The int8 grid of a range, widened to hold zero exactly and to steps that float32 can tell from zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(np.float32((high - low) / 255 if high > low else 1.0), np.finfo(np.float32).tiny)
    return Grid(scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))


def quantize_statically(graph: Graph, integer: list[Operator], ranges: Ranges) -> None:
    """Compute the given operators in int8, with QUANTIZE and DEQUANTIZE where floats meet integers.

    Requires: operators from `between_integers`, or any with an int8 form; the range of each tensor of `activations`.
    The graph's input is an image of values 0–255.
    """
    _Integers(graph, ranges).rewrite({id(operator) for operator in integer})


def _is_activation(graph: Graph, tensor: int) -> bool:
    return tensor >= 0 and graph.constant(tensor) is None and bool(graph.dtype(tensor) == np.float32)


class _Integers:
    """The rewriting of one graph: each float tensor gets an int8 twin when someone needs it."""

    def __init__(self, graph: Graph, ranges: Ranges) -> None:
        self._graph, self._ranges = graph, ranges
        self._twins: dict[int, tuple[int, Grid]] = {}
        self._operators: list[Operator] = []

    def rewrite(self, integer: set[int]) -> None:
        graph = self._graph
        readers = graph.readers()
        for operator in graph.operators:
            if id(operator) not in integer:
                self._operators.append(operator)
                continue
            targets = list(operator.outputs)
            self._operate(operator)
            for tensor in targets:
                if tensor in graph.outputs or any(id(reader) not in integer for reader in readers.get(tensor, [])):
                    self._operators.append(graph.operator("DEQUANTIZE", [self._twins[tensor][0]], [tensor], version=2))
        graph.operators = self._operators

    def _operate(self, operator: Operator) -> None:
        """Turn an operator into its int8 form, and add it."""
        graph, kind = self._graph, self._graph.kind(operator)
        (target,) = operator.outputs
        grid = FIXED.get(kind)
        if kind in UNCHANGED:
            grid = self._twin(operator.inputs[0])[1]
        elif grid is None:
            grid = grid_of(*self._ranges[target])
        if kind in PRODUCTS:
            operator.inputs = self._product_inputs(operator, PRODUCTS[kind])
        else:
            wanted = grid if kind == "CONCATENATION" else None
            operator.inputs = [self._integer_input(tensor, wanted) for tensor in operator.inputs]
        made = graph.add_tensor(graph.shape(target), np.int8, f"{graph.name(target)}/int8", grid)
        self._twins[target] = (made, grid)
        operator.outputs = [made]
        graph.set_version(operator, VERSION[kind])
        self._operators.append(operator)

    def _product_inputs(self, operator: Operator, axis: int) -> list[int]:
        graph = self._graph
        source, weights, *rest = operator.inputs
        twin, grid = self._twin(source)
        kernel = graph.constant(weights)
        assert kernel is not None
        values, steps = int8_weights(kernel, axis)
        inputs = [twin, graph.add_constant(values, graph.name(weights), steps)]
        bias = graph.constant(rest[0]) if rest else None
        if bias is None:
            return [*inputs, *rest]
        accumulator = Grid(grid.scale * steps.scale)
        whole = np.clip(np.rint(bias / accumulator.scale.astype(np.float64)), -(2**31) + 1, 2**31 - 1)
        return [*inputs, graph.add_constant(whole.astype(np.int32), f"{graph.name(rest[0])}/int32", accumulator)]

    def _integer_input(self, tensor: int, wanted: Grid | None) -> int:
        """What an operator reads instead of `tensor`, on the grid `wanted` if that matters."""
        graph, value = self._graph, self._graph.constant(tensor)
        if value is not None and value.dtype == np.float32:
            grid = wanted or grid_of(float(value.min()), float(value.max()))
            levels = np.clip(np.rint(value / grid.scale) + grid.zero, -128, 127)
            return graph.add_constant(levels.astype(np.int8), f"{graph.name(tensor)}/int8", grid)
        if not _is_activation(graph, tensor):
            return tensor
        twin, grid = self._twin(tensor)
        if wanted is None or (grid.scale[0], grid.zero) == (wanted.scale[0], wanted.zero):
            return twin
        moved = graph.add_tensor(graph.shape(tensor), np.int8, f"{graph.name(tensor)}/int8", wanted)
        self._operators.append(graph.operator("QUANTIZE", [twin], [moved], version=2))
        return moved

    def _twin(self, tensor: int) -> tuple[int, Grid]:
        """The int8 twin of a float tensor and its grid, quantized from floats where no integer operator makes it."""
        if tensor not in self._twins:
            graph = self._graph
            grid = IMAGE if tensor in graph.inputs else grid_of(*self._ranges[tensor])
            made = graph.add_tensor(graph.shape(tensor), np.int8, f"{graph.name(tensor)}/int8", grid)
            self._operators.append(graph.operator("QUANTIZE", [tensor], [made]))
            self._twins[tensor] = (made, grid)
        return self._twins[tensor]
