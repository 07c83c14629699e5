"""What passes over a finished ONNX graph share: each takes a model, leaves it as it is, and returns another."""

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

__all__ = ["constant", "constants", "rebuilt"]


def constants(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """The constants of a model by name."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def constant(name: str, array: NDArray[np.generic]) -> onnx.TensorProto:
    """A constant."""
    return numpy_helper.from_array(np.asarray(array, order="C"), name)


def rebuilt(
    model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto], more: Iterable[onnx.TensorProto] = ()
) -> onnx.ModelProto:
    """A model with other nodes.

    Args:
        model: whose input, output, operator set and properties are kept.
        nodes: in an order in which each reads what is already there.
        more: constants of the new nodes.

    Returns:
        The checked model; constants that no node reads, or that a node makes now, are left out.
    """
    result = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name != "graph":
            _copy(result, field.name, value)
    graph = result.graph
    graph.name = model.graph.name
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.node.extend(nodes)
    inputs = {name for node in graph.node for name in node.input}
    outputs = {name for node in graph.node for name in node.output}
    initializers = constants(model) | {tensor.name: tensor for tensor in more}
    graph.initializer.extend(tensor for name, tensor in initializers.items() if name in inputs - outputs)
    onnx.checker.check_model(result, full_check=True)
    return result


def _copy(target: onnx.ModelProto, name: str, value: object) -> None:
    if isinstance(value, int | str):
        setattr(target, name, value)
    else:
        getattr(target, name).extend(value)
