"""Passes that turn an ONNX graph to float16: the weights and the arithmetic, or the stored weights alone."""

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bctoolkit.export.onnx.passes.base import constant, constants, rebuilt

__all__ = ["convert_to_float16", "float16_weights"]

LARGEST = float(np.finfo(np.float16).max)

SMALL = 1024
"""Elements below which a constant is not worth a Cast: biases, scales, bounds."""

FULL = {"Softmax", "ReduceMean", "GlobalAveragePool", "Cast", "Constant", "ConstantOfShape", "Range", "Resize"}
"""Operators that stay in float32: sums of many terms, probabilities, and those with a type in their attributes.

LayerNormalization is not among them: it takes mean and variance in float32 of itself (its attribute `stash_type`), and
adds its epsilon there. In float16 an epsilon of 1e-6 would all but vanish: the numbers around it are 6e-8 apart.
"""


def convert_to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights and arithmetic in float16, for GPUs.

    Requires: float32 arithmetic. Ensures: input and output as before; the operators of `FULL` in float32, and a
    constant that float16 cannot hold is cast at run time, to infinity as it must be.
    """
    graph = _Precisions(model)
    outputs = {value.name for value in model.graph.output}
    for node in model.graph.node:
        if node.op_type == "Cast" and node.output[0] in graph.floats and node.input[0] not in graph.floats:
            graph.add(node, half=True, inputs=node.input)
            graph.nodes[-1].attribute[0].i = TensorProto.FLOAT16
        elif node.op_type in FULL or not outputs.isdisjoint(node.output):
            graph.add(node, half=False, inputs=map(graph.full, node.input))
        else:
            graph.add(node, half=True, inputs=map(graph.half, node.input))
    return rebuilt(model, graph.nodes, graph.constants)


class _Precisions:
    """Nodes, and float tensors that are cast to the other precision at most once, where it is read."""

    def __init__(self, model: onnx.ModelProto) -> None:
        inferred = onnx.shape_inference.infer_shapes(model).graph
        kinds = {value.name: value.type.tensor_type.elem_type for value in (*inferred.value_info, *inferred.input)}
        kinds |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        self.floats = {name for name, kind in kinds.items() if kind == TensorProto.FLOAT}
        self._stored = constants(model)
        self._names: dict[tuple[str, int], str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, node: onnx.NodeProto, half: bool, inputs: Iterable[str]) -> None:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = list(inputs)
        precision = TensorProto.FLOAT16 if half else TensorProto.FLOAT
        self._names.update({(name, precision): name for name in node.output})
        self.nodes.append(copy)

    def full(self, name: str) -> str:
        """The float32 name of a tensor; its own where it is none of floats."""
        if name in self._stored or name not in self.floats:
            return name
        return self._cast(name, TensorProto.FLOAT)

    def half(self, name: str) -> str:
        """The float16 name of a tensor; its own where it is none of floats."""
        if name not in self.floats:
            return name
        if name in self._stored and (name, TensorProto.FLOAT16) not in self._names:
            array = numpy_helper.to_array(self._stored[name])
            if np.abs(array).max(initial=0) <= LARGEST:
                self.constants.append(constant(f"{name}/float16", array.astype(np.float16)))
                self._names[name, TensorProto.FLOAT16] = f"{name}/float16"
        return self._cast(name, TensorProto.FLOAT16)

    def _cast(self, name: str, precision: int) -> str:
        if (name, precision) not in self._names:
            cast = f"{name}/{'float16' if precision == TensorProto.FLOAT16 else 'float32'}"
            self.nodes.append(helper.make_node("Cast", [name], [cast], name=cast, to=precision))
            self._names[name, precision] = cast
        return self._names[name, precision]


def float16_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights stored in float16 and computed with in float32: an engine casts them once, when it loads the file.

    Requires: float32 weights. Ensures: the same nodes, and one Cast for each weight tensor of 1,024 elements or more;
    a tensor with a value that float16 cannot hold stays as it is.
    """
    halves = dict(filter(None, map(_half, model.graph.initializer)))
    casts = [
        helper.make_node("Cast", [half.name], [name], name=name, to=TensorProto.FLOAT) for name, half in halves.items()
    ]
    return rebuilt(model, [*casts, *model.graph.node], halves.values())


def _half(tensor: onnx.TensorProto) -> tuple[str, onnx.TensorProto] | None:
    """A large float32 tensor's name and what is stored for it; None for others."""
    if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALL:
        return None
    array = numpy_helper.to_array(tensor)
    if np.abs(array).max() > LARGEST:
        return None
    return tensor.name, constant(f"{tensor.name}/float16", array.astype(np.float16))
