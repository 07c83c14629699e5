"""What a model file says of itself, read without the packages that write such files: devices have none of them."""

import struct
from typing import NamedTuple

from bctoolkit.runtime.onnx_file import fields

__all__ = ["onnx_properties", "tflite_properties"]

METADATA_PROPS, KEY, VALUE = 14, 1, 2
"""Fields of ONNX's ModelProto and StringStringEntryProto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto)."""

BUFFERS, METADATA, NAME, BUFFER, DATA = 4, 6, 0, 1, 0
"""Fields of TFLite's Model, Metadata and Buffer (tensorflow/compiler/mlir/lite/schema/schema.fbs)."""

MOST = 1000
"""Properties of a file; ours have seven."""


def onnx_properties(model: bytes) -> dict[str, str]:
    """The `metadata_props` of an ONNX file; none where it cannot be read."""
    try:
        entries = [entry for number, entry in fields(memoryview(model)) if number == METADATA_PROPS]
        pairs = [dict(fields(entry)) for entry in entries[:MOST]]
        return {bytes(pair[KEY]).decode(): bytes(pair.get(VALUE, b"")).decode() for pair in pairs}
    except (ValueError, IndexError, KeyError, TypeError):
        return {}


def tflite_properties(model: bytes) -> dict[str, str]:
    """The `metadata` of a TFLite file, as text; none where it cannot be read."""
    try:
        root = _Table(model, _Table(model, 0).target(0))
        entries = [root.table(METADATA, index) for index in range(min(root.length(METADATA), MOST))]
        values = [root.table(BUFFERS, entry.number(BUFFER)).vector(DATA) for entry in entries]
        return {
            entry.vector(NAME).decode(): value.decode(errors="replace")
            for entry, value in zip(entries, values, strict=True)
        }
    except (ValueError, struct.error):
        return {}


class _Table(NamedTuple):
    """A table of a flatbuffer (https://flatbuffers.dev/internals), where it begins.

    Every method raises `ValueError` or `struct.error` for what reaches beyond the file.
    """

    content: bytes
    at: int

    def target(self, position: int) -> int:
        """Where the offset at a position leads to."""
        return position + int(struct.unpack_from("<I", self.content, position)[0])

    def number(self, field: int) -> int:
        """An unsigned 32-bit field; 0 where it is left out."""
        position = self._position(field)
        return 0 if position is None else int(struct.unpack_from("<I", self.content, position)[0])

    def length(self, field: int) -> int:
        """Elements of a vector; 0 where it is left out."""
        position = self._position(field)
        return 0 if position is None else int(struct.unpack_from("<I", self.content, self.target(position))[0])

    def vector(self, field: int) -> bytes:
        """A vector of bytes, or a string; empty where it is left out."""
        position, length = self._position(field), self.length(field)
        if position is None:
            return b""
        start = self.target(position) + 4
        if start + length > len(self.content):
            raise ValueError("a vector ends behind the file")
        return self.content[start : start + length]

    def table(self, field: int, index: int) -> "_Table":
        """An element of a vector of tables."""
        position = self._position(field)
        if position is None or index >= self.length(field):
            raise ValueError("no such table")
        return _Table(self.content, self.target(self.target(position) + 4 + 4 * index))

    def _position(self, field: int) -> int | None:
        """Where a field lies; None where it is left out."""
        table = self.at - int(struct.unpack_from("<i", self.content, self.at)[0])
        if table < 0:
            raise ValueError("a table of fields begins before the file")
        if 4 + 2 * field >= struct.unpack_from("<H", self.content, table)[0]:
            return None
        offset = struct.unpack_from("<H", self.content, table + 4 + 2 * field)[0]
        return self.at + offset if offset else None
