"""Activations in ONNX: as the argument of a layer, as a layer, and as an operation such as `keras.ops.relu(x)`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from keras import activations, layers

from bctoolkit.errors import UnsupportedOp
from bctoolkit.export.onnx.emitters.tf2onnx_fallback import convert_layer
from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry, elementwise

__all__ = ["EMITTERS", "activate"]

EMITTERS = Registry()

Write = Callable[[Graph, str], str]


def _relu6(graph: Graph, x: str) -> str:
    return _clip(graph, x, 0.0, 6.0)


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


FUNCTIONS: dict[Any, Write] = {
    activations.relu: lambda g, x: g.add("Relu", [x]),
    activations.relu6: _relu6,
    activations.leaky_relu: lambda g, x: g.add("LeakyRelu", [x], alpha=0.2),
    activations.elu: lambda g, x: g.add("Elu", [x], alpha=1.0),
    activations.selu: lambda g, x: g.add("Selu", [x]),
    activations.sigmoid: lambda g, x: g.add("Sigmoid", [x]),
    activations.tanh: lambda g, x: g.add("Tanh", [x]),
    activations.softplus: lambda g, x: g.add("Softplus", [x]),
    activations.softsign: lambda g, x: g.add("Softsign", [x]),
    activations.exponential: lambda g, x: g.add("Exp", [x]),
    activations.gelu: _exact_gelu,
    activations.silu: lambda g, x: g.add("Mul", [x, g.add("Sigmoid", [x])]),
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
}
"""Operations without arguments of their own, by class name."""


def activate(graph: Graph, layer: Any, x: Value) -> Value:
    """Apply a layer's `activation` argument."""
    function = layer.activation
    if function in (None, activations.linear):
        return x
    if function is activations.softmax:
        return _softmax_along(graph, x, -1)
    if function in FUNCTIONS:
        return elementwise(graph, partial(FUNCTIONS[function], graph), x.shape, x)
    return convert_layer(graph, layers.Activation(function, dtype="float32", name=layer.name), x)


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


@EMITTERS.register(layers.ReLU)
def _relu(graph: Graph, layer: Any, x: Value) -> Value:
    if layer.threshold or (layer.negative_slope and layer.max_value is not None):
        return convert_layer(graph, layer, x)

    def write(name: str) -> str:
        if layer.negative_slope:
            return graph.add("LeakyRelu", [name], alpha=float(layer.negative_slope))
        if layer.max_value is not None:
            return _clip(graph, name, 0.0, float(layer.max_value))
        return graph.add("Relu", [name])

    return elementwise(graph, write, x.shape, x)


@EMITTERS.register(layers.LeakyReLU, "LeakyRelu")
def _leaky_relu(graph: Graph, layer: Any, x: Value) -> Value:
    slope = float(layer.negative_slope)
    return elementwise(graph, lambda name: graph.add("LeakyRelu", [name], alpha=slope), x.shape, x)


@EMITTERS.register(layers.ELU, "Elu")
def _elu(graph: Graph, layer: Any, x: Value) -> Value:
    alpha = float(layer.alpha)
    return elementwise(graph, lambda name: graph.add("Elu", [name], alpha=alpha), x.shape, x)


@EMITTERS.register(layers.PReLU)
def _prelu(graph: Graph, layer: Any, x: Value) -> Value:
    return elementwise(graph, lambda *names: graph.add("PRelu", [*names]), x.shape, x, np.asarray(layer.alpha))


@EMITTERS.register("Clip")
def _clip_operation(graph: Graph, operation: Any, x: Value) -> Value:
    low, high = float(operation.x_min), float(operation.x_max)
    return elementwise(graph, lambda name: _clip(graph, name, low, high), x.shape, x)


@EMITTERS.register(layers.Softmax, "Softmax")
def _softmax(graph: Graph, layer: Any, x: Value) -> Value:
    if not isinstance(layer.axis, int):
        return convert_layer(graph, layer, x)
    return _softmax_along(graph, x, layer.axis)


def _softmax_along(graph: Graph, x: Value, axis: int) -> Value:
    return Value(x.shape, last=graph.add("Softmax", [graph.last(x)], axis=axis))
