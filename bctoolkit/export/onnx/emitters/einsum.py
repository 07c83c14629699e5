"""Products of tensors in ONNX: attention's, and those of dense layers that name their axes."""

import math
from typing import Any

import numpy as np
from keras import layers

from bctoolkit.export.onnx.emitters.activations import activate
from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry, elementwise, shape_of

__all__ = ["EMITTERS"]

EMITTERS = Registry()


@EMITTERS.register("Matmul")
def _matmul(graph: Graph, operation: Any, a: Any, b: Any) -> Value:
    return Value(shape_of(operation, a, b), last=graph.add("MatMul", [_name(graph, a), _name(graph, b)]))


@EMITTERS.register(layers.EinsumDense)
def _einsum_dense(graph: Graph, layer: Any, x: Value) -> Value:
    kernel, shape = np.asarray(layer.kernel), shape_of(layer, x)
    y = Value(shape, last=_einsum(graph, layer.equation, shape, x, kernel))
    if layer.bias is not None:
        y = elementwise(graph, lambda *names: graph.add("Add", [*names]), shape, y, np.asarray(layer.bias))
    return activate(graph, layer, y)


@EMITTERS.register("Einsum")
def _einsum_operation(graph: Graph, operation: Any, *operands: Any) -> Value:
    shape = shape_of(operation, *operands)
    return Value(shape, last=_einsum(graph, operation.subscripts, shape, *operands))


@EMITTERS.register("DotProductAttention")
def _attention(
    graph: Graph,
    operation: Any,
    query: Value,
    key: Value,
    value: Value,
    bias: Any = None,
    mask: Any = None,
    scale: Any = None,
) -> Value | None:
    """Softmax of query · key, times value: each batch × length × heads × width (Vaswani et al. 2017, arXiv:1706.03762).

    The factor goes to the query, which is the smallest.
    """
    heads, width = query.shape[-2:]
    if bias is not None or mask is not None or operation.is_causal or operation.attn_logits_soft_cap is not None:
        return None
    if key.shape[-2] != heads or width is None:
        return None
    q = graph.add("Transpose", [graph.last(query)], perm=(0, 2, 1, 3))
    q = graph.add("Mul", [q, graph.scalar(width**-0.5 if scale is None else float(scale))])
    k = graph.add("Transpose", [graph.last(key)], perm=(0, 2, 3, 1))
    v = graph.add("Transpose", [graph.last(value)], perm=(0, 2, 1, 3))
    weights = graph.add("Softmax", [graph.add("MatMul", [q, k])], axis=-1)
    mixed = graph.add("Transpose", [graph.add("MatMul", [weights, v])], perm=(0, 2, 1, 3))
    return Value(shape_of(operation, query, key, value), last=mixed)


def _einsum(graph: Graph, equation: str, shape: tuple[int | None, ...], *operands: Any) -> str:
    equation = equation.replace(" ", "")
    terms, arrow, result = equation.partition("->")
    parts = terms.split(",")
    if arrow and len(operands) == 2:
        y = _as_dense(graph, parts, result, shape, operands) or _as_matmul(graph, parts, result, operands)
        if y is not None:
            return y
    return graph.add("Einsum", [_name(graph, operand) for operand in operands], equation=equation)


def _as_dense(
    graph: Graph, parts: list[str], result: str, shape: tuple[int | None, ...], operands: tuple[Any, ...]
) -> str | None:
    """One matrix product with a constant matrix: the last axes of `x` are summed with the first ones of the kernel."""
    (x, kernel), (left, right) = operands, parts
    if not isinstance(x, Value) or isinstance(kernel, Value):
        return None
    summed = [label for label in right if label not in result]
    count = len(summed)
    kept = left.replace("...", "")
    if not count or not kept.endswith("".join(summed)) or right[:count] != "".join(summed):
        return None
    if result != left[: len(left) - count] + right[count:] or None in x.shape[-count:] or None in shape[1:]:
        return None
    matrix = np.asarray(kernel, np.float32).reshape(math.prod(kernel.shape[:count]), -1)
    name = graph.last(x)
    if count > 1:
        name = graph.add("Reshape", [name, graph.integers(-1, *_static(x.shape[1:-count]), len(matrix))])
    name = graph.add("MatMul", [name, graph.constant(matrix, "kernel")])
    if len(right) - count != 1:
        name = graph.add("Reshape", [name, graph.integers(-1, *_static(shape[1:]))])
    return name


def _static(sizes: tuple[int | None, ...]) -> list[int]:
    return [size or 0 for size in sizes]


def _as_matmul(graph: Graph, parts: list[str], result: str, operands: tuple[Any, ...]) -> str | None:
    """A product of matrices, one for each index of the axes that both have and that the result keeps."""
    left, right = parts
    labels = left + right + result
    if "." in labels or any(len(set(term)) < len(term) for term in (left, right, result)):
        return None
    batch = [label for label in left if label in right and label in result]
    summed = [label for label in left if label in right and label not in result]
    rows = [label for label in left if label not in right]
    columns = [label for label in right if label not in left]
    if (len(summed), len(rows), len(columns)) != (1, 1, 1) or set(result) != {*batch, *rows, *columns}:
        return None
    a = _permuted(graph, _name(graph, operands[0]), left, [*batch, *rows, *summed])
    b = _permuted(graph, _name(graph, operands[1]), right, [*batch, *summed, *columns])
    product = graph.add("MatMul", [a, b])
    return _permuted(graph, product, "".join((*batch, *rows, *columns)), list(result))


def _permuted(graph: Graph, name: str, labels: str, order: list[str]) -> str:
    perm = [labels.index(label) for label in order]
    return name if perm == sorted(perm) else graph.add("Transpose", [name], perm=perm)


def _name(graph: Graph, operand: Any) -> str:
    if isinstance(operand, Value):
        return graph.last(operand)
    return graph.constant(np.asarray(operand, np.float32), "constant")
