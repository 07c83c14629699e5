"""A TensorFlow function once more in float64: what it computes apart from rounding."""

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.framework.types_pb2 import DT_DOUBLE, DT_FLOAT
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

__all__ = ["float64_function"]

NORMALIZATIONS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


def float64_function(function: Callable[[Any], Any], shape: Iterable[int | None]) -> Callable[[Any], Any]:
    """The function with every float32 of its graph replaced by float64, its weights included.

    Args:
        function: of one batch of images, float32.
        shape: of the batch.

    Returns:
        A function of a float64 batch, to be called while a graph is traced. It returns one output, or a dictionary.

    Raises:
        NotImplementedError: the graph branches, or normalizes by the batch.
    """
    traced = tf.function(function).get_concrete_function(tf.TensorSpec(tuple(shape), tf.float32))
    frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    graph = frozen.graph.as_graph_def()
    if graph.library.function:
        raise NotImplementedError("a graph with branches or loops")
    (name,) = [image.name for image in frozen.inputs]
    names = [output.name for output in frozen.outputs]
    del frozen  # its weights are in the graph now
    for node in graph.node:
        _widen(node)
    for node in [node for node in graph.node if node.op in NORMALIZATIONS]:
        graph.node.extend(_spelled_out(node))

    def call(images: Any) -> Any:
        outputs = tf.graph_util.import_graph_def(graph, {name: images}, names)
        return tf.nest.pack_sequence_as(traced.structured_outputs, outputs)

    return call


def _widen(node: NodeDef) -> None:
    """Turn a node into float64, in place: a large network's weights are not to be held twice."""
    for attribute in node.attr.values():
        if attribute.type == DT_FLOAT:
            attribute.type = DT_DOUBLE
        for index, kind in enumerate(attribute.list.type):
            if kind == DT_FLOAT:
                attribute.list.type[index] = DT_DOUBLE
        if attribute.HasField("tensor") and attribute.tensor.dtype == DT_FLOAT:
            attribute.tensor.CopyFrom(tf.make_tensor_proto(tf.make_ndarray(attribute.tensor).astype("float64")))
    node.attr.pop("_output_shapes", None)


def _spelled_out(node: NodeDef) -> list[NodeDef]:
    """Turn a batch normalization, whose kernel takes no float64, into the last step of the arithmetic that it is.

    Returns:
        The steps before.
    """
    if node.attr["is_training"].b or node.attr["data_format"].s not in (b"", b"NHWC"):
        raise NotImplementedError("a normalization by the batch, or channels first")
    x, scale, offset, mean, variance = node.input
    epsilon = NodeDef(name=f"{node.name}/epsilon", op="Const")
    epsilon.attr["dtype"].type = DT_DOUBLE
    epsilon.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(float(node.attr["epsilon"].f), tf.float64))
    steps = (
        ("shifted", "AddV2", (variance, epsilon.name)),
        ("inverse", "Rsqrt", (f"{node.name}/shifted",)),
        ("factor", "Mul", (f"{node.name}/inverse", scale)),
        ("centred", "Sub", (x, mean)),
        ("scaled", "Mul", (f"{node.name}/centred", f"{node.name}/factor")),
    )
    before = [epsilon]
    for name, operator, inputs in steps:
        before.append(NodeDef(name=f"{node.name}/{name}", op=operator, input=inputs))
        before[-1].attr["T"].type = DT_DOUBLE
    node.CopyFrom(NodeDef(name=node.name, op="AddV2", input=(f"{node.name}/scaled", offset)))
    node.attr["T"].type = DT_DOUBLE
    return before
