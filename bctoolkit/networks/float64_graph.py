"""A TensorFlow function once more in float64: what it computes apart from rounding."""

from collections.abc import Callable, Iterable, Iterator
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
    (image,) = frozen.inputs
    names = [output.name for output in frozen.outputs]
    nodes = [new for node in graph.node for new in _wide(node)]
    del graph.node[:]
    graph.node.extend(nodes)

    def call(images: Any) -> Any:
        outputs = tf.graph_util.import_graph_def(graph, {image.name: images}, names)
        return tf.nest.pack_sequence_as(traced.structured_outputs, outputs)

    return call


def _wide(node: NodeDef) -> Iterator[NodeDef]:
    """A node in float64."""
    for attribute in node.attr.values():
        if attribute.type == DT_FLOAT:
            attribute.type = DT_DOUBLE
        for index, kind in enumerate(attribute.list.type):
            if kind == DT_FLOAT:
                attribute.list.type[index] = DT_DOUBLE
        if attribute.HasField("tensor") and attribute.tensor.dtype == DT_FLOAT:
            attribute.tensor.CopyFrom(tf.make_tensor_proto(tf.make_ndarray(attribute.tensor).astype("float64")))
    node.attr.pop("_output_shapes", None)
    if node.op in NORMALIZATIONS:
        yield from _normalization(node)
    else:
        yield node


def _normalization(node: NodeDef) -> Iterator[NodeDef]:
    """A batch normalization, whose kernel takes no float64, as the arithmetic that it is."""
    if node.attr["is_training"].b or node.attr["data_format"].s not in (b"", b"NHWC"):
        raise NotImplementedError("a normalization by the batch, or channels first")
    x, scale, offset, mean, variance = node.input
    epsilon = NodeDef(name=f"{node.name}/epsilon", op="Const")
    epsilon.attr["dtype"].type = DT_DOUBLE
    epsilon.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(float(node.attr["epsilon"].f), tf.float64))
    yield epsilon
    steps = (
        ("shifted", "AddV2", (variance, epsilon.name)),
        ("inverse", "Rsqrt", (f"{node.name}/shifted",)),
        ("factor", "Mul", (f"{node.name}/inverse", scale)),
        ("centred", "Sub", (x, mean)),
        ("scaled", "Mul", (f"{node.name}/centred", f"{node.name}/factor")),
        ("", "AddV2", (f"{node.name}/scaled", offset)),
    )
    for name, operator, inputs in steps:
        step = NodeDef(name=f"{node.name}/{name}".rstrip("/"), op=operator, input=inputs)
        step.attr["T"].type = DT_DOUBLE
        yield step
