"""Static int8 in a TFLite graph: which operators compute in integers, and with what quantization parameters.

The arithmetic is that of the TFLite quantization specification (int8 activations with a zero point, symmetric int8
weights per output channel, int32 biases): https://ai.google.dev/edge/litert/models/quantization_spec
"""

from collections.abc import Callable, Mapping

import numpy as np

from bctoolkit.export.tflite.graph import Graph, Operator, QuantParams
from bctoolkit.export.tflite.passes.weights import WEIGHTED_OPS, int8_weights

__all__ = ["INT8_OPS", "Ranges", "activations", "int8_params", "int8_regions", "quantize_statically"]

Ranges = Mapping[int, tuple[float, float]]
"""Lowest and highest value of a tensor."""

PROBABILITY, IMAGE = QuantParams(1 / 256, -128), QuantParams(1, -128)

FIXED_RANGE_OPS = {"SOFTMAX": PROBABILITY, "LOGISTIC": PROBABILITY, "TANH": QuantParams(1 / 128, 0)}
"""Operators whose output always has the same quantization parameters."""

SAME_SCALE_OPS = ("MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE", "PAD", "TRANSPOSE", "SQUEEZE")
"""Operators whose output has the quantization parameters of their input."""

INT8_OPS = {
    **dict.fromkeys(("ADD", "SUB", "MUL", "MEAN", "CONCATENATION", "RELU", "RELU6", "GELU", "LEAKY_RELU"), 2),
    **dict.fromkeys(("SOFTMAX", "LOGISTIC", "TANH", "MAX_POOL_2D", "AVERAGE_POOL_2D", "PAD", "TRANSPOSE"), 2),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "HARD_SWISH"), 1),
}
"""Operators without weights that have an int8 form, and its version."""

VERSION = {"FULLY_CONNECTED": 12, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, **INT8_OPS}


def int8_regions(graph: Graph, weighted: list[Operator], allowed: Callable[[Operator], bool]) -> list[Operator]:
    """The operators `weighted`, and all between two of them that are `allowed`, in the order they run.

    An operator is inside a region if all it reads comes from an integer operator and all that read it are integer
    operators: then its values need never be floats.
    """
    region = {id(operator): operator for operator in graph.operators if allowed(operator)}
    region |= {id(operator): operator for operator in weighted}
    fixed = {id(operator) for operator in weighted}
    source = {tensor: id(operator) for operator in graph.operators for tensor in operator.outputs}
    readers = graph.readers()

    def is_inside(operator: Operator) -> bool:
        inputs = [tensor for tensor in operator.inputs if graph.constant(tensor) is None and tensor >= 0]
        following = [id(reader) for tensor in operator.outputs for reader in readers.get(tensor, [])]
        ends = any(tensor in graph.outputs for tensor in operator.outputs)
        return not ends and all(source.get(t) in region for t in inputs) and all(key in region for key in following)

    while leaving := [key for key, operator in region.items() if key not in fixed and not is_inside(operator)]:
        for key in leaving:
            del region[key]
    return [operator for operator in graph.operators if id(operator) in region]


def activations(graph: Graph, integer: list[Operator]) -> list[int]:
    """The tensors whose ranges `quantize_statically` needs."""
    needed: dict[int, None] = {}
    for operator in integer:
        free = graph.kind(operator) not in (*FIXED_RANGE_OPS, *SAME_SCALE_OPS)
        tensors = [*operator.inputs, *(operator.outputs if free else ())]
        needed |= dict.fromkeys(t for t in tensors if _is_activation(graph, t) and t not in graph.inputs)
    return list(needed)


def int8_params(low: float, high: float) -> QuantParams:
    """int8 for a range, widened to hold zero exactly and to steps that float32 can distinguish from zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(np.float32((high - low) / 255 if high > low else 1.0), np.finfo(np.float32).tiny)
    return QuantParams(scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))


def quantize_statically(graph: Graph, integer: list[Operator], ranges: Ranges) -> None:
    """Compute the given operators in int8, with QUANTIZE and DEQUANTIZE where floats meet integers.

    Requires: operators from `int8_regions`, or any with an int8 form; the range of each tensor of `activations`.
    The graph's input is an image of values 0–255.
    """
    _Integers(graph, ranges).rewrite({id(operator) for operator in integer})


def _is_activation(graph: Graph, tensor: int) -> bool:
    return tensor >= 0 and graph.constant(tensor) is None and bool(graph.dtype(tensor) == np.float32)


class _Integers:
    """The rewriting of one graph: each float tensor gets an int8 twin when someone needs it."""

    def __init__(self, graph: Graph, ranges: Ranges) -> None:
        self._graph, self._ranges = graph, ranges
        self._twins: dict[int, tuple[int, QuantParams]] = {}
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
        params = FIXED_RANGE_OPS.get(kind)
        if kind in SAME_SCALE_OPS:
            params = self._twin(operator.inputs[0])[1]
        elif params is None:
            params = int8_params(*self._ranges[target])
        if kind in WEIGHTED_OPS:
            operator.inputs = self._weighted_inputs(operator, WEIGHTED_OPS[kind])
        else:
            required = params if kind == "CONCATENATION" else None
            operator.inputs = [self._integer_input(tensor, required) for tensor in operator.inputs]
        output = graph.add_tensor(graph.shape(target), np.int8, f"{graph.name(target)}/int8", params)
        self._twins[target] = (output, params)
        operator.outputs = [output]
        graph.set_version(operator, VERSION[kind])
        self._operators.append(operator)

    def _weighted_inputs(self, operator: Operator, axis: int) -> list[int]:
        graph = self._graph
        source, weights, *rest = operator.inputs
        twin, params = self._twin(source)
        kernel = graph.constant(weights)
        assert kernel is not None
        values, kernel_params = int8_weights(kernel, axis)
        inputs = [twin, graph.add_constant(values, graph.name(weights), kernel_params)]
        bias = graph.constant(rest[0]) if rest else None
        if bias is None:
            return [*inputs, *rest]
        accumulator = QuantParams(params.scale * kernel_params.scale)
        whole = np.clip(np.rint(bias / accumulator.scale.astype(np.float64)), -(2**31) + 1, 2**31 - 1)
        return [*inputs, graph.add_constant(whole.astype(np.int32), f"{graph.name(rest[0])}/int32", accumulator)]

    def _integer_input(self, tensor: int, required: QuantParams | None) -> int:
        """What an operator reads instead of `tensor`, with the quantization parameters `required` if that matters."""
        graph, value = self._graph, self._graph.constant(tensor)
        if value is not None and value.dtype == np.float32:
            params = required or int8_params(float(value.min()), float(value.max()))
            levels = np.clip(np.rint(value / params.scale) + params.zero_point, -128, 127)
            return graph.add_constant(levels.astype(np.int8), f"{graph.name(tensor)}/int8", params)
        if not _is_activation(graph, tensor):
            return tensor
        twin, params = self._twin(tensor)
        if required is None or (params.scale[0], params.zero_point) == (required.scale[0], required.zero_point):
            return twin
        requantized = graph.add_tensor(graph.shape(tensor), np.int8, f"{graph.name(tensor)}/int8", required)
        self._operators.append(graph.operator("QUANTIZE", [twin], [requantized], version=2))
        return requantized

    def _twin(self, tensor: int) -> tuple[int, QuantParams]:
        """The int8 twin of a float tensor, quantized from floats where no integer operator computes it."""
        if tensor not in self._twins:
            graph = self._graph
            params = IMAGE if tensor in graph.inputs else int8_params(*self._ranges[tensor])
            twin = graph.add_tensor(graph.shape(tensor), np.int8, f"{graph.name(tensor)}/int8", params)
            self._operators.append(graph.operator("QUANTIZE", [tensor], [twin]))
            self._twins[tensor] = (twin, params)
        return self._twins[tensor]
