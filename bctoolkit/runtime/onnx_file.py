"""What an ONNX file holds, read without ONNX: the engine's packages on a device bring no reader of it."""

from collections.abc import Iterator
from typing import Any

__all__ = ["fields", "has_external_data"]

NESTED = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Messages that may hold a tensor, and their fields (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto)."""

EXTERNAL_DATA, DATA_LOCATION = 13, 14
"""Fields of a tensor whose values lie in another file."""

DEEPEST = 64
"""Messages within messages: a graph in a graph takes three."""


def has_external_data(model: bytes) -> bool:
    """Whether a tensor's values lie in another file, which no hash of this one covers.

    Raises:
        ValueError: the file cannot be read, or holds graphs within graphs without end.
    """
    try:
        return _is_external("model", memoryview(model), DEEPEST)
    except IndexError:
        raise ValueError("cut short") from None


def _is_external(kind: str, message: memoryview, depth: int) -> bool:
    if depth == 0:
        raise ValueError("nested too deep")
    if kind == "tensor":
        return any(number == EXTERNAL_DATA or (number == DATA_LOCATION and value) for number, value in fields(message))
    inner = NESTED[kind]
    return any(
        _is_external(inner[number], content, depth - 1)
        for number, content in fields(message)
        if number in inner and isinstance(content, memoryview)
    )


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
            raise ValueError(f"wire type {kind}")
        if at + size > len(message):
            raise ValueError("cut short")
        yield tag >> 3, message[at : at + size]
        at += size


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
            raise ValueError("too long an integer")
