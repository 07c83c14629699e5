"""Walk a Keras graph, and rebuild it with other layers: what every pass over a network is made of."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
from numpy.typing import NDArray

from bctoolkit.errors import BctkError, UnsupportedOp
from bctoolkit.networks import has_graph

__all__ = ["Operation", "edges", "functional", "rebuild", "walk"]

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
        if isinstance(operation, keras.Model) and has_graph(operation):
            return lambda *args, **kwargs: walk(operation, args, visit)
        return lambda *args, **kwargs: _visit(visit, operation, *args, **_at_inference(kwargs))

    return functional(model)._run_through_graph(inputs, operation_fn=enter)


def _visit(visit: Callable[..., Any], operation: Operation, *args: Any, **kwargs: Any) -> Any:
    """Visit one operation; an error that nobody foresaw notes which it was."""
    try:
        return visit(operation, *args, **kwargs)
    except BctkError:
        raise
    except Exception as problem:
        problem.add_note(f"layer {operation.name!r} ({type(operation).__name__})")
        raise


def functional(model: keras.Model) -> Any:
    """The model as Keras's own graph of operations; a sequential model becomes a functional one.

    Raises:
        UnsupportedOp: the model is a subclass, whose graph Keras does not know, or it has no input shape yet.
    """
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise UnsupportedOp(f"{model.name}: has no input shape; begin the sequential model with keras.Input(shape)")
        return keras.Model(model.inputs, model.outputs)
    if not hasattr(model, "_run_through_graph"):
        raise UnsupportedOp(f"{model.name}: a subclassed model has no graph to export; build it as a functional model")
    return model


def _at_inference(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments without those that mean nothing at inference."""
    return {key: value for key, value in kwargs.items() if key != "training" and value is not None}


def rebuild(
    model: keras.Model,
    replace: Callable[[Operation], Sequence[Operation]],
    weights: Mapping[int, list[NDArray[Any]]] | None = None,
) -> keras.Model:
    """Build a flat functional model anew, operation by operation.

    Args:
        model: a functional or sequential model with one input, nested or not.
        replace: gives the operations to use in place of one, to be run in a row; where there are none, its first input
            passes through.
        weights: arrays for what replaces a layer, in a row too, by the layer's `id`; by default the layer's own.

    Returns:
        A model with new layers and the same input name and shape, and a float32 input.
    """
    rows: dict[int, tuple[Operation, Sequence[Operation]]] = {}

    def visit(operation: Operation, *args: Any, **kwargs: Any) -> Any:
        if id(operation) not in rows:
            rows[id(operation)] = (operation, replace(operation))
        row = rows[id(operation)][1]
        if not row:
            return args[0]
        first, *others = row
        result = first(*args, **kwargs)
        for other in others:
            result = other(result)
        return result

    (image,) = functional(model).inputs
    inputs = keras.Input(image.shape[1:], dtype="float32", name=image.name)
    (outputs,) = keras.tree.flatten(walk(model, inputs, visit))
    rebuilt = keras.Model(inputs, outputs, name=model.name)
    for key, (old, row) in rows.items():
        if getattr(old, "weights", None):
            _fill(row, weights[key] if weights and key in weights else old.get_weights())
    return rebuilt


def _fill(row: Sequence[Operation], arrays: list[NDArray[Any]]) -> None:
    """Hand each operation of a row as many arrays as it has weights; one that computes with constants has none."""
    for operation in row:
        count = len(operation.weights)
        operation.set_weights(arrays[:count])
        arrays = arrays[count:]


def edges(model: keras.Model) -> Iterator[tuple[Operation, Operation]]:
    """Pairs (producer, consumer) of a flat model where the consumer is all that reads the producer's output.

    A layer used more than once is in no pair.
    """
    readers: dict[int, list[Operation]] = {}
    calls: dict[int, int] = {}
    for node in (node for nodes in model._nodes_by_depth.values() for node in nodes):
        calls[id(node.operation)] = calls.get(id(node.operation), 0) + 1
        for tensor in node.input_tensors:
            readers.setdefault(id(tensor._keras_history.operation), []).append(node.operation)
    outputs = {id(tensor._keras_history.operation) for tensor in model.outputs}
    for producer in model.operations:
        consumers = readers.get(id(producer), [])
        if len(consumers) != 1 or id(producer) in outputs:
            continue
        (consumer,) = consumers
        if calls[id(producer)] == calls[id(consumer)] == 1:
            yield producer, consumer
