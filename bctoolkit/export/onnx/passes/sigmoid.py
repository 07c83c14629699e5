"""Sigmoids that give probabilities, written so that small ones keep their digits.

ONNX Runtime's `Sigmoid` is right to 6e-8 of one, so of a probability of 1e-7 hardly a digit is; `Exp` keeps them all.
"""

import numpy as np
import onnx
from onnx import helper

from bctoolkit.export.onnx.passes.base import constant, rebuilt

__all__ = ["exact_sigmoids"]

PASSING = {"Add", "Concat", "Flatten", "Gather", "Identity", "Mul", "Reshape", "Slice", "Split", "Squeeze", "Sub"}
PASSING |= {"Transpose", "Unsqueeze"}
"""Operators that lead from a probability to another, or to the same elsewhere."""

ONE = "probabilities/one"


def exact_sigmoids(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write every Sigmoid from which nothing but `PASSING` leads to the output as 1 / (1 + exp(-x)).

    Requires: float32. Ensures: the same function; a model without such a node is returned as it is.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    pending, seen, last = [output.name for output in model.graph.output], set[str](), set[str]()
    while pending:
        node = producers.get(pending.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type == "Sigmoid":
            last.add(node.name)
        elif node.op_type in PASSING:
            pending += node.input
    if not last:
        return model
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes += _written(node) if node.name in last else [node]
    return rebuilt(model, nodes, [constant(ONE, np.array(1, np.float32))])


def _written(sigmoid: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The nodes in place of one; an exponential that overflows gives zero, as it should."""
    y = sigmoid.output[0]
    chain = (
        ("Neg", [sigmoid.input[0]], f"{y}/negative"),
        ("Exp", [f"{y}/negative"], f"{y}/exponential"),
        ("Add", [f"{y}/exponential", ONE], f"{y}/sum"),
        ("Reciprocal", [f"{y}/sum"], y),
    )
    return [helper.make_node(operator, inputs, [output], name=output) for operator, inputs, output in chain]
