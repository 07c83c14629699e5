"""Read an ONNX file made elsewhere: bounded and checked before anything of it runs.

Operators are those of https://onnx.ai/onnx/operators/ and ONNX Runtime's own
(https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md).
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from bctoolkit.errors import ExportError
from bctoolkit.export.adoption.adapter import Adapter
from bctoolkit.export.adoption.formats.onnx_graphs import graphs, tensors
from bctoolkit.export.adoption.formats.onnx_wrapping import wrap_onnx
from bctoolkit.export.adoption.ports import Port
from bctoolkit.files import sha256_bytes
from bctoolkit.runtime.model_files.onnx_file import REFUSED

__all__ = ["OnnxFile"]

DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Operator sets that ONNX Runtime brings along; operators of any other come from a library of their own."""

WHOLE = "whole.onnx"
"""Where the remedies write."""

LEAST_OPSET = 7
"""Since then arithmetic broadcasts, which the preprocessing needs."""

DYNAMIC = {"MatMulInteger", "ConvInteger", "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
WEIGHTS_ONLY = {"DequantizeLinear", "MatMulNBits", "MatMulBnb4", "GatherBlockQuantized"}
EIGHT_BITS = {TensorProto.INT8, TensorProto.UINT8}
SHAPING = {"Identity", "Reshape", "Flatten", "Squeeze", "Cast", "QuantizeLinear", "DequantizeLinear"}
"""Operators that leave scores what they are."""
CASTS = {"Cast", "CastLike", "Identity", "Transpose", "Reshape"}
"""What stands between weights stored in half precision and the operators that compute with them in single."""


class OnnxFile:
    """An ONNX file.

    Args:
        path: what to call it in a message.
        content: its bytes.

    Raises:
        ExportError: not an ONNX file, incomplete, of foreign operators, or of another shape than a classifier's.
    """

    format = "onnx"

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self.sha256 = path, sha256_bytes(content)
        try:
            self.model = onnx.load_model_from_string(content)
            named = bool(self.model.graph.node) and bool(self.model.graph.output)
        except Exception as problem:  # the parser's errors are of protobuf's own classes
            raise ExportError(f"{path}: not an ONNX file ({_line(problem)}); copy the file again") from None
        if not named:
            raise ExportError(f"{path}: not an ONNX file: it holds no operators; copy the file again")
        self._require_whole()
        self._require_operators()
        try:
            onnx.checker.check_model(self.model)
        except Exception as problem:  # its own class of error, or of Python where a field is nonsense
            raise ExportError(f"{path}: breaks the ONNX specification ({_line(problem)}); export it again") from None
        self.input = self._only_input()
        self.outputs = tuple(self._port(value, "output") for value in self.model.graph.output)

    @property
    def producer(self) -> str:
        """Name and version of what wrote the file."""
        return f"{self.model.producer_name} {self.model.producer_version}".strip()

    @property
    def metadata(self) -> dict[str, str]:
        """The file's own properties."""
        return {entry.key: entry.value for entry in self.model.metadata_props}

    @property
    def quantization(self) -> str | None:
        """The form that the operators show."""
        return self._form[0]

    @property
    def arithmetic(self) -> str:
        """What the operators show, in words."""
        return self._form[1]

    def content(self, output: str) -> bytes:
        """The file with that output alone; the engine drops what leads to the others."""
        if len(self.outputs) == 1:
            return bytes(self.model.SerializeToString())
        reduced = onnx.ModelProto()
        reduced.CopyFrom(self.model)
        (kept,) = [value for value in self.model.graph.output if value.name == output]
        del reduced.graph.output[:]
        reduced.graph.output.append(kept)
        return bytes(reduced.SerializeToString())

    def last_operator(self, output: str) -> str:
        """The operator that computed an output's values."""
        producers = {name: node for node in self.model.graph.node for name in node.output}
        node = producers.get(output)
        while node is not None and node.op_type in SHAPING and node.input:
            node = producers.get(node.input[0])
        return "" if node is None else str(node.op_type)

    def wrapped(self, adapter: Adapter, properties: Mapping[str, str]) -> bytes:
        """The file with what `adapter` names around its graph."""
        return wrap_onnx(self.model, adapter, properties)

    def _require_whole(self) -> None:
        """All weights have to be in the file, and none of them text."""
        for graph in graphs(self.model.graph):
            for name, tensor in tensors(graph):
                if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
                    raise ExportError(
                        f"{self._path}: its weights lie in another file; make one file of it: "
                        f'python -c "import onnx; onnx.save(onnx.load({str(self._path)!r}), {WHOLE!r})"'
                    )
                if tensor.data_type == TensorProto.STRING:
                    raise ExportError(
                        f"{self._path}: holds text ({name!r}); an image classifier needs none, export it again "
                        "without what reads or writes text"
                    )

    def _require_operators(self) -> None:
        """All operators have to be the engine's own."""
        if self.model.functions:
            names = ", ".join(sorted({function.name for function in self.model.functions})[:3])
            command = f"onnx.save(onnx.inliner.inline_local_functions(onnx.load({str(self._path)!r})), {WHOLE!r})"
            raise ExportError(
                f"{self._path}: has operators written as functions ({names}); write them out: "
                f'python -c "import onnx.inliner; {command}"'
            )
        for graph in graphs(self.model.graph):
            for node in graph.node:
                if (fault := REFUSED.get(node.op_type.encode())) is not None:
                    raise ExportError(f"{self._path}: operator {node.op_type} is {fault}; export it again without")
                if node.domain not in DOMAINS:
                    raise ExportError(
                        f"{self._path}: operator {node.op_type} of {node.domain!r} needs a library of its own, which "
                        "is never loaded; export it again with ONNX's own operators"
                    )
        if self.opset < LEAST_OPSET:
            raise ExportError(
                f"{self._path}: is of opset {self.opset}, wanted {LEAST_OPSET} or later; convert it with "
                "onnx.version_converter.convert_version"
            )

    @property
    def opset(self) -> int:
        """Version of ONNX's own operators; 0 where the file names none."""
        return max((entry.version for entry in self.model.opset_import if entry.domain in DOMAINS[:2]), default=0)

    def _only_input(self) -> Port:
        stored = {tensor.name for tensor in self.model.graph.initializer}
        inputs = [value for value in self.model.graph.input if value.name not in stored]
        if len(inputs) != 1:
            names = ", ".join(value.name for value in inputs) or "none"
            raise ExportError(f"{self._path}: has {len(inputs)} inputs ({names}); wanted one, the image")
        return self._port(inputs[0], "input")

    def _port(self, value: onnx.ValueInfoProto, role: str) -> Port:
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or kind.elem_type not in NUMBERS:
            raise ExportError(f"{self._path}: {role} {value.name!r} is no tensor of numbers; wanted {WANTED}")
        sizes = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim)
        return Port(value.name, sizes, NUMBERS[kind.elem_type])

    @cached_property
    def _form(self) -> tuple[str | None, str]:
        """The form, and what shows it."""
        nodes = [node for graph in graphs(self.model.graph) for node in graph.node]
        kinds = {node.op_type for node in nodes}
        stored = {name: t.data_type for graph in graphs(self.model.graph) for name, t in tensors(graph)}
        activations = [n for n in nodes if n.op_type == "QuantizeLinear" and n.input[0] not in stored]
        if any(kind.startswith("QLinear") for kind in kinds) or activations:
            zeros = {stored.get(node.input[2]) for node in activations if len(node.input) > 2} - {None}
            if zeros - EIGHT_BITS:
                names = ", ".join(sorted(TensorProto.DataType.Name(zero) for zero in zeros if zero))
                return None, f"activations quantized to {names}"
            return "int8", "activations with fixed ranges (QuantizeLinear, QLinear…)"
        if kinds & DYNAMIC:
            return "int8-dynamic", f"activations quantized at run time ({', '.join(sorted(kinds & DYNAMIC))})"
        if kinds & WEIGHTS_ONLY:
            return None, f"weights alone quantized ({', '.join(sorted(kinds & WEIGHTS_ONLY))})"
        return _float_form(nodes, stored)


def _float_form(nodes: list[onnx.NodeProto], stored: dict[str, int]) -> tuple[str | None, str]:
    """The form of a file without integers: by the weights' type, and whether something converts it first."""
    if TensorProto.BFLOAT16 in stored.values():
        return None, "weights in bfloat16"
    halves = {name for name, kind in stored.items() if kind == TensorProto.FLOAT16}
    if not halves:
        return "fp32", "float weights and activations"
    if any(halves & set(node.input) for node in nodes if node.op_type not in CASTS):
        return "fp16", "float16 weights and arithmetic"
    return "fp16-weights", "float16 weights, converted before they are used"


NUMBERS: dict[int, str] = {
    helper.np_dtype_to_tensor_dtype(np.dtype(name)): name for name in ("float32", "float16", "float64", "uint8", "int8")
}
WANTED = ", ".join(NUMBERS.values())


def _line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:160] or type(problem).__name__
