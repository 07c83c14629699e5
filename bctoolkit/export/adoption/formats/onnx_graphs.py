"""Everything inside an ONNX graph, that of its inner graphs included."""

from collections.abc import Iterator

import onnx
from onnx import TensorProto

__all__ = ["graphs", "tensors"]


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and those inside its nodes; protobuf refuses files that are nested too deep."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from graphs(inner)


def tensors(graph: onnx.GraphProto) -> Iterator[tuple[str, TensorProto]]:
    """The constants of one graph by name: initializers, sparse ones, and those that nodes hold."""
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for sparse in graph.sparse_initializer:
        yield sparse.values.name, sparse.values
        yield sparse.indices.name, sparse.indices
    for node in graph.node:
        for attribute in node.attribute:
            for tensor in [attribute.t] if attribute.HasField("t") else attribute.tensors:
                yield (node.output[0] if node.op_type == "Constant" and node.output else tensor.name), tensor
