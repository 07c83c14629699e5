"""A TFLite graph to read and change: tensors, constants, operators, and the bytes they make."""

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from bctoolkit.errors import UnsupportedOp

__all__ = ["Graph", "Operator", "QuantParams"]

Operator = Any
"""The schema's `OperatorT`."""

KINDS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
DTYPES: dict[int, np.dtype[Any]] = {
    schema.TensorType.FLOAT32: np.dtype(np.float32),
    schema.TensorType.FLOAT16: np.dtype(np.float16),
    schema.TensorType.INT64: np.dtype(np.int64),
    schema.TensorType.INT32: np.dtype(np.int32),
    schema.TensorType.INT16: np.dtype(np.int16),
    schema.TensorType.INT8: np.dtype(np.int8),
    schema.TensorType.UINT8: np.dtype(np.uint8),
}
TENSOR_TYPES: dict[int, str] = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
TYPES = {dtype: code for code, dtype in DTYPES.items()}


OPTIONS = {
    "ADD": "AddOptions",
    "CONCATENATION": "ConcatenationOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "MUL": "MulOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SPLIT": "SplitOptions",
    "SUB": "SubOptions",
}
"""The table of options of operators that need one."""


class QuantParams:
    """Quantization parameters: an integer q stands for `scale · (q - zero_point)`.

    The scale is one in all, or one per slice along `axis`.
    """

    def __init__(self, scale: Any, zero_point: int = 0, axis: int = 0) -> None:
        self.scale = np.atleast_1d(np.asarray(scale, np.float32))
        self.zero_point = zero_point
        self.axis = axis


class _Builder(flatbuffers.Builder):
    """Aligns every vector to 16 bytes, as the schema asks of constants and Python's builder does not."""

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:
        self.Prep(16, x.nbytes)
        offset: int = super().CreateNumpyVector(x)
        return offset


class Graph:
    """One TFLite model with a single graph.

    Args:
        content: a TFLite file's bytes.

    Raises:
        UnsupportedOp: the model has control flow.
        ValueError: a constant lies beyond the end of the file.
    """

    def __init__(self, content: bytes) -> None:
        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
        if len(self._model.subgraphs) != 1:
            raise UnsupportedOp(f"the network needs control flow ({len(self._model.subgraphs)} graphs in TFLite)")
        _bring_inside(self._model.buffers, content)
        self._body = self._model.subgraphs[0]
        self._size = len(content)
        self.operators: list[Operator] = self._body.operators
        self.inputs: list[int] = self._body.inputs.tolist()
        self.outputs: list[int] = self._body.outputs.tolist()
        for operator in self.operators:
            operator.inputs, operator.outputs = operator.inputs.tolist(), operator.outputs.tolist()

    def kind(self, operator: Operator) -> str:
        """The operator's name in the schema, e.g. `FULLY_CONNECTED`."""
        code = self._model.operatorCodes[operator.opcodeIndex]
        return str(KINDS[max(code.builtinCode, code.deprecatedBuiltinCode)])

    def name(self, tensor: int) -> str:
        """A tensor's name."""
        return str(self._body.tensors[tensor].name.decode())

    def rename(self, tensor: int, name: str) -> None:
        """Give a tensor another name."""
        self._body.tensors[tensor].name = name.encode()

    def custom_codes(self) -> list[str]:
        """Names of the operators that are not built in."""
        return [code.customCode.decode(errors="replace") for code in self._model.operatorCodes if code.customCode]

    @property
    def description(self) -> str:
        """What wrote the file, by its own account."""
        return str((self._model.description or b"").decode(errors="replace"))

    def type_name(self, tensor: int) -> str:
        """The schema's name of a tensor's type, such as `INT4`."""
        return TENSOR_TYPES.get(self._body.tensors[tensor].type, "unknown")

    def variables(self) -> list[str]:
        """Names of the tensors that keep their values from one run to the next."""
        return [tensor.name.decode(errors="replace") for tensor in self._body.tensors if tensor.isVariable]

    def free_axes(self, tensor: int) -> set[int]:
        """The axes whose size the engine may change."""
        signature = self._body.tensors[tensor].shapeSignature
        return set() if signature is None else {axis for axis, size in enumerate(signature) if size < 0}

    def scopes(self, *tensors: int) -> list[str]:
        """The first parts of the tensors' names; the converter joins the names of what it merged."""
        return [part.split("/")[0] for tensor in tensors for part in self.name(tensor).split(";")]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's shape."""
        shape = self._body.tensors[tensor].shape
        return () if shape is None else tuple(int(size) for size in shape)

    def dtype(self, tensor: int) -> np.dtype[Any]:
        """A tensor's dtype; object for one that is not used here."""
        return DTYPES.get(self._body.tensors[tensor].type, np.dtype(object))

    def constant(self, tensor: int) -> NDArray[Any] | None:
        """A constant's values; None for a tensor that is computed, or for an input left out (-1)."""
        if tensor < 0:
            return None
        data = self._model.buffers[self._body.tensors[tensor].buffer].data
        return None if data is None else data.view(self.dtype(tensor)).reshape(self.shape(tensor))

    def add_constant(self, array: NDArray[Any], name: str, params: QuantParams | None = None) -> int:
        """Add a constant."""
        tensor = self.add_tensor(array.shape, array.dtype, name, params)
        data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        self._model.buffers.append(_fill(schema.BufferT(), data=data))
        self._body.tensors[tensor].buffer = len(self._model.buffers) - 1
        return tensor

    def add_tensor(self, shape: tuple[int, ...], dtype: Any, name: str, params: QuantParams | None = None) -> int:
        """Add a tensor that an operator computes."""
        tensor = _fill(
            schema.TensorT(), shape=np.array(shape, np.int32), type=TYPES[np.dtype(dtype)], name=name.encode()
        )
        tensor.hasRank = True
        if params is not None:
            zeros = np.full(params.scale.shape, params.zero_point, np.int64)
            tensor.quantization = _fill(
                schema.QuantizationParametersT(), scale=params.scale, zeroPoint=zeros, quantizedDimension=params.axis
            )
        self._body.tensors.append(tensor)
        return len(self._body.tensors) - 1

    def quantization(self, tensor: int) -> QuantParams | None:
        """What the integers of a tensor stand for; None where they stand for themselves."""
        params = self._body.tensors[tensor].quantization
        if params is None or params.scale is None or not len(params.scale):
            return None
        zero = 0 if params.zeroPoint is None or not len(params.zeroPoint) else int(params.zeroPoint[0])
        return QuantParams(params.scale, zero, params.quantizedDimension)

    def operator(
        self, kind: str, inputs: Iterable[int], outputs: Iterable[int], version: int = 1, **options: float
    ) -> Operator:
        """A new operator, not yet in the graph, with its default options but for those that are set here."""
        operator = _fill(schema.OperatorT(), opcodeIndex=self._code(kind, version))
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if kind in OPTIONS:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, OPTIONS[kind])
            operator.builtinOptions = _fill(getattr(schema, f"{OPTIONS[kind]}T")(), **options)
        return operator

    def copy(self, operator: Operator, inputs: Iterable[int], outputs: Iterable[int], **options: int) -> Operator:
        """A copy of an operator on other tensors, with some of its options changed."""
        changed = copy(operator)
        changed.inputs, changed.outputs = list(inputs), list(outputs)
        if options:
            changed.builtinOptions = _fill(copy(operator.builtinOptions), **options)
        return changed

    def set_version(self, operator: Operator, version: int) -> None:
        """Require at least this version of an operator, so that an older runtime refuses what it cannot read."""
        old = self._model.operatorCodes[operator.opcodeIndex].version
        operator.opcodeIndex = self._code(self.kind(operator), max(version, old))

    def readers(self) -> dict[int, list[Operator]]:
        """The operators that read each tensor."""
        readers: dict[int, list[Operator]] = {}
        for operator in self.operators:
            for tensor in operator.inputs:
                readers.setdefault(tensor, []).append(operator)
        return readers

    def properties(self) -> dict[str, str]:
        """What the file says of itself: the metadata that `content` stored."""
        buffers = self._model.buffers
        entries = [(entry.name.decode(), buffers[entry.buffer].data) for entry in self._model.metadata or []]
        return {name: "" if data is None else data.tobytes().decode() for name, data in entries}

    def content(self, properties: Mapping[str, str] | None = None) -> bytes:
        """The file's bytes.

        Args:
            properties: stored as metadata buffers of these names, UTF-8, in place of any that were there.
        """
        self._model.metadata = []
        for name, text in (properties or {}).items():
            self._model.buffers.append(_fill(schema.BufferT(), data=np.frombuffer(text.encode(), np.uint8)))
            entry = _fill(schema.MetadataT(), name=name.encode(), buffer=len(self._model.buffers) - 1)
            self._model.metadata.append(entry)
        self._drop_unused()
        self._body.operators, self._body.inputs, self._body.outputs = self.operators, self.inputs, self.outputs
        self._model.signatureDefs = [self._signature()]
        builder = _Builder(self._size + 2**20)
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _signature(self) -> Any:
        """Input and output by name, for apps that call the model by its signature."""
        inputs, outputs = (
            [_fill(schema.TensorMapT(), name=self.name(tensor).encode(), tensorIndex=tensor) for tensor in tensors]
            for tensors in (self.inputs, self.outputs)
        )
        return _fill(schema.SignatureDefT(), signatureKey=b"serving_default", inputs=inputs, outputs=outputs)

    def _code(self, kind: str, version: int) -> int:
        """The index of an operator code, added if need be."""
        number = getattr(schema.BuiltinOperator, kind)
        codes = self._model.operatorCodes
        for index, code in enumerate(codes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == number and code.version == version:
                return index
        old = min(number, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
        codes.append(_fill(schema.OperatorCodeT(), builtinCode=number, deprecatedBuiltinCode=old, version=version))
        return len(codes) - 1

    def _drop_unused(self) -> None:
        """Drop tensors that no operator touches any more, and the buffers of those that were constants."""
        used = {*self.inputs, *self.outputs}
        for operator in self.operators:
            used.update(operator.inputs, operator.outputs)
        index = {old: new for new, old in enumerate(sorted(used - {-1}))} | {-1: -1}
        self._body.tensors = [self._body.tensors[old] for old in index if old >= 0]
        for operator in self.operators:
            operator.inputs = [index[tensor] for tensor in operator.inputs]
            operator.outputs = [index[tensor] for tensor in operator.outputs]
        self.inputs, self.outputs = [index[i] for i in self.inputs], [index[i] for i in self.outputs]
        holders = [*self._body.tensors, *self._model.metadata]
        buffers = sorted({0, *(holder.buffer for holder in holders)})
        for holder in holders:
            holder.buffer = buffers.index(holder.buffer)
        self._model.buffers = [self._model.buffers[old] for old in buffers]


def _bring_inside(buffers: list[Any], content: bytes) -> None:
    """Give every buffer its data: those of large files lie behind the flatbuffer, by an offset from its beginning."""
    for buffer in buffers:
        if buffer.data is None and buffer.offset > 1:
            end = buffer.offset + buffer.size
            if end > len(content):
                raise ValueError(f"a constant ends at byte {end:,} of {len(content):,}")
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0


def _fill(entry: Any, **fields: Any) -> Any:
    """Set the fields of an object of the schema, whose constructors take none."""
    for name, value in fields.items():
        setattr(entry, name, value)
    return entry
