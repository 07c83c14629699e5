"""Activations in ONNX: as the argument of a layer, as a layer, and as an operation such as `keras.ops.relu(x)`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from keras import activations, layers

from bctoolkit.errors import UnsupportedOp
from bctoolkit.export.onnx.emitters.tf2onnx_fallback import convert_layer
from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry, axis_in, elementwise, is_first, ordered, value_in

__all__ = ["EMITTERS", "activate"]

EMITTERS = Registry()

Write = Callable[[Graph, str], str]


def _clip(graph: Graph, x: str, low: float, high: float) -> str:
    bounds = [graph.constant(np.array(bound, np.float32), "bound") for bound in (low, high)]
    return graph.add("Clip", [x, *bounds])


def _exact_gelu(graph: Graph, x: str) -> str:
    """GELU as x · Φ(x), with Φ the normal distribution: one operator since opset 20."""
    if graph.opset >= 20:
        return graph.add("Gelu", [x], approximate="none")
    half, root, one = (graph.constant(np.array(number, np.float32), "constant") for number in (0.5, 0.5**0.5, 1.0))
    twice = graph.add("Add", [graph.add("Erf", [graph.add("Mul", [x, root])]), one])
    return graph.add("Mul", [graph.add("Mul", [x, twice]), half])


def _threshold(graph: Graph, x: str, threshold: float, default: float) -> str:
    above = graph.add("Greater", [x, graph.scalar(threshold)])
    return graph.add("Where", [above, x, graph.scalar(default)])


def _sparse_plus(graph: Graph, x: str) -> str:
    """0 below -1, x above 1, and (x + 1)² / 4 between: the parabola on what is clipped, and what lies beyond it."""
    inner = graph.add("Add", [_clip(graph, x, -1.0, 1.0), graph.scalar(1.0)])
    beyond = graph.add("Relu", [graph.add("Sub", [x, graph.scalar(1.0)])])
    parabola = graph.add("Mul", [graph.add("Mul", [inner, inner]), graph.scalar(0.25)])
    return graph.add("Add", [parabola, beyond])


def _squareplus(graph: Graph, x: str, b: float) -> str:
    root = graph.add("Sqrt", [graph.add("Add", [graph.add("Mul", [x, x]), graph.scalar(b)])])
    return graph.add("Mul", [graph.add("Add", [x, root]), graph.scalar(0.5)])


def _shrink(graph: Graph, x: str, threshold: float, bias: float) -> str:
    return graph.add("Shrink", [x], lambd=threshold, bias=bias)


FUNCTIONS: dict[Any, Write] = {
    activations.relu: lambda g, x: g.add("Relu", [x]),
    activations.relu6: lambda g, x: _clip(g, x, 0.0, 6.0),
    activations.leaky_relu: lambda g, x: g.add("LeakyRelu", [x], alpha=0.2),
    activations.elu: lambda g, x: g.add("Elu", [x], alpha=1.0),
    activations.selu: lambda g, x: g.add("Selu", [x]),
    activations.celu: lambda g, x: g.add("Celu", [x], alpha=1.0),
    activations.sigmoid: lambda g, x: g.add("Sigmoid", [x]),
    activations.log_sigmoid: lambda g, x: g.add("Neg", [g.add("Softplus", [g.add("Neg", [x])])]),
    activations.sparse_sigmoid: lambda g, x: g.add("HardSigmoid", [x], alpha=0.5, beta=0.5),
    activations.tanh: lambda g, x: g.add("Tanh", [x]),
    activations.hard_tanh: lambda g, x: _clip(g, x, -1.0, 1.0),
    activations.tanh_shrink: lambda g, x: g.add("Sub", [x, g.add("Tanh", [x])]),
    activations.softplus: lambda g, x: g.add("Softplus", [x]),
    activations.sparse_plus: _sparse_plus,
    activations.squareplus: lambda g, x: _squareplus(g, x, 4.0),
    activations.softsign: lambda g, x: g.add("Softsign", [x]),
    activations.soft_shrink: lambda g, x: _shrink(g, x, 0.5, 0.5),
    activations.hard_shrink: lambda g, x: _shrink(g, x, 0.5, 0.0),
    activations.exponential: lambda g, x: g.add("Exp", [x]),
    activations.gelu: _exact_gelu,
    activations.silu: lambda g, x: g.add("Mul", [x, g.add("Sigmoid", [x])]),
    activations.mish: lambda g, x: g.add("Mish", [x]),
    activations.hard_sigmoid: lambda g, x: g.add("HardSigmoid", [x], alpha=1 / 6, beta=0.5),
    activations.hard_silu: lambda g, x: g.add("HardSwish", [x]),
}
"""Keras's activation functions, with their default arguments; see https://keras.io/api/layers/activations/."""

OPERATIONS: dict[str, Any] = {
    "Relu": activations.relu,
    "Relu6": activations.relu6,
    "Selu": activations.selu,
    "Sigmoid": activations.sigmoid,
    "Tanh": activations.tanh,
    "Softplus": activations.softplus,
    "Softsign": activations.softsign,
    "Silu": activations.silu,
    "HardSigmoid": activations.hard_sigmoid,
    "HardSilu": activations.hard_silu,
    "Exp": activations.exponential,
    "LogSigmoid": activations.log_sigmoid,
    "SparseSigmoid": activations.sparse_sigmoid,
    "HardTanh": activations.hard_tanh,
    "TanhShrink": activations.tanh_shrink,
    "SparsePlus": activations.sparse_plus,
}
"""Operations without arguments of their own, by class name."""


def activate(graph: Graph, layer: Any, x: Value) -> Value:
    """Apply a layer's `activation` argument."""
    function = layer.activation
    if function in (None, activations.linear):
        return x
    if function is activations.softmax:
        return _softmax_along(graph, x, -1)
    if function is activations.log_softmax:
        return _softmax_along(graph, x, -1, "LogSoftmax")
    if function is activations.glu:
        return _glu_along(graph, x, -1)
    if function in FUNCTIONS:
        return elementwise(graph, partial(FUNCTIONS[function], graph), x.shape, x)
    converted: Value = convert_layer(graph, layers.Activation(function, dtype="float32", name=layer.name), x)
    return converted


EMITTERS.register(layers.Activation)(activate)


@EMITTERS.register(*OPERATIONS)
def _operation(graph: Graph, operation: Any, x: Value) -> Value:
    write = FUNCTIONS[OPERATIONS[type(operation).__name__]]
    return elementwise(graph, partial(write, graph), x.shape, x)


@EMITTERS.register("Gelu")
def _gelu(graph: Graph, operation: Any, x: Value) -> Value:
    if not operation.approximate:
        return elementwise(graph, partial(_exact_gelu, graph), x.shape, x)
    if graph.opset < 20:
        raise UnsupportedOp(
            f"layer {operation.name!r} needs the tanh form of Gelu, which requires opset 20 or later; got {graph.opset}"
        )
    return elementwise(graph, lambda name: graph.add("Gelu", [name], approximate="tanh"), x.shape, x)


Parametric = Callable[[Graph, str, Any], str]

PARAMETRIC: dict[Any, Parametric] = {
    layers.LeakyReLU: lambda g, x, op: g.add("LeakyRelu", [x], alpha=float(op.negative_slope)),
    "LeakyRelu": lambda g, x, op: g.add("LeakyRelu", [x], alpha=float(op.negative_slope)),
    layers.ELU: lambda g, x, op: g.add("Elu", [x], alpha=float(op.alpha)),
    "Elu": lambda g, x, op: g.add("Elu", [x], alpha=float(op.alpha)),
    "Celu": lambda g, x, op: g.add("Celu", [x], alpha=float(op.alpha)),
    "SoftShrink": lambda g, x, op: _shrink(g, x, float(op.threshold), float(op.threshold)),
    "HardShrink": lambda g, x, op: _shrink(g, x, float(op.threshold), 0.0),
    "Threshold": lambda g, x, op: _threshold(g, x, op.threshold, op.default_value),
    "Squareplus": lambda g, x, op: _squareplus(g, x, float(op.b)),
}
"""Layers and operations with an argument of their own."""


@EMITTERS.register(*PARAMETRIC)
def _parametric(graph: Graph, operation: Any, x: Value) -> Value:
    kind = type(operation)
    write = PARAMETRIC[kind if kind in PARAMETRIC else kind.__name__]
    return elementwise(graph, lambda name: write(graph, name, operation), x.shape, x)


@EMITTERS.register(layers.ReLU, "ReLU")
def _relu(graph: Graph, layer: Any, x: Value) -> Value | None:
    if layer.threshold or (layer.negative_slope and layer.max_value is not None):
        return None

    def write(name: str) -> str:
        if layer.negative_slope:
            return graph.add("LeakyRelu", [name], alpha=float(layer.negative_slope))
        if layer.max_value is not None:
            return _clip(graph, name, 0.0, float(layer.max_value))
        return graph.add("Relu", [name])

    return elementwise(graph, write, x.shape, x)


@EMITTERS.register(layers.PReLU)
def _prelu(graph: Graph, layer: Any, x: Value) -> Value:
    return elementwise(graph, lambda *names: graph.add("PRelu", [*names]), x.shape, x, np.asarray(layer.alpha))


@EMITTERS.register("Clip")
def _clip_operation(graph: Graph, operation: Any, x: Value) -> Value:
    low, high = float(operation.x_min), float(operation.x_max)
    return elementwise(graph, lambda name: _clip(graph, name, low, high), x.shape, x)


@EMITTERS.register(layers.Softmax, "Softmax", "LogSoftmax")
def _softmax(graph: Graph, layer: Any, x: Value) -> Value | None:
    if not isinstance(layer.axis, int):
        return None
    return _softmax_along(graph, x, layer.axis, type(layer).__name__)


@EMITTERS.register("Glu")
def _glu(graph: Graph, operation: Any, x: Value) -> Value:
    return _glu_along(graph, x, operation.axis)


def _softmax_along(graph: Graph, x: Value, axis: int, operator: str = "Softmax") -> Value:
    return Value(x.shape, last=graph.add(operator, [graph.last(x)], axis=axis))


def _glu_along(graph: Graph, x: Value, axis: int) -> Value:
    """Half of the channels, gated by the others."""
    rank, first = len(x.shape), is_first(x)
    half = (x.shape[axis] or 0) // 2
    a, b = graph.add_many("Split", [ordered(graph, x, first)], 2, axis=axis_in(axis, rank, first), num_outputs=2)
    shape = tuple(half if index == axis % rank else size for index, size in enumerate(x.shape))
    return value_in(graph.add("Mul", [a, graph.add("Sigmoid", [b])]), shape, first)
