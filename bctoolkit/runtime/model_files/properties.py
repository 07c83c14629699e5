"""What a model file says of itself, read without the packages that write such files: devices have none of them."""

from itertools import islice

from bctoolkit.runtime.model_files.flatbuffer import UINT32, root
from bctoolkit.runtime.model_files.onnx_file import fields

__all__ = ["onnx_properties", "tflite_properties"]

METADATA_PROPS, KEY, VALUE = 14, 1, 2
"""Fields of ONNX's ModelProto and StringStringEntryProto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto)."""

BUFFERS, METADATA, NAME, BUFFER, DATA = 4, 6, 0, 1, 0
"""Fields of TFLite's Model, Metadata and Buffer (tensorflow/compiler/mlir/lite/schema/schema.fbs)."""

MOST, MOST_BYTES, LONGEST_NAME = 1000, 2**25, 1000
"""Properties of a file, of which ours have seven, bytes of all their values, and of a name."""


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
    properties, left = dict[str, str](), MOST_BYTES
    try:
        file = root(model)
        buffers = list(file.tables(BUFFERS))
        for entry in islice(file.tables(METADATA), MOST):
            value = buffers[entry.number(BUFFER, UINT32)].text(DATA, left)
            left -= len(value)
            properties[entry.text(NAME, LONGEST_NAME).decode()] = value.decode(errors="replace")
    except (ValueError, IndexError):
        return {}
    return properties
