"""Walk a Keras graph, and rebuild it with other layers: what every pass over a network is made of."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
from numpy.typing import NDArray

from bctoolkit.errors import UnsupportedOp

__all__ = ["Operation", "edges", "rebuild", "walk"]

Operation = Any
"""A Keras layer, or an operation such as the addition that `a + b` records."""


def walk(model: keras.Model, inputs: Any, visit: Callable[..., Any]) -> Any:
    """Run a model's graph with `visit(operation, *args, **kwargs)` in place of each operation.

    Nested models are entered, so `visit` sees leaves only. What flows along the edges is up to `visit`: symbolic
    tensors to build another model, names to write a file.

    Raises:
        UnsupportedOp: the model, or one inside it, is a subclass whose graph Keras does not know.
    """

    def enter(operation: Operation) -> Callable[..., Any]:
        if isinstance(operation, keras.Model):
            return lambda *args, **kwargs: walk(operation, args[0], visit)
        return lambda *args, **kwargs: visit(operation, *args, **_telling(kwargs))

    return _graph(model)._run_through_graph(inputs, operation_fn=enter)


def _graph(model: keras.Model) -> Any:
    """The model as Keras's own graph of operations; a sequential model becomes a functional one."""
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs, model.outputs)
    if not hasattr(model, "_run_through_graph"):
        raise UnsupportedOp(f"{model.name}: a subclassed model has no graph to export; build it as a functional model")
    return model


def _telling(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments without those that mean nothing at inference."""
    return {key: value for key, value in kwargs.items() if key != "training" and value is not None}


def rebuild(
    model: keras.Model,
    replace: Callable[[Operation], Operation | None],
    weights: Mapping[int, list[NDArray[Any]]] | None = None,
) -> keras.Model:
    """Build a flat functional model anew, operation by operation.

    Args:
        model: a functional or sequential model with one input, nested or not.
        replace: gives the operation to use in place of one; None lets its first input pass through.
        weights: arrays for the replacement of a layer, by the layer's `id`; by default the layer's own.

    Returns:
        A model with new layers and the same input name and shape.
    """
    made: dict[int, tuple[Operation, Operation | None]] = {}

    def visit(operation: Operation, *args: Any, **kwargs: Any) -> Any:
        if id(operation) not in made:
            made[id(operation)] = (operation, replace(operation))
        replacement = made[id(operation)][1]
        return args[0] if replacement is None else replacement(*args, **kwargs)

    (given,) = _graph(model).inputs
    inputs = keras.Input(given.shape[1:], dtype=given.dtype, name=given.name)
    rebuilt = keras.Model(inputs, walk(model, inputs, visit), name=model.name)
    for key, (old, new) in made.items():
        if new is not None and getattr(old, "weights", None):
            new.set_weights(weights[key] if weights and key in weights else old.get_weights())
    return rebuilt


def edges(model: keras.Model) -> Iterator[tuple[Operation, Operation]]:
    """Pairs (producer, consumer) of a flat model where the consumer is all that reads the producer's output.

    A layer used more than once is in no pair.
    """
    readers: dict[int, list[Operation]] = {}
    calls: dict[int, int] = {}
    for operation in model.operations:
        for node in operation._inbound_nodes:
            calls[id(operation)] = calls.get(id(operation), 0) + 1
            for tensor in node.input_tensors:
                readers.setdefault(id(tensor._keras_history.operation), []).append(operation)
    outputs = {id(tensor._keras_history.operation) for tensor in model.outputs}
    for producer in model.operations:
        found = readers.get(id(producer), [])
        if len(found) == 1 and id(producer) not in outputs and calls[id(producer)] == calls[id(found[0])] == 1:
            yield producer, found[0]
