"""Whether ONNX Runtime adds up integer products exactly on this machine, and whether a file needs to care.

x86 without VNNI adds two neighbouring products of uint8 activations and int8 weights in 16 bits and saturates. Files
written by `bctk export` hold no weights that could; for all others the engine has a slower, exact mode. Which CPU and
which build of the engine saturate is not looked up but tested, with one product that does.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np

from bctoolkit.lazy import require
from bctoolkit.runtime.model_files.onnx_file import fields

__all__ = ["NEVER_SATURATES", "engine_saturates", "never_saturates"]

NEVER_SATURATES = ("int16_saturation", "none")
"""The property, key and value, of an ONNX file whose products no CPU can saturate."""

PROBE = bytes.fromhex(
    "08093a5c0a180a01780a0177120179220d4d61744d756c496e7465676572120570726f62652a0f0804080110034201774a04"
    "7f7f7f7f5a130a0178120e0a0c080212080a0208010a02080462130a0179120e0a0c080612080a0208010a02080142040a001014"
)
"""An ONNX file: y = MatMulInteger(x, w) of x, 1 × 4 uint8, and w, four times 127 as int8."""


@cache
def engine_saturates() -> bool:
    """Whether ONNX Runtime's CPU provider saturates here: tested with four products of 255 and 127."""
    runtime = require("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(PROBE, options, providers=["CPUExecutionProvider"])
    total = session.run(None, {"x": np.full((1, 4), 255, np.uint8)})[0]
    return int(total[0, 0]) != 4 * 255 * 127


def never_saturates(model: bytes) -> bool:
    """Whether an ONNX file says of itself that its products cannot saturate; a file that cannot be read does not."""
    key, value = NEVER_SATURATES
    try:
        return any(entry == {1: key.encode(), 2: value.encode()} for entry in _properties(model))
    except (IndexError, ValueError):
        return False


def _properties(model: bytes) -> Iterator[dict[int, bytes]]:
    """The `metadata_props` of a ModelProto, field 14: its other fields are passed over without being read."""
    for number, content in fields(memoryview(model)):
        if number == 14 and isinstance(content, memoryview):
            yield {n: bytes(c) for n, c in fields(content) if isinstance(c, memoryview)}
