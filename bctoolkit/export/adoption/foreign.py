"""A model file made elsewhere, as the reader of its format sees it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from bctoolkit.errors import ExportError
from bctoolkit.export.adoption.adapter import Adapter
from bctoolkit.export.adoption.ports import Port

__all__ = ["ForeignModel", "read_model"]

IDENTIFIER = b"TFL3"
"""At the fifth byte of every TFLite file."""

WANTED = "an .onnx or .tflite file"

MAX_BYTES = 2**31 - 1
"""Of a model file; neither protocol buffers nor flatbuffers hold more in one piece."""


class ForeignModel(Protocol):
    """A model file that has been read and whose bounds have been checked; nothing has run yet."""

    format: str
    """A key of `FORMATS`."""
    sha256: str
    """Of the file as it came."""
    input: Port
    outputs: tuple[Port, ...]

    @property
    def producer(self) -> str:
        """What wrote the file, by its own account; empty where it does not tell."""

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""

    @property
    def quantization(self) -> str | None:
        """One of `QUANTIZATIONS` as the operators show it; None where no form of that table describes them."""

    @property
    def arithmetic(self) -> str:
        """What the operators show, in words."""

    def content(self, output: str) -> bytes:
        """The file with that output alone, its input as it came."""

    def last_operator(self, output: str) -> str:
        """The operator that computed an output's values, past those that only reshape or convert them; "" for none."""

    def wrapped(self, adapter: Adapter, properties: Mapping[str, str]) -> bytes:
        """The file with what `adapter` names around its graph."""


def read_model(path: Path) -> ForeignModel:
    """Read an ONNX or TFLite file; which one it is, its content tells.

    Raises:
        ExportError: no such file, too large, neither of the two, damaged, or no image classifier's.
    """
    if not path.is_file():
        raise ExportError(f"{path}: {'is a folder, not a file' if path.is_dir() else 'no such file'}; wanted {WANTED}")
    size = path.stat().st_size
    if not 0 < size <= MAX_BYTES:
        raise ExportError(f"{path}: has {size:,} bytes; wanted 1 to {MAX_BYTES:,}, {WANTED}")
    content = path.read_bytes()
    if content[4:8] == IDENTIFIER:
        from bctoolkit.export.adoption.formats.tflite_file import TfliteFile

        return TfliteFile(path, content)
    if path.suffix == ".tflite":
        raise ExportError(f"{path}: not a TFLite file, it does not begin as one; copy the file again")
    from bctoolkit.export.adoption.formats.onnx_file import OnnxFile

    return OnnxFile(path, content)
