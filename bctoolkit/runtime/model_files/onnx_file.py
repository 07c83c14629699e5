"""What an ONNX file holds, read without ONNX: the engine's packages on a device bring no reader of it.

The messages: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from bctoolkit.runtime.model_files.ports import Port, Ports

__all__ = ["REFUSED", "fields", "ports"]

NESTED = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Messages that may hold a tensor or an operator, and their fields."""

GRAPH = 7
"""Field of the model."""

EXTERNAL_DATA, DATA_LOCATION = 13, 14
"""Fields of a tensor whose values lie in another file."""

OP_TYPE, DOMAIN = 4, 7
"""Fields of a node."""

DOMAINS = (b"", b"ai.onnx", b"ai.onnx.ml", b"com.microsoft")
"""Operator sets that ONNX Runtime brings along."""

REFUSED = {
    b"Loop": "a loop, which may never end",
    b"Scan": "a loop, which may never end",
    b"SequenceMap": "a loop, which may never end",
    b"EPContext": "a reference to another file",
}
"""Operators that no bundle holds."""

ELEMENT_TYPES = {1: "float32", 2: "uint8", 3: "int8", 8: "string", 10: "float16", 11: "float64"}
"""Those of `TensorProto.DataType` that a message has a name for."""

NOT_TENSORS = {4: "a sequence", 5: "a map", 8: "a sparse tensor", 9: "an optional"}
"""Fields of `TypeProto` besides `tensor_type`."""

MOST_FIELDS = 2_000_000
"""Of all messages together: some ten for a weight or an operator."""

DEEPEST = 64
"""Messages within messages: a graph in a graph takes three."""


def ports(model: bytes) -> Ports:
    """Inputs and outputs of a file that holds all of its weights, and no operator that loops or comes from elsewhere.

    Raises:
        ValueError: it does not, cannot be read, or holds graphs within graphs without end.
    """
    try:
        for kind, content in _messages(memoryview(model)):
            if kind in REQUIREMENTS:
                REQUIREMENTS[kind](content)
        return _ports(list(fields(_single(memoryview(model), GRAPH))))
    except (IndexError, TypeError):  # TypeError: a number where a message belongs
        raise ValueError("it is cut short or damaged") from None


def fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """Number and content of a message's fields (https://protobuf.dev/programming-guides/encoding)."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"not an ONNX file: wire type {kind}")
        if at + size > len(message):
            raise ValueError("not a whole ONNX file: cut short")
        yield tag >> 3, message[at : at + size]
        at += size


def _messages(model: memoryview) -> Iterator[tuple[str, list[tuple[int, Any]]]]:
    """Every message of `NESTED` with its fields, outer ones before what they hold."""
    left, pending = MOST_FIELDS, [("model", model, DEEPEST)]
    while pending:
        kind, message, depth = pending.pop()
        content = list(islice(fields(message), left + 1))
        left -= len(content)
        if left < 0 or depth == 0:
            raise ValueError("it is nested too deep" if depth == 0 else f"it has more than {MOST_FIELDS:,} entries")
        yield kind, content
        inner = NESTED.get(kind, {})
        pending += [
            (inner[n], value, depth - 1) for n, value in content if n in inner and isinstance(value, memoryview)
        ]


def _require_inside(tensor: list[tuple[int, Any]]) -> None:
    if any(number == EXTERNAL_DATA or (number == DATA_LOCATION and value) for number, value in tensor):
        raise ValueError("it keeps weights in another file; save it as one file")


def _require_operator(node: list[tuple[int, Any]]) -> None:
    for number, value in node:
        if number == OP_TYPE and (name := bytes(value)) in REFUSED:
            raise ValueError(f"operator {name.decode()} is {REFUSED[name]}")
        if number == DOMAIN and bytes(value) not in DOMAINS:
            raise ValueError("it has an operator of a library of its own, which is never loaded")


def _refuse_function(function: list[tuple[int, Any]]) -> None:
    raise ValueError("it has operators written as functions, which may call each other; write them out")


REQUIREMENTS: dict[str, Callable[[list[tuple[int, Any]]], None]] = {
    "tensor": _require_inside,
    "node": _require_operator,
    "function": _refuse_function,
}


def _ports(graph: list[tuple[int, Any]]) -> Ports:
    """Of a GraphProto; inputs with a stored value are weights."""
    stored = {bytes(_single(content, 8)) for number, content in graph if number == 5}
    inputs = [content for number, content in graph if number == 11 and bytes(_single(content, 1)) not in stored]
    outputs = [content for number, content in graph if number == 12]
    return Ports(tuple(map(_port, inputs)), tuple(map(_port, outputs)))


def _port(value: memoryview) -> Port:
    """A ValueInfoProto."""
    kind = _single(value, 2)
    for number, _ in fields(kind):
        if number in NOT_TENSORS:
            return Port(NOT_TENSORS[number], None)
    tensor = _single(kind, 1)
    elements = [content for number, content in fields(tensor) if number == 1]
    shapes = [content for number, content in fields(tensor) if number == 2]
    if len(elements) != 1 or len(shapes) > 1:
        raise ValueError("an input or output of several types")
    dtype = ELEMENT_TYPES.get(elements[0], f"type {elements[0]}")
    return Port(dtype, tuple(map(_axis, _all(shapes[0], 1))) if shapes else None)


def _axis(dimension: memoryview) -> int | None:
    """The size of an axis; None where it is open."""
    sizes = [value for number, value in fields(dimension) if number == 1]
    return int(sizes[-1]) if sizes and sizes[-1] else None


def _all(message: memoryview, number: int) -> list[memoryview]:
    return [content for found, content in fields(message) if found == number]


def _single(message: memoryview, number: int) -> memoryview:
    """The one field of this number, empty where there is none: of several, readers take different ones."""
    found = _all(message, number)
    if len(found) > 1:
        raise ValueError(f"a field stands there {len(found)} times")
    return found[0] if found else memoryview(b"")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("not an ONNX file: too long an integer")
