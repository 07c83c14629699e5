"""Static quantization of a TFLite graph: which operators compute in integers, and with what quantization parameters.

The arithmetic is that of the TFLite quantization specification, with int8 weights symmetric per output channel: either
int8 activations with a zero point and int32 biases
(https://ai.google.dev/edge/litert/models/quantization_spec), or symmetric int16 activations and int64 biases
(https://ai.google.dev/edge/litert/models/post_training_integer_quant_16x8).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bctoolkit.export.tflite.graph import Graph, Operator, QuantParams
from bctoolkit.export.tflite.passes.weights import WEIGHTED_OPS, int8_weights

__all__ = [
    "INT8",
    "INT16",
    "IntegerForm",
    "Ranges",
    "activations",
    "has_form",
    "integer_regions",
    "quantize_statically",
]

Ranges = Mapping[int, tuple[float, float]]
"""Lowest and highest value of a tensor."""

SAME_SCALE_OPS = ("MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE", "PAD", "TRANSPOSE", "SQUEEZE")
"""Operators whose output has the quantization parameters of their input."""

POWER_OF_TWO_OPS = ("ADD", "SUB")
"""Operators whose int16 form takes scales for powers of two unless it is told that they are not."""


@dataclass(frozen=True)
class IntegerForm:
    """How activations and biases are stored, and what can compute with them."""

    activation: type[np.signedinteger]
    bias: type[np.signedinteger]
    bias_bits: int
    """How many of them a sum may begin with."""
    symmetric: bool
    """Whether zero stands for zero; otherwise the zero point is where it makes most of the range."""
    headroom: float
    """How far beyond the range that was measured an activation may lie."""
    image: QuantParams
    """Of the graph's input, whose values are 0–255."""
    fixed: Mapping[str, QuantParams]
    """Operators whose output always has the same quantization parameters."""
    versions: Mapping[str, int]
    """Operators that have such a form, and its version."""

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest integer of an activation."""
        info = np.iinfo(self.activation)
        return (-info.max if self.symmetric else info.min), info.max

    def params(self, low: float, high: float) -> QuantParams:
        """Those for a range, widened to hold zero exactly and to steps that float32 can distinguish from zero."""
        low, high = min(low, 0.0), max(high, 0.0)
        least, most = self.limits
        if self.symmetric:
            low, high = -max(-low, high), max(-low, high)
        scale = max(np.float32((high - low) / (most - least) if high > low else 1.0), np.finfo(np.float32).tiny)
        return QuantParams(scale, 0 if self.symmetric else int(np.clip(np.rint(least - low / scale), least, most)))


INT8 = IntegerForm(
    activation=np.int8,
    bias=np.int32,
    bias_bits=32,
    symmetric=False,
    headroom=1,
    image=QuantParams(1, -128),
    fixed={"SOFTMAX": QuantParams(1 / 256, -128), "LOGISTIC": QuantParams(1 / 256, -128), "TANH": QuantParams(1 / 128)},
    versions={
        **{"FULLY_CONNECTED": 12, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3},
        **dict.fromkeys(("ADD", "SUB", "MUL", "MEAN", "CONCATENATION", "RELU", "RELU6", "GELU", "LEAKY_RELU"), 2),
        **dict.fromkeys(("SOFTMAX", "LOGISTIC", "TANH", "MAX_POOL_2D", "AVERAGE_POOL_2D", "PAD", "TRANSPOSE"), 2),
        **{"RESHAPE": 1, "SQUEEZE": 1, "HARD_SWISH": 1, "QUANTIZE": 1, "DEQUANTIZE": 2},
    },
)

INT16 = IntegerForm(
    activation=np.int16,
    bias=np.int64,
    bias_bits=40,  # LiteRT rescales sums of up to 48 bits
    symmetric=True,
    headroom=4,  # two of fifteen bits, where clipping an unseen image costs more than they hold
    image=QuantParams(1 / 128),
    fixed=dict.fromkeys(("SOFTMAX", "LOGISTIC", "TANH"), QuantParams(1 / 32768)),
    versions={
        **{"FULLY_CONNECTED": 12, "CONV_2D": 4, "DEPTHWISE_CONV_2D": 5, "SUB": 5, "TRANSPOSE": 5, "MUL": 4},
        **dict.fromkeys(("ADD", "MEAN", "CONCATENATION", "RELU", "RELU6", "SOFTMAX", "LOGISTIC", "TANH"), 3),
        **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D", "PAD"), 3),
        **{"GELU": 2, "LEAKY_RELU": 2, "RESHAPE": 1, "SQUEEZE": 1, "QUANTIZE": 2, "DEQUANTIZE": 3},
    },
)


def has_form(graph: Graph, operator: Operator, form: IntegerForm) -> bool:
    """Whether an operator without weights can be computed in that form."""
    return graph.kind(operator) in form.versions and graph.kind(operator) not in WEIGHTED_OPS


def integer_regions(graph: Graph, weighted: list[Operator], allowed: Callable[[Operator], bool]) -> list[Operator]:
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


def activations(graph: Graph, integer: list[Operator], form: IntegerForm) -> list[int]:
    """The tensors whose ranges `quantize_statically` needs."""
    needed: dict[int, None] = {}
    for operator in integer:
        free = graph.kind(operator) not in (*form.fixed, *SAME_SCALE_OPS)
        tensors = [*operator.inputs, *(operator.outputs if free else ())]
        needed |= dict.fromkeys(t for t in tensors if _is_activation(graph, t) and t not in graph.inputs)
    return list(needed)


def quantize_statically(graph: Graph, integer: list[Operator], ranges: Ranges, form: IntegerForm) -> None:
    """Compute the given operators in integers, with QUANTIZE and DEQUANTIZE where floats meet integers.

    Requires: operators from `integer_regions`, or any of the form's; the range of each tensor of `activations`.
    The graph's input is an image of values 0–255.
    """
    _Integers(graph, ranges, form).rewrite({id(operator) for operator in integer})


def _is_activation(graph: Graph, tensor: int) -> bool:
    return tensor >= 0 and graph.constant(tensor) is None and bool(graph.dtype(tensor) == np.float32)


class _Integers:
    """The rewriting of one graph: each float tensor gets an integer twin when someone needs it."""

    def __init__(self, graph: Graph, ranges: Ranges, form: IntegerForm) -> None:
        self._graph, self._ranges, self._form = graph, ranges, form
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
                    self._bridge("DEQUANTIZE", self._twins[tensor][0], tensor)
        graph.operators = self._operators

    def _operate(self, operator: Operator) -> None:
        """Turn an operator into its integer form, and add it."""
        graph, kind = self._graph, self._graph.kind(operator)
        (target,) = operator.outputs
        params = self._form.fixed.get(kind)
        if kind in SAME_SCALE_OPS:
            params = self._twin(operator.inputs[0])[1]
        elif params is None:
            params = self._measured(target)
        if kind in WEIGHTED_OPS:
            operator.inputs = self._weighted_inputs(operator, WEIGHTED_OPS[kind])
        else:
            required = params if kind == "CONCATENATION" else None
            operator.inputs = [self._integer_input(tensor, required) for tensor in operator.inputs]
        output = self._add(target, params)
        self._twins[target] = (output, params)
        operator.outputs = [output]
        graph.set_version(operator, self._form.versions[kind])
        if kind in POWER_OF_TWO_OPS:
            operator.builtinOptions.potScaleInt16 = False
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
        most = 2 ** (self._form.bias_bits - 1) - 1
        whole = np.clip(np.rint(bias / accumulator.scale.astype(np.float64)), -most, most).astype(self._form.bias)
        return [*inputs, graph.add_constant(whole, f"{graph.name(rest[0])}/{whole.dtype}", accumulator)]

    def _integer_input(self, tensor: int, required: QuantParams | None) -> int:
        """What an operator reads instead of `tensor`, with the quantization parameters `required` if that matters."""
        graph, value = self._graph, self._graph.constant(tensor)
        if value is not None and value.dtype == np.float32:
            params = required or self._form.params(float(value.min()), float(value.max()))
            levels = np.clip(np.rint(value / params.scale) + params.zero_point, *self._form.limits)
            return graph.add_constant(levels.astype(self._form.activation), self._name(tensor), params)
        if not _is_activation(graph, tensor):
            return tensor
        twin, params = self._twin(tensor)
        if required is None or (params.scale[0], params.zero_point) == (required.scale[0], required.zero_point):
            return twin
        requantized = self._add(tensor, required)
        self._operators.append(graph.operator("QUANTIZE", [twin], [requantized], version=2))
        return requantized

    def _twin(self, tensor: int) -> tuple[int, QuantParams]:
        """The integer twin of a float tensor, quantized from floats where no integer operator computes it."""
        if tensor not in self._twins:
            is_image = tensor in self._graph.inputs
            params = self._form.image if is_image else self._measured(tensor)
            twin = self._add(tensor, params)
            self._bridge("QUANTIZE", tensor, twin)
            self._twins[tensor] = (twin, params)
        return self._twins[tensor]

    def _measured(self, tensor: int) -> QuantParams:
        return self._form.params(*(self._form.headroom * end for end in self._ranges[tensor]))

    def _bridge(self, kind: str, source: int, target: int) -> None:
        self._operators.append(self._graph.operator(kind, [source], [target], self._form.versions[kind]))

    def _add(self, tensor: int, params: QuantParams) -> int:
        """A new integer tensor in the shape of another."""
        return self._graph.add_tensor(self._graph.shape(tensor), self._form.activation, self._name(tensor), params)

    def _name(self, tensor: int) -> str:
        return f"{self._graph.name(tensor)}/{self._form.activation.__name__}"
