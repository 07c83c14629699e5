"""Walk a Keras graph, and rebuild it with other layers: what every pass over a network is made of."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import BctkError, ExportError, UnsupportedOp
from bctoolkit.export.keras_graph.composite import Recording, expand
from bctoolkit.export.keras_graph.naming import Names, Nest
from bctoolkit.networks import has_graph
from bctoolkit.networks.inference import alias

__all__ = ["Operation", "edges", "functional", "rebuild", "walk"]

Operation = Any
"""A Keras layer, or an operation such as the addition that `a + b` records."""


class _Step(NamedTuple):
    """One call of an operation."""

    operation: Operation
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    nest: Nest


def walk(model: keras.Model, inputs: Any, visit: Callable[..., Any]) -> Any:
    """Run a model's graph with `visit(operation, *args, **kwargs)` in place of each operation.

    Nested models are entered, so `visit` sees leaves only. What flows along the edges is up to `visit`: symbolic
    tensors to build another model, names to write a file. It returns one for each output of the operation, in the
    operation's own structure or in any other of the same order.

    Returns:
        What flows out, in the structure of the model's outputs.

    Raises:
        UnsupportedOp: the model is a subclass whose graph Keras does not know.
        ExportError: a visit fails with anything but an error of ours; the message names the layer.
    """
    return _run(functional(model), inputs, lambda step: visit(step.operation, *step.args, **step.kwargs), Nest())


def _run(graph: Any, inputs: Any, visit: Callable[[_Step], Any], nest: Nest) -> Any:
    values = dict(zip(map(id, graph.inputs), _flat_inputs(graph, inputs), strict=True))
    for node in _nodes(graph):
        if any(id(tensor) not in values for tensor in node.input_tensors):
            continue  # it depends on something that is no input of this graph, and no output depends on it
        args, kwargs = _arguments(node, values)
        operation = node.operation
        if isinstance(operation, keras.Model) and has_graph(operation):
            outputs = _run(functional(operation), args[0], visit, nest.inside(operation.name))
        else:
            outputs = _visited(visit, _Step(operation, args, kwargs, nest))
        leaves = keras.tree.flatten(outputs)
        if len(leaves) != len(node.outputs):
            reason = f"{len(node.outputs)} outputs became {len(leaves)}"
            raise ExportError(f"layer {operation.name!r} ({type(operation).__name__}): {reason}")
        values.update(zip(map(id, node.outputs), leaves, strict=True))
    flat = [values.get(id(tensor), tensor) for tensor in graph.outputs]  # what is in neither is a constant
    return flat if isinstance(graph, Recording) else keras.tree.pack_sequence_as(graph._outputs_struct, flat)


def _visited(visit: Callable[[_Step], Any], step: _Step) -> Any:
    try:
        return visit(step)
    except (BctkError, MemoryError):
        raise
    except Exception as problem:
        kind, reason = type(step.operation).__name__, " ".join(str(problem).split())[:200] or type(problem).__name__
        raise ExportError(f"layer {step.operation.name!r} ({kind}): {reason}") from problem


def _nodes(graph: Any) -> Iterator[Any]:
    """The calls of operations in a graph, each after those it depends on."""
    if isinstance(graph, Recording):
        yield from graph.nodes
        return
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        yield from (node for node in graph._nodes_by_depth[depth] if not node.is_input)


def _arguments(node: Any, values: Mapping[int, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of a call at inference, with what flows in place of the tensors; the first one is positional."""
    args, kwargs = node.arguments.fill_in(values)
    kwargs = {key: value for key, value in kwargs.items() if key != "training" and value is not None}
    if not args:
        first = next(iter(signature(node.operation.call).parameters))
        args = (kwargs.pop(first),)
    return tuple(args), kwargs


def _flat_inputs(graph: Any, inputs: Any) -> list[Any]:
    """What flows into a graph, in the order of its inputs; a dictionary is read by its keys."""
    if isinstance(inputs, dict):
        struct = graph._inputs_struct
        if isinstance(struct, dict):
            inputs = {key: inputs[key] for key in struct}
        else:
            inputs = [inputs[tensor.name] for tensor in graph.inputs]
    flat: list[Any] = keras.tree.flatten(inputs)
    return flat


def functional(model: keras.Model) -> Any:
    """The model as Keras's own graph of operations; a sequential model becomes a functional one.

    Raises:
        UnsupportedOp: the model is a subclass, whose graph Keras does not know, or it has no input shape yet.
    """
    if isinstance(model, keras.Sequential) and model._functional is None:
        raise UnsupportedOp(f"{model.name}: has no input shape; begin the sequential model with keras.Input(shape)")
    if not has_graph(model):
        raise UnsupportedOp(f"{model.name}: a subclassed model has no graph to export; build it as a functional model")
    return keras.Model(model.inputs, model.outputs, name=model.name) if isinstance(model, keras.Sequential) else model


def rebuild(
    model: keras.Model,
    replace: Callable[[Operation], Sequence[Operation]],
    weights: Mapping[int, list[NDArray[Any]]] | None = None,
) -> keras.Model:
    """Build a flat functional model anew, operation by operation.

    Layers made of other layers or operations are taken apart into these, where they can be (see `composite`). Variables
    that operations read become constants. Names are unique: what is inside a nested model gets that model's name before
    its own where several have the same, what is inside a layer always that layer's.

    Args:
        model: a functional or sequential model, nested or not.
        replace: gives the operations to use in place of one, to be run in a row; where there are none, its first input
            passes through. It may give the operation itself: the model then shares its weights.
        weights: arrays for what replaces a layer, in a row too, by the layer's `id`; by default the layer's own.

    Returns:
        A model with new layers, the same input names and shapes, float32 inputs, and as many outputs.
    """
    graph = functional(model)
    names = Names((operation.name for operation in _leaves(graph)), [tensor.name for tensor in graph.inputs])
    rows: dict[int, tuple[Operation, Operation, list[Operation]]] = {}
    constants: dict[int, tuple[Any, Any]] = {}  # a variable, and its value; with both alive the `id` stays unique

    def constant(leaf: Any) -> Any:
        if not isinstance(leaf, keras.Variable):
            return leaf
        if id(leaf) not in constants:
            value = np.asarray(keras.ops.cast(leaf, "float32") if "float" in leaf.dtype else leaf)
            constants[id(leaf)] = (leaf, value)
        return constants[id(leaf)][1]

    def visit(step: _Step) -> Any:
        operation, args, kwargs, nest = step
        inner = expand(operation, args, kwargs)
        if inner is not None:
            return _run(inner.graph, inner.tensors, visit, nest.of(names.unique(operation, nest), inner.paths))
        if id(operation) not in rows:
            name = names.unique(operation, nest)
            named = operation if name == operation.name else alias(operation, name)
            row = [alias(item, name) if item is named else item for item in replace(named)]
            rows[id(operation)] = (operation, named, row)
        row = rows[id(operation)][2]
        if not row:
            return args[0]
        first, *others = row
        args, kwargs = keras.tree.map_structure(constant, (args, kwargs))
        result = first(*args, **kwargs)
        for other in others:
            result = other(result)
        return result

    inputs = [keras.Input(tensor.shape[1:], dtype="float32", name=tensor.name) for tensor in graph.inputs]
    outputs = keras.tree.flatten(_run(graph, inputs, visit, Nest()))
    with _deep_recursion():
        rebuilt = keras.Model(*(each[0] if len(each) == 1 else each for each in (inputs, outputs)), name=model.name)
    for old, named, row in rows.values():
        if getattr(old, "weights", None):
            _fill(named, row, weights.get(id(named)) if weights else None)
    return rebuilt


@contextmanager
def _deep_recursion() -> Iterator[None]:
    """Room for Keras to follow a graph from output to input: an unrolled sequence is thousands of calls deep."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 100_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _leaves(graph: Any) -> Iterator[Operation]:
    """The operations of a graph and of the models inside it, each once."""
    pending, seen = [graph], set[int]()
    while pending:
        for operation in pending.pop().operations:
            if id(operation) in seen:
                continue
            seen.add(id(operation))
            if isinstance(operation, keras.Model) and has_graph(operation):
                pending.append(functional(operation))
            elif not isinstance(operation, keras.layers.InputLayer):
                yield operation


def _fill(old: Operation, row: Sequence[Operation], arrays: list[NDArray[Any]] | None) -> None:
    """Hand each operation of a row as many arrays as it has weights; one that computes with constants has none."""
    new = [variable for operation in row for variable in getattr(operation, "weights", ())]
    if arrays is None and [*map(id, new)] == [*map(id, old.weights)]:
        return  # they are shared
    arrays = old.get_weights() if arrays is None else arrays
    for operation in row:
        count = len(operation.weights)
        operation.set_weights(arrays[:count])
        arrays = arrays[count:]


def edges(model: keras.Model) -> Iterator[tuple[Operation, Operation]]:
    """Pairs (producer, consumer) of a flat model where the consumer is all that reads the producer's output.

    A layer used more than once is in no pair, and neither is one with several outputs.
    """
    readers: dict[int, list[Operation]] = {}
    calls: dict[int, int] = {}
    several: set[int] = set()
    for node in _nodes(model):
        calls[id(node.operation)] = calls.get(id(node.operation), 0) + 1
        if len(node.outputs) > 1:
            several.add(id(node.operation))
        for tensor in node.input_tensors:
            readers.setdefault(id(tensor._keras_history.operation), []).append(node.operation)
    outputs = {id(tensor._keras_history.operation) for tensor in model.outputs}
    for producer in model.operations:
        consumers = readers.get(id(producer), [])
        if len(consumers) != 1 or id(producer) in outputs | several:
            continue
        (consumer,) = consumers
        if calls.get(id(producer), 1) == calls[id(consumer)] == 1:  # an input is not called
            yield producer, consumer
