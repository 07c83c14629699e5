"""What a TFLite file holds, read without its schema: LiteRT's own takes longer to import than a model to open.

LiteRT checks that no offset leads out of the file. What it does not check is read here with the same care: types that
its Python interface crashes on, and operators that may not end or reach beyond the file.

Fields are numbered as in
https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs.
"""

import math
from typing import NamedTuple

from bctoolkit.runtime.model_files.flatbuffer import INT8, INT32, UINT8, UINT32, UINT64, Table, root
from bctoolkit.runtime.model_files.ports import Port, Ports
from bctoolkit.runtime.model_files.tflite_operators import OPERATORS, REFUSED, TfliteOperator

__all__ = ["GraphFacts", "graph_facts", "ports"]

TYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8", 10: "float64",
    12: "uint64", 15: "uint32", 16: "uint16", 17: "int4", 18: "bfloat16", 19: "int2", 20: "uint4",
}  # fmt: skip
"""The schema's types of numbers."""

SCALED = ("uint8", "int8", "int16")

OTHER_TYPES = {5: "string", 8: "complex64", 11: "complex128", 13: "resource", 14: "variant"}

MOST_PORTS, MOST_AXES = 64, 8

MOST_ELEMENTS = 2**31
"""Of one tensor."""

MODEL_CODES, MODEL_GRAPHS, MODEL_BUFFERS, MODEL_EXTERNAL = 1, 2, 4, (8, 9)
GRAPH_TENSORS, GRAPH_INPUTS, GRAPH_OUTPUTS, GRAPH_CALLS = 0, 1, 2, 3
CALL_CODE, CALL_INPUTS, CALL_OUTPUTS, CALL_OPTIONS_TYPE, CALL_OPTIONS_2 = 0, 1, 2, 3, 12
TENSOR_SHAPE, TENSOR_TYPE, TENSOR_QUANTIZATION, TENSOR_VARIABLE, TENSOR_SIGNATURE, TENSOR_EXTERNAL = 0, 1, 4, 5, 7, 10
CODE_OLD, CODE_CUSTOM, CODE = 0, 1, 3
BUFFER_OFFSET, BUFFER_SIZE = 1, 2
QUANTIZATION_SCALE, QUANTIZATION_ZERO = 2, 3


class GraphFacts(NamedTuple):
    """What an engine needs to know of a file and does not tell."""

    operators: int
    variables: int
    """Tensors that keep their content from one image to the next."""
    dtype: str
    """Of the output."""
    scale: float
    """Of an output in integers: the float is scale · (integer - zero point)."""
    zero_point: int


def graph_facts(model: bytes) -> GraphFacts:
    """The facts of a file that `ports` takes.

    Raises:
        ValueError: it cannot be read.
    """
    _, graph = _model(model)
    tensors = list(graph.tables(GRAPH_TENSORS))
    output = tensors[graph.numbers(GRAPH_OUTPUTS, MOST_PORTS)[0]]
    quantization = output.table(TENSOR_QUANTIZATION) if _is_scaled(output) else None
    scale = quantization.numbers(QUANTIZATION_SCALE, 1, "f")[0] if quantization else 0.0
    zero_point = quantization.numbers(QUANTIZATION_ZERO, 1, "q")[0] if quantization else 0
    variables = sum(tensor.number(TENSOR_VARIABLE, UINT8) != 0 for tensor in tensors)
    return GraphFacts(graph.count(GRAPH_CALLS), variables, _dtype(output), scale, zero_point)


def ports(model: bytes) -> Ports:
    """The inputs and outputs of a file that is one graph of numbers, without control flow, state, or anything outside.

    Raises:
        ValueError: it is not, or cannot be read.
    """
    file, graph = _model(model)
    _require_whole(file)
    codes = [_operator(code) for code in file.tables(MODEL_CODES)]
    tensors = list(graph.tables(GRAPH_TENSORS))
    for call in graph.tables(GRAPH_CALLS):
        _require_call(call, codes, len(tensors))
    for tensor in tensors:
        _require_tensor(tensor)

    def port(index: int) -> Port:
        if not 0 <= index < len(tensors):
            raise ValueError(f"tensor {index} of {len(tensors)} is an input or output")
        tensor = tensors[index]
        return Port(_dtype(tensor), _shape(tensor), _is_scaled(tensor))

    inputs, outputs = ([port(i) for i in graph.numbers(field, MOST_PORTS)] for field in (GRAPH_INPUTS, GRAPH_OUTPUTS))
    return Ports(tuple(inputs), tuple(outputs))


def _model(content: bytes) -> tuple[Table, Table]:
    """The file and its graph."""
    if content[4:8] != b"TFL3":
        raise ValueError("not a TFLite file")
    file = root(content)
    graphs = list(file.tables(MODEL_GRAPHS))
    if len(graphs) != 1:
        raise ValueError(f"it holds {len(graphs)} graphs, which call each other; wanted one")
    return file, graphs[0]


def _require_whole(file: Table) -> None:
    if any(file.count(field) for field in MODEL_EXTERNAL):
        raise ValueError("it keeps weights in another file")
    for buffer in file.tables(MODEL_BUFFERS):
        if buffer.number(BUFFER_OFFSET, UINT64) + buffer.number(BUFFER_SIZE, UINT64) > len(file.content):
            raise ValueError("a constant lies beyond its end")


def _operator(code: Table) -> TfliteOperator:
    """The operator that a code stands for."""
    kind = max(code.number(CODE_OLD, INT8), code.number(CODE, INT32))
    if code.follow(CODE_CUSTOM) is not None:
        raise ValueError("it needs a custom operator, which is never run")
    if kind not in OPERATORS:
        raise ValueError(f"it needs operator {REFUSED.get(kind, kind)}, which is never run")
    return OPERATORS[kind]


def _require_call(call: Table, codes: list[TfliteOperator], tensors: int) -> None:
    """Refuse a call with fewer or more arguments than the kernel reads, or with the options of another one."""
    index = call.number(CALL_CODE, UINT32)
    if index >= len(codes):
        raise ValueError(f"operator code {index} of {len(codes)} is called")
    operator, options = codes[index], call.number(CALL_OPTIONS_TYPE, UINT8)
    fewest, most = operator.inputs
    inputs, outputs = call.numbers(CALL_INPUTS, most), call.count(CALL_OUTPUTS)
    if len(inputs) < fewest or not operator.outputs[0] <= outputs <= operator.outputs[1]:
        raise ValueError(f"{operator.name} has {len(inputs)} inputs and {outputs} outputs")
    if min(inputs, default=0) < -1 or max(inputs, default=0) >= tensors:
        raise ValueError(f"{operator.name} reads a tensor that is not there")
    if -1 in inputs[:fewest] and not operator.gaps:
        raise ValueError(f"{operator.name} is called without one of its first {fewest} inputs")
    if options not in (0, operator.options) or call.follow(CALL_OPTIONS_2) is not None:
        raise ValueError(f"{operator.name} has the options of another operator")


def _require_tensor(tensor: Table) -> None:
    dtype = _dtype(tensor)
    if dtype not in TYPES.values():
        raise ValueError(f"it holds a tensor of {dtype}; wanted numbers")
    shape = tensor.numbers(TENSOR_SHAPE, MOST_AXES)
    if min(shape, default=0) < 0 or math.prod(shape) > MOST_ELEMENTS:
        raise ValueError(f"it holds a tensor of {'×'.join(map(str, shape))} numbers; wanted at most {MOST_ELEMENTS:,}")
    if tensor.number(TENSOR_EXTERNAL, UINT32):
        raise ValueError("it keeps weights in another file")


def _dtype(tensor: Table) -> str:
    kind = tensor.number(TENSOR_TYPE, INT8)
    return TYPES.get(kind) or OTHER_TYPES.get(kind, f"type {kind}")


def _is_scaled(tensor: Table) -> bool:
    """Whether one scale and zero point turn its integers into floats."""
    quantization = tensor.table(TENSOR_QUANTIZATION)
    if quantization is None or _dtype(tensor) not in SCALED:
        return False
    if quantization.count(QUANTIZATION_SCALE) != 1 or quantization.count(QUANTIZATION_ZERO) != 1:
        return False
    return 0 < quantization.numbers(QUANTIZATION_SCALE, 1, "f")[0] < math.inf


def _shape(tensor: Table) -> tuple[int | None, ...]:
    signature = tensor.numbers(TENSOR_SIGNATURE, MOST_AXES) or tensor.numbers(TENSOR_SHAPE, MOST_AXES)
    return tuple(None if size < 0 else size for size in signature)
