"""Write pre- and postprocessing around a TFLite graph with built-in operators; its own operators stay as they came."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bctoolkit.export.adoption.adapter import Adapter
from bctoolkit.export.tflite.graph import Graph, Operator, QuantParams

__all__ = ["wrap_tflite"]

PIXELS = QuantParams(1)
"""Pixels as they are."""


class _Operators:
    """Operators in a row, each reading the one before."""

    def __init__(self, graph: Graph, tensor: int, shape: tuple[int, ...]) -> None:
        self.graph, self.value, self.shape = graph, tensor, shape
        self.operators: list[Operator] = []

    def add(
        self,
        kind: str,
        *constants: NDArray[np.generic],
        target: int | None = None,
        shape: tuple[int, ...] | None = None,
        dtype: str = "float32",
        params: QuantParams | None = None,
        version: int = 1,
        **options: float,
    ) -> None:
        """Append an operator on the value so far and constants, which writes to a tensor of its own or to `target`."""
        name = f"adopted/{len(self.graph.operators)}_{len(self.operators)}_{kind.lower()}"
        inputs = [self.value, *(self.graph.add_constant(each, f"{name}_constant") for each in constants)]
        self.shape = self.shape if shape is None else shape
        output = self.graph.add_tensor(self.shape, dtype, name, params) if target is None else target
        self.operators.append(self.graph.operator(kind, inputs, [output], version, **options))
        self.value = output


def wrap_tflite(content: bytes, adapter: Adapter, properties: Mapping[str, str]) -> bytes:
    """The file with what `adapter` names around its graph.

    Ensures: one input `image`, uint8 1 × height × width × channels; one output `probabilities`, 1 × classes, float32,
    or the file's own integers where they stand for probabilities already.

    Args:
        content: a checked file.
        adapter: what it lacks.
        properties: stored in the file, in place of all that were there.
    """
    graph = Graph(content)
    for tensor in (*graph.inputs, *graph.outputs):
        graph.rename(tensor, f"adopted/{graph.name(tensor)}")
    (inner,) = graph.inputs
    (output,) = [tensor for tensor in graph.outputs if graph.name(tensor) == f"adopted/{adapter.output.name}"][:1]
    image, before = _preprocess(graph, inner, adapter)
    after = _postprocess(graph, output, adapter)
    graph.operators = [*before, *graph.operators, *after.operators]
    graph.inputs, graph.outputs = [image], [after.value]
    graph.rename(image, "image")
    graph.rename(after.value, "probabilities")
    return graph.content(properties)


def _preprocess(graph: Graph, inner: int, adapter: Adapter) -> tuple[int, list[Operator]]:
    """The image, and operators from it to the file's own input."""
    shape = (1, *adapter.shape)
    pixels = _pixel_params(adapter)
    if pixels is not None and adapter.input.dtype == "uint8" and adapter.layout == "NHWC" and not adapter.reversed:
        return inner, []
    image = graph.add_tensor(shape, np.uint8, "image", pixels or _plain_params(adapter))
    row = _Operators(graph, image, shape)
    moves = adapter.layout == "NCHW"
    target = None if moves else inner
    as_they_are = pixels is not None and adapter.input.dtype == "uint8"
    if adapter.reversed:
        params = pixels or _plain_params(adapter)
        reversed_to = target if as_they_are else None
        row.add("REVERSE_V2", np.array([3], np.int32), target=reversed_to, dtype="uint8", params=params)
    if pixels is None:
        _add_scale(row, adapter, target)
    elif not as_they_are:
        _add_quantize(row, adapter, target, version=2)
    if moves:
        row.add("TRANSPOSE", np.array([0, 3, 1, 2], np.int32), target=inner, version=2)
    return image, row.operators


def _add_scale(row: _Operators, adapter: Adapter, target: int | None) -> None:
    """Operators that compute the network's real values, and quantize them where the file takes integers."""
    factor, offset = (np.array(values, np.float32) for values in adapter.scaling)
    scaled = len(set(adapter.scaling.factor)) == 1 and not offset.any()
    steps: list[tuple[str, tuple[NDArray[np.float32], ...]]] = [("DEQUANTIZE", ())]
    if not scaled:
        steps += [("MUL", (factor,))] if (factor != 1).any() else []
        steps += [("ADD", (offset,))] if offset.any() else []
    integers = adapter.input.dtype != "float32"
    for index, (kind, constants) in enumerate(steps):
        last = index == len(steps) - 1 and not integers
        row.add(kind, *constants, target=target if last else None, version=2 if kind == "DEQUANTIZE" else 1)
    if integers:
        _add_quantize(row, adapter, target, version=1)


def _add_quantize(row: _Operators, adapter: Adapter, target: int | None, version: int) -> None:
    row.add("QUANTIZE", target=target, dtype=adapter.input.dtype, params=_own_params(adapter), version=version)


def _own_params(adapter: Adapter) -> QuantParams:
    """What the integers of the file's input stand for."""
    return QuantParams(*(adapter.input.quantization or (1.0, 0)))


def _plain_params(adapter: Adapter) -> QuantParams:
    """What pixels stand for: one factor without offset is part of it, so that it costs no operator."""
    factors = set(adapter.scaling.factor)
    return QuantParams(factors.pop()) if len(factors) == 1 and not any(adapter.scaling.offset) else PIXELS


def _pixel_params(adapter: Adapter) -> QuantParams | None:
    """What pixels stand for, where the file's integers are the pixels' up to a shift; None where they are not."""
    if adapter.input.dtype == "float32":
        return None
    scale, zero = adapter.input.quantization or (1.0, 0)
    factors, offsets = set(adapter.scaling.factor), set(adapter.scaling.offset)
    if len(factors) != 1 or len(offsets) != 1 or np.float32(factors.pop()) != np.float32(scale):
        return None
    shift = -offsets.pop() / scale
    wanted = zero if adapter.input.dtype == "uint8" else zero + 128
    return QuantParams(scale, wanted) if abs(shift - wanted) < 1e-3 else None


def _postprocess(graph: Graph, output: int, adapter: Adapter) -> _Operators:
    """Operators from the file's output to the probabilities."""
    row = _Operators(graph, output, graph.shape(output))
    bare = adapter.count > 1 and adapter.head == "none" and len(row.shape) == 2
    if bare:
        return row
    if adapter.output.dtype != "float32":
        row.add("DEQUANTIZE", version=2)
    if len(row.shape) != 2:
        row.add("RESHAPE", np.array([1, adapter.count], np.int32), shape=(1, adapter.count))
    if adapter.head == "softmax":
        row.add("SOFTMAX", beta=1.0)
    elif adapter.head == "sigmoid":
        row.add("LOGISTIC")
    if adapter.count == 1:
        _add_first_class(row)
    return row


def _add_first_class(row: _Operators) -> None:
    """Put 1 − p before p."""
    graph, second = row.graph, row.value
    one = graph.add_constant(np.ones((1, 1), np.float32), "adopted/one")
    first = graph.add_tensor((1, 1), np.float32, "adopted/first")
    both = graph.add_tensor((1, 2), np.float32, "adopted/both")
    row.operators.append(graph.operator("SUB", [one, second], [first]))
    row.operators.append(graph.operator("CONCATENATION", [first, second], [both], axis=1))
    row.value, row.shape = both, (1, 2)
