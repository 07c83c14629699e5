"""Write pre- and postprocessing around an ONNX graph; its own nodes stay as they came."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bctoolkit.export.adoption.adapter import Adapter
from bctoolkit.export.adoption.formats.onnx_graphs import graphs

__all__ = ["wrap_onnx"]

IMAGE, PROBABILITIES = "image", "probabilities"
"""Names of an artifact's input and output."""


class _Nodes:
    """Nodes in a row, each reading the one before, with names that the file does not use."""

    def __init__(self, names: set[str], source: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.value = source
        self._prefix = "adopted/"
        while any(name.startswith(self._prefix) for name in names):
            self._prefix = f"_{self._prefix}"

    def add(self, operator: str, *constants: onnx.TensorProto, first: bool = True, **attributes: Any) -> None:
        """Append an operator on the value so far, and on constants after it (`first`) or before it."""
        others = [self._constant(tensor) for tensor in constants]
        inputs = [self.value, *others] if first else [*others, self.value]
        self.add_on(operator, inputs, **attributes)

    def add_on(self, operator: str, inputs: list[str], **attributes: Any) -> None:
        """Append an operator on named values."""
        self.value = f"{self._prefix}{len(self.nodes)}_{operator}"
        self.nodes.append(helper.make_node(operator, inputs, [self.value], name=self.value, **attributes))

    def end_as(self, name: str) -> None:
        """Call the last value so."""
        self.nodes.append(helper.make_node("Identity", [self.value], [name], name=f"{self._prefix}{name}"))

    def _constant(self, tensor: onnx.TensorProto) -> str:
        name = f"{self._prefix}{len(self.nodes)}_constant"
        self.nodes.append(helper.make_node("Constant", [], [name], name=name, value=tensor))
        return name


def wrap_onnx(model: onnx.ModelProto, adapter: Adapter, properties: Mapping[str, str]) -> bytes:
    """The file with what `adapter` names around its graph.

    Ensures: one input `image`, uint8 N × height × width × channels with N as free as it was; one output
    `probabilities`, float32 N × classes. The nodes are those of the file, in their order, and names that would clash
    are changed.

    Args:
        model: a checked file; it is not changed.
        adapter: what it lacks.
        properties: stored in the file, in place of all that were there.
    """
    wrapped = onnx.ModelProto()
    wrapped.CopyFrom(model)
    graph = wrapped.graph
    source, target = (_renamed(graph, name) for name in (adapter.input.name, adapter.output.name))
    for name in (IMAGE, PROBABILITIES):
        _renamed(graph, name)
    names = _names(graph)
    before = _Nodes(names, IMAGE)
    _preprocess(before, adapter)
    before.end_as(source)
    after = _Nodes(names | {node.name for node in before.nodes}, target)
    _postprocess(after, adapter)
    after.end_as(PROBABILITIES)
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    batch = adapter.input.shape[0] or "batch"
    stored = {tensor.name for tensor in graph.initializer}
    overridable = [value for value in graph.input if value.name in stored]
    del graph.input[:], graph.output[:]
    graph.input.extend([helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, [batch, *adapter.shape]), *overridable])
    graph.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, [batch, adapter.classes]))
    del wrapped.metadata_props[:]
    helper.set_model_props(wrapped, dict(properties))
    onnx.checker.check_model(wrapped)
    return bytes(wrapped.SerializeToString())


def _preprocess(nodes: _Nodes, adapter: Adapter) -> None:
    """From uint8 N × height × width × channels to what the file takes."""
    factor, offset = (np.array(values, np.float32) for values in adapter.scaling)
    if adapter.reversed:
        nodes.add("Gather", numpy_helper.from_array(np.array([2, 1, 0])), axis=3)
    if adapter.input.dtype != "uint8":
        nodes.add("Cast", to=TensorProto.FLOAT)
        if (factor != 1).any():
            nodes.add("Mul", numpy_helper.from_array(factor))
        if (offset != 0).any():
            nodes.add("Add", numpy_helper.from_array(offset))
    if adapter.layout == "NCHW":
        nodes.add("Transpose", perm=(0, 3, 1, 2))
    if adapter.input.dtype not in ("uint8", "float32"):
        nodes.add("Cast", to=helper.np_dtype_to_tensor_dtype(np.dtype(adapter.input.dtype)))


def _postprocess(nodes: _Nodes, adapter: Adapter) -> None:
    """From the file's scores to float32 N × classes."""
    if adapter.output.dtype != "float32":
        nodes.add("Cast", to=TensorProto.FLOAT)
    if len(adapter.output.shape) != 2:
        nodes.add("Flatten", axis=1)
    if adapter.head == "softmax":
        nodes.add("Softmax", axis=1)
    elif adapter.head == "sigmoid":
        nodes.add("Sigmoid")
    if adapter.count == 1:
        second = nodes.value
        nodes.add("Sub", numpy_helper.from_array(np.ones(1, np.float32)), first=False)
        nodes.add_on("Concat", [nodes.value, second], axis=1)


def _renamed(graph: onnx.GraphProto, name: str) -> str:
    """Make sure that a tensor of the file is not called as an artifact's input or output; returns what it is called."""
    if name not in (IMAGE, PROBABILITIES):
        return name
    new, taken = f"adopted_{name}", _names(graph)
    while new in taken:
        new = f"_{new}"
    for inner in graphs(graph):
        for values in (inner.input, inner.output, inner.value_info, inner.initializer):
            for value in values:
                if value.name == name:
                    value.name = new
        for node in inner.node:
            for side in (node.input, node.output):
                side[:] = [new if each == name else each for each in side]
    return new


def _names(graph: onnx.GraphProto) -> set[str]:
    """Every name of a tensor or node."""
    names: set[str] = set()
    for inner in graphs(graph):
        for values in (inner.input, inner.output, inner.value_info, inner.initializer):
            names.update(value.name for value in values)
        for node in inner.node:
            names.update((node.name, *node.input, *node.output))
    return names
