"""What a network must be to be exported: one RGB image in, one probability for each of several classes out."""

from typing import Any

import keras
from keras import layers

from bctoolkit.errors import ExportError
from bctoolkit.export.keras_graph.walk import Operation, functional, walk

__all__ = ["require_classifier"]

SHAPING = ("Dropout", "Flatten", "Reshape", "Identity", "Cast", "Squeeze", "Average")
"""Layers and operations that leave probabilities what they are."""

PROBABILITIES = (keras.activations.softmax, keras.activations.sigmoid)


def require_classifier(model: keras.Model, name: str) -> None:
    """Refuse what cannot be exported as an image classifier.

    Args:
        model: any Keras model.
        name: what to call it in a message.

    Raises:
        UnsupportedOp: a subclassed model, which has no graph.
        ExportError: several inputs or outputs, no image of a fixed size, or outputs that are no probabilities.
    """
    graph = functional(model)
    for role, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        if len(tensors) != 1:
            names = ", ".join(tensor.name for tensor in tensors)
            raise ExportError(f"{name}: has {len(tensors)} {role}s ({names}); wanted a model with one {role}")
    shape, outputs = graph.inputs[0].shape, graph.outputs[0].shape
    if len(shape) != 4 or None in shape[1:] or shape[3] != 3 or len(outputs) != 2:
        raise ExportError(f"{name}: input {shape} and output {outputs}; wanted N×height×width×3 in, N×classes out")
    if outputs[1] < 2:
        raise ExportError(
            f"{name}: has one output; end it with Dense(2, activation='softmax'), a probability per class"
        )
    last = _last(graph)
    activation = getattr(last, "activation", None)
    if type(last).__name__ in ("Softmax", "Sigmoid") or activation in PROBABILITIES:
        return
    kind = type(last).__name__ + (f", {getattr(activation, '__name__', activation)}" if activation else "")
    raise ExportError(
        f"{name}: ends with layer {last.name!r} ({kind}), which gives no probabilities; save "
        "keras.Sequential([model, keras.layers.Softmax()]) instead"
    )


def _last(graph: Any) -> Operation:
    """The operation that made the values of the output."""

    def visit(operation: Operation, *args: Any, **kwargs: Any) -> Any:
        passes = type(operation).__name__ in SHAPING or (
            isinstance(operation, layers.Activation) and operation.activation is keras.activations.linear
        )
        last = keras.tree.flatten(args)[0] if passes else operation
        return keras.tree.map_structure(lambda _: last, operation.output)

    (last,) = keras.tree.flatten(walk(graph, "image", visit))
    return last
