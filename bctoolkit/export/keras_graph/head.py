"""The way out: which output of a network is exported, and what makes one probability per class of it."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from bctoolkit.documents.preprocessing import Head
from bctoolkit.errors import ExportError
from bctoolkit.export.keras_graph.walk import Operation

__all__ = ["HeadForm", "classes", "finish", "head_form", "logit_of", "named_outputs", "select_output"]

HeadForm = Literal["none", "softmax", "sigmoid", "two classes", "sigmoid, two classes"]
"""See `Adaptation.head`."""

SHAPING = ("Dropout", "Flatten", "Reshape", "Identity", "Cast", "Squeeze", "Average", "InputLayer")
"""Layers and operations that leave probabilities what they are."""

LINEAR = (None, keras.activations.linear, keras.activations.log_softmax)
"""What logits are; softmax of the logarithms of probabilities are the probabilities."""

BOUNDED = ("Tanh", "ReLU", "Relu", "Relu6", "HardSigmoid", "HardTanh", "Softsign", "UnitNormalization")
"""Layers and operations whose results are no logits, whatever their values."""

REGRESSION = (
    "mean_squared",
    "mean_absolute",
    "huber",
    "log_cosh",
    "meansquared",
    "meanabsolute",
    "logcosh",
    "mse",
    "mae",
)
INDEPENDENT = ("binary_", "binarycross", "binaryfocal")

SUM, RANGE = 1e-2, 1e-3
"""How far sums may be from one, which half precision needs, and values from 0–1."""


def named_outputs(model: Any) -> dict[str, Any]:
    """The symbolic outputs of a functional model by name: keys of the dictionary it returns, or names of its layers."""
    paths = [path for path, _ in keras.tree.flatten_with_path(model._outputs_struct)]
    names = [
        ".".join(map(str, path)) if any(isinstance(key, str) for key in path) else tensor._keras_history.operation.name
        for path, tensor in zip(paths, model.outputs, strict=True)
    ]
    several = Counter(names)
    seen: Counter[str] = Counter()
    result = {}
    for name, tensor in zip(names, model.outputs, strict=True):
        result[f"{name}:{seen[name]}" if several[name] > 1 else name] = tensor
        seen[name] += 1
    return result


def select_output(model: Any, choice: str, name: str) -> Any:
    """The symbolic output that is exported.

    Raises:
        ExportError: there are several and none was chosen, or there is none of that name; the message lists them.
    """
    outputs = named_outputs(model)
    if choice in outputs:
        return outputs[choice]
    if len(outputs) == 1 and not choice:
        return next(iter(outputs.values()))
    listed = ", ".join(f"{key} {_shown(tensor.shape)}" for key, tensor in outputs.items())
    if choice:
        raise ExportError(f"{name}: has no output {choice!r}; its outputs: {listed}")
    raise ExportError(f"{name}: has {len(outputs)} outputs; choose one with --output NAME: {listed}")


def _shown(shape: Sequence[int | None]) -> str:
    return "(" + "×".join("N" if side is None else str(side) for side in shape) + ")"


def classes(shape: Sequence[int | None], name: str) -> int:
    """How many numbers an output has.

    Raises:
        ExportError: it is no row of numbers, as it is a value for each pixel.
    """
    sides = [side for side in shape[1:] if side != 1]
    if None in sides or len(sides) > 1 or len(shape) < 2:
        raise ExportError(f"{name}: its output has shape {_shown(shape)}; wanted one number for each class")
    return int(sides[0] or 1) if sides else 1


def head_form(
    tensor: Any, choice: Head | None, measure: Callable[[], NDArray[np.float32]], loss: str, name: str
) -> HeadForm:
    """What makes probabilities of an output.

    Args:
        tensor: the symbolic output.
        choice: what the user says it needs; None where that has to be read off the network.
        measure: its values on images that differ, N × outputs; asked only where its layer does not tell.
        loss: that it was trained with; empty where the file does not tell.
        name: what to call the network in a message.

    Raises:
        ExportError: it cannot be told, or it is no classifier's output.
    """
    pair = classes(tensor.shape, name) == 1
    last = _last(tensor)
    activation = getattr(last, "activation", None)
    kind = type(last).__name__ + (f", {getattr(activation, '__name__', activation)}" if activation else "")
    where = f"{name}: ends with layer {last.name!r} ({kind})"
    softmax = type(last).__name__ == "Softmax" or activation is keras.activations.softmax
    if pair and (choice == "softmax" or softmax):
        raise ExportError(f"{where} and one output: a softmax of one number is always 1; wanted a sigmoid or a logit")
    if choice is not None:
        return _stated(choice, pair)
    if softmax or type(last).__name__ == "Sigmoid" or activation is keras.activations.sigmoid:
        return _stated("none", pair)
    values = measure()
    if _sums_to_one(values):
        return "none"
    options = "--head sigmoid" if pair else "--head softmax or --head sigmoid"
    options = f"say {options} where they are logits, --head none where they are probabilities"
    if loss.lower().startswith(REGRESSION):
        raise ExportError(f"{where} and was trained with {loss}, as a regression is; {options}")
    if not np.isfinite(values).all():
        raise ExportError(f"{where}: {int((~np.isfinite(values)).sum())} of {values.size} outputs are not finite")
    if activation not in LINEAR or type(last).__name__ in BOUNDED or _within(values):
        span = f"{values.min():.3g} to {values.max():.3g} on {len(values)} images"
        raise ExportError(f"{where}: its outputs, {span}, may be logits or probabilities; {options}")
    return _stated("sigmoid" if pair or loss.lower().startswith(INDEPENDENT) else "softmax", pair)


def _stated(choice: Head, pair: bool) -> HeadForm:
    if not pair:
        return choice
    return "two classes" if choice == "none" else "sigmoid, two classes"


def _within(values: NDArray[np.float32]) -> bool:
    return bool((values >= -RANGE).all() and (values <= 1 + RANGE).all())


def _sums_to_one(values: NDArray[np.float32]) -> bool:
    """Whether they are probabilities of one class each, by value."""
    return values.shape[1] > 1 and _within(values) and bool((np.abs(values.sum(1) - 1) <= SUM).all())


HALVES = ((-0.5, "first_class"), (0.5, "second_class"))
"""What a logit is multiplied by, so that the softmax of both are 1 − sigmoid and sigmoid."""


def finish(x: Any, form: HeadForm) -> Any:
    """The probabilities, N × classes, of an output as a symbolic tensor."""
    if len(x.shape) != 2:
        x = layers.Reshape((classes(x.shape, ""),), dtype="float32", name="adapt_flat")(x)
    if form == "softmax":
        return layers.Softmax(dtype="float32", name="adapt_softmax")(x)
    if form == "sigmoid":
        return layers.Activation("sigmoid", dtype="float32", name="adapt_sigmoid")(x)
    if form == "two classes":
        other = layers.Rescaling(-1.0, 1.0, dtype="float32", name="adapt_other_class")(x)
        return layers.Concatenate(dtype="float32", name="adapt_two_classes")([other, x])
    if form == "sigmoid, two classes":
        halves = [layers.Rescaling(half, dtype="float32", name=f"adapt_{name}")(x) for half, name in HALVES]
        both = layers.Concatenate(dtype="float32", name="adapt_two_classes")(halves)
        return layers.Softmax(dtype="float32", name="adapt_softmax")(both)
    return x


def logit_of(tensor: Any) -> Any | None:
    """What the last layer takes the sigmoid of; None where it is no sigmoid by itself.

    As the softmax of (−z/2, z/2) both classes keep all their digits, which 1 − p of a p near one has not, nor a sigmoid
    near zero in engines that approximate it to so many places.

    Args:
        tensor: the symbolic output of a functional model.
    """
    operation, node_index, _ = tensor._keras_history
    inputs = operation._inbound_nodes[node_index].input_tensors
    if len(inputs) != 1:
        return None
    is_sigmoid = getattr(operation, "activation", None) is keras.activations.sigmoid
    if type(operation).__name__ == "Sigmoid" or (is_sigmoid and isinstance(operation, layers.Activation)):
        return inputs[0]
    if not is_sigmoid or type(operation) is not layers.Dense or len(operation.weights) != 1 + operation.use_bias:
        return None
    linear = layers.Dense(1, use_bias=operation.use_bias, dtype=operation.dtype_policy, name=operation.name)
    logit = linear(inputs[0])
    linear.set_weights(operation.get_weights())
    return logit


def _last(tensor: Any, outer: tuple[tuple[Any, Any], ...] = ()) -> Operation:
    """The operation that made the values of a tensor.

    Args:
        tensor: symbolic.
        outer: nested models that it lies in, each with the node that calls it.
    """
    operation, node_index, tensor_index = tensor._keras_history
    node = operation._inbound_nodes[node_index]
    if isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
        return _last(operation.outputs[tensor_index], (*outer, (operation, node)))
    if node.is_input and outer:
        model, call = outer[-1]
        position = next(i for i, each in enumerate(model.inputs) if each is tensor)
        return _last(call.input_tensors[position], outer[:-1])
    passes = type(operation).__name__ in SHAPING or (
        isinstance(operation, layers.Activation) and operation.activation is keras.activations.linear
    )
    return _last(node.input_tensors[0], outer) if passes and node.input_tensors else operation
