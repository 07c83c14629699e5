"""Read a TFLite file made elsewhere: bounded before it is unpacked, and checked before anything of it runs.

The schema: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from bctoolkit.errors import BctkError, ExportError, UnsupportedOp
from bctoolkit.export.adoption.adapter import Adapter
from bctoolkit.export.adoption.formats.tflite_wrapping import wrap_tflite
from bctoolkit.export.adoption.ports import Port
from bctoolkit.export.tflite.graph import Graph, Operator
from bctoolkit.export.tflite.passes.weights import WEIGHTED_OPS
from bctoolkit.files import sha256_bytes
from bctoolkit.runtime.model_files.tflite_file import ports

__all__ = ["TfliteFile"]

MOST = 200_000
"""Tensors, operators and buffers: flatbuffers may name the same table many times over, and each is unpacked anew."""

MOST_ARGUMENTS = 2_000_000
"""Inputs and outputs of all operators together."""

SHAPING = {"RESHAPE", "SQUEEZE", "QUANTIZE", "DEQUANTIZE", "CAST"}
"""Operators that leave scores what they are."""

PORTS = ("float32", "uint8", "int8", "int16")
EIGHT_BITS = (np.dtype(np.int8), np.dtype(np.uint8))


class TfliteFile:
    """A TFLite file.

    Args:
        path: what to call it in a message.
        content: its bytes.

    Raises:
        ExportError: not a TFLite file, incomplete, of foreign operators, or of another shape than a classifier's.
    """

    format = "tflite"

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self._content, self.sha256 = path, content, sha256_bytes(content)
        try:
            _require_bounded(content)
            self.graph = Graph(content)
            self._kinds = [self.graph.kind(operator) for operator in self.graph.operators]
            self._require_builtin()
            self._require_stateless()
            self._require_known()
            self.input = self._port(self._only_input(), "input")
            self.outputs = tuple(self._port(tensor, "output") for tensor in self.graph.outputs)
            self.producer = self.graph.description
            self.quantization, self.arithmetic = self._form()
        except UnsupportedOp as problem:
            raise UnsupportedOp(f"{path}: {problem}; convert it again with a single signature") from None
        except BctkError:
            raise
        except Exception as problem:  # a damaged flatbuffer leads anywhere
            reason = " ".join(str(problem).split())[:160] or type(problem).__name__
            raise ExportError(f"{path}: not a whole TFLite file ({reason}); copy the file again") from None

    def _require_stateless(self) -> None:
        if names := self.graph.variables():
            raise ExportError(
                f"{self._path}: keeps {names[0]!r} from one image to the next, so that an answer depends on the images "
                "before; convert it again with its recurrent layers unrolled (unroll=True)"
            )

    def _require_builtin(self) -> None:
        if codes := self.graph.custom_codes():
            raise ExportError(
                f"{self._path}: operator {codes[0]} is not built into LiteRT; convert it again with "
                "tf.lite.OpsSet.TFLITE_BUILTINS alone"
            )

    def _require_known(self) -> None:
        """All of it has to be what a device takes."""
        try:
            ports(self._content)
        except ValueError as problem:
            raise ExportError(f"{self._path}: {problem}; convert it again") from None

    def _only_input(self) -> int:
        inputs = self.graph.inputs
        if len(inputs) != 1:
            names = ", ".join(self.graph.name(tensor) for tensor in inputs) or "none"
            raise ExportError(f"{self._path}: has {len(inputs)} inputs ({names}); wanted one, the image")
        return inputs[0]

    @property
    def metadata(self) -> dict[str, str]:
        """None: what converters store in TFLite files is no text."""
        return {}

    def content(self, output: str) -> bytes:
        """The file with that output alone."""
        if len(self.outputs) == 1:
            return self._content
        graph = Graph(self._content)
        graph.outputs = [tensor for tensor in graph.outputs if graph.name(tensor) == output][:1]
        return graph.content()

    def wrapped(self, adapter: Adapter, properties: Mapping[str, str]) -> bytes:
        """The file with what `adapter` names around its graph."""
        return wrap_tflite(self.content(adapter.output.name), adapter, properties)

    def last_operator(self, output: str) -> str:
        """The operator that computed an output's values."""
        graph = self.graph
        producers = {o.outputs[0]: (o, kind) for o, kind in zip(graph.operators, self._kinds, strict=True) if o.outputs}
        tensor = next(tensor for tensor in graph.outputs if graph.name(tensor) == output)
        operator, kind = producers.get(tensor, (None, ""))
        while kind in SHAPING and operator.inputs:
            operator, kind = producers.get(operator.inputs[0], (None, ""))
        return str(kind)

    def _port(self, tensor: int, role: str) -> Port:
        graph = self.graph
        dtype, free = graph.dtype(tensor), graph.free_axes(tensor)
        if dtype.name not in PORTS:
            kind = graph.type_name(tensor).lower()
            raise ExportError(
                f"{self._path}: {role} {graph.name(tensor)!r} is {kind}; wanted {', '.join(PORTS)}, convert it again"
            )
        params = graph.quantization(tensor) if dtype.kind in "iu" else None
        sizes = tuple(None if axis in free else size for axis, size in enumerate(graph.shape(tensor)))
        meaning = None if params is None else (float(params.scale[0]), params.zero_point)
        return Port(graph.name(tensor), sizes, dtype.name, meaning)

    def _form(self) -> tuple[str | None, str]:
        """The form, and what shows it."""
        graph = self.graph
        sources = {
            o.outputs[0]: o for o, kind in zip(graph.operators, self._kinds, strict=True) if kind == "DEQUANTIZE"
        }
        weighted = [o for o, kind in zip(graph.operators, self._kinds, strict=True) if kind in WEIGHTED_OPS]
        activations = {graph.type_name(operator.inputs[0]) for operator in weighted}
        weights = {_weights_type(graph, operator, sources) for operator in weighted}
        if "INT16" in activations and weights == {"INT8"}:
            return "w8a16", "int8 weights, int16 activations with fixed ranges"
        if "INT16" in activations or {"INT4", "INT2", "DEQUANTIZED INT4", "DEQUANTIZED INT8"} & weights:
            return None, f"weights {', '.join(sorted(weights))}, activations {', '.join(sorted(activations))}"
        if activations & {"INT8", "UINT8"}:
            ports = {graph.dtype(tensor) for tensor in (*graph.inputs, *graph.outputs)}
            full = ports <= set(EIGHT_BITS) and activations <= {"INT8", "UINT8"}
            return ("int8-full" if full else "int8"), "int8 weights, activations with fixed ranges"
        if weights & {"INT8", "UINT8"}:
            return "int8-dynamic", "int8 weights, activations quantized at run time"
        if weights & {"FLOAT16", "DEQUANTIZED FLOAT16"}:
            return "fp16", "float16 weights"
        return "fp32", "float weights and activations"


def _weights_type(graph: Graph, operator: Operator, sources: dict[int, Operator]) -> str:
    """The type that an operator's weights are stored in, and whether they are converted before they are used."""
    weights = operator.inputs[1]
    source = sources.get(weights)
    return graph.type_name(weights) if source is None else f"DEQUANTIZED {graph.type_name(source.inputs[0])}"


def _require_bounded(content: bytes) -> None:
    """Make sure that unpacking a file takes no more than its size suggests.

    Raises:
        ValueError: it has no graph, names more tables than a network has, or more constants than it holds.
    """
    model = schema.Model.GetRootAs(content)
    if not model.SubgraphsLength():
        raise ValueError("it holds no graph")
    counts = [model.SubgraphsLength(), model.BuffersLength(), model.OperatorCodesLength(), model.MetadataLength()]
    counts += [model.SignatureDefsLength(), model.MetadataBufferLength()]
    arguments = 0
    for index in range(min(model.SubgraphsLength(), 1)):
        graph = model.Subgraphs(index)
        counts += [graph.TensorsLength(), graph.OperatorsLength(), graph.InputsLength(), graph.OutputsLength()]
        if max(counts) > MOST:
            break
        for position in range(graph.OperatorsLength()):
            operator = graph.Operators(position)
            arguments += operator.InputsLength() + operator.OutputsLength() + operator.IntermediatesLength()
    if max(counts) > MOST or arguments > MOST_ARGUMENTS:
        raise ValueError(f"{max(*counts, arguments)} entries in one list")
    buffers = (model.Buffers(index) for index in range(model.BuffersLength()))
    if sum(max(buffer.DataLength(), buffer.Size()) for buffer in buffers) > len(content):
        raise ValueError("its constants together are larger than the file")
