"""Layers made of layers and operations, as the graph that their `call` records when it is given symbolic tensors.

So attention, the blocks of a library, and a user's own layers are frozen, folded and written like anything else. What
cannot be recorded (TensorFlow's own functions, a constant for each image of a batch) remains one operation.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from bctoolkit.errors import UnsupportedOp

__all__ = ["Composition", "Recording", "expand"]

BATCH = 7919
"""Images that a layer is recorded for: a prime, so that sizes it divides are those that hold the batch."""

PRIMITIVE = ("keras", "bctoolkit")
"""Packages whose layers are written as they are, but for `COMPOSITE`."""

COMPOSITE = (
    *(layers.MultiHeadAttention, layers.GroupQueryAttention, layers.Attention, layers.AdditiveAttention),
    *(layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell, layers.StackedRNNCells),
)


class Recording:
    """A graph between symbolic tensors; unlike Keras's own it may hold operations of the same name."""

    def __init__(self, inputs: list[Any], outputs: list[Any]) -> None:
        """The graph that leads from inputs to outputs.

        Args:
            inputs: symbolic tensors.
            outputs: symbolic tensors, and arrays that do not depend on the inputs.
        """
        self.inputs, self.outputs = inputs, outputs
        self.constants = [output for output in outputs if not isinstance(output, keras.KerasTensor)]
        self.nodes: list[Any] = []
        """Calls of operations, each after those it depends on."""
        seen: set[int] = set()
        pending = [output for output in outputs if isinstance(output, keras.KerasTensor)]
        while pending:
            operation, index, _ = pending[-1]._keras_history
            node = operation._inbound_nodes[index]
            before = (
                [] if id(node) in seen or node.is_input else [t for t in node.input_tensors if _node(t) not in seen]
            )
            if before:
                pending += before
                continue
            pending.pop()
            if id(node) not in seen and not node.is_input:
                self.nodes.append(node)
            seen.add(id(node))


def _node(tensor: Any) -> int:
    operation, index, _ = tensor._keras_history
    return id(operation._inbound_nodes[index])


class Composition(NamedTuple):
    """What one call of a layer computes."""

    graph: Recording
    tensors: list[Any]
    """Its inputs."""
    paths: dict[int, tuple[str, ...]]
    """The names of the layers around each layer inside, from the outermost, by the inner one's `id`."""


def expand(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Composition | None:
    """The graph that a layer computes at inference for these arguments, of which some are symbolic tensors.

    Returns:
        None where it is no composite layer, or one whose `call` cannot be recorded.

    Raises:
        UnsupportedOp: a recurrent layer whose answer depends on the images before, or whose length is not fixed.
    """
    call = _recorder(layer)
    if call is None:
        return None
    tensors = {id(leaf): leaf for leaf in keras.tree.flatten((args, kwargs)) if isinstance(leaf, keras.KerasTensor)}
    inputs = {key: _placeholder(tensor) for key, tensor in tensors.items()}
    args, kwargs = keras.tree.map_structure(lambda leaf: inputs.get(id(leaf), leaf), (args, kwargs))
    with _inlined(layer):
        graph = _recorded(call, inputs, args, kwargs)
    if graph is None:
        graph = _recorded(call, inputs, args, kwargs)
    return None if graph is None else Composition(graph, list(tensors.values()), dict(_paths(layer)))


def _placeholder(tensor: Any) -> Any:
    """An input of a tensor's shape, its open batch taken to be `BATCH`."""
    shape = (BATCH if tensor.shape[0] is None else tensor.shape[0], *tensor.shape[1:])
    return keras.Input(batch_shape=shape, dtype=tensor.dtype)


def _recorded(
    call: Callable[..., Any], inputs: dict[int, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Recording | None:
    """The graph of what `call` does with these inputs, fit for any batch; None where there is none."""
    try:
        outputs = [leaf for leaf in keras.tree.flatten(call(*args, **kwargs)) if leaf is not None]
        graph = Recording(list(inputs.values()), outputs)
    except UnsupportedOp:
        raise
    except Exception:  # whatever a library's or a user's code raises on tensors without values
        return None
    calls = graph.nodes
    if any(node.arguments.kwargs.get("training") for node in calls):
        return None  # it insists on statistics of the batch, whatever it is called with
    for node in calls:
        _infer_batch(node.operation)
    fixed = (_fixes_batch(node.operation) or any(map(_is_of_batch, node.arguments._flat_arguments)) for node in calls)
    return None if any(fixed) or any(map(_is_of_batch, graph.constants)) else graph


@contextmanager
def _inlined(layer: Any) -> Iterator[None]:
    """Let the layers inside a layer record what they do, not that they were called.

    Some return what is no tensor, and some cannot do with any batch but with the batch that they are given there.
    """
    recorders = {each: _recorder(each) for each in layer._flatten_layers(include_self=False)}
    inside = {each: record for each, record in recorders.items() if record is not None}
    classes = {each: type(each) for each in inside}
    try:
        for each, kind in classes.items():
            namespace = {"__call__": lambda self, *args, **kwargs: inside[self](*args, **kwargs)}
            object.__setattr__(each, "__class__", type(kind.__name__, (kind,), namespace))
        yield
    finally:
        for each, kind in classes.items():
            object.__setattr__(each, "__class__", kind)


def _paths(layer: Any, around: tuple[str, ...] = ()) -> Iterator[tuple[int, tuple[str, ...]]]:
    for inner in layer._layers:
        yield id(inner), around
        yield from _paths(inner, (*around, inner.name))


def _infer_batch(operation: Any) -> None:
    """Let a recorded reshaping infer the size that holds the batch."""
    if type(operation).__name__ != "Reshape" or isinstance(operation, layers.Layer):
        return
    (tensor,), target = operation._inbound_nodes[0].input_tensors, list(operation.newshape)
    held = [index for index, size in enumerate(target) if _is_of_batch(size)]
    if len(held) != 1:
        return
    if -1 in target and None not in tensor.shape:
        others = math.prod(size for size in target if size != -1)
        target[target.index(-1)] = math.prod(tensor.shape) // others
    if -1 not in target:
        target[held[0]] = -1
    operation.newshape = tuple(target)


def _fixes_batch(operation: Any) -> bool:
    """Whether a recorded operation was given the size of the batch, or what is computed from the images."""
    if isinstance(operation, layers.Layer):
        return False
    values = (value for key, value in vars(operation).items() if not key.startswith("_"))
    settings = keras.tree.flatten(list(values))
    return any(_is_of_batch(each) or isinstance(each, keras.KerasTensor) for each in settings)


def _is_of_batch(value: Any) -> bool:
    """Whether a number, a slice or an array has the size of the batch in it."""
    if isinstance(value, slice):
        return any(map(_is_of_batch, (value.start, value.stop)))
    if isinstance(value, int | np.integer):
        return value != 0 and int(value) % BATCH == 0
    if isinstance(value, keras.KerasTensor):
        return False
    return any(size and size % BATCH == 0 for size in getattr(value, "shape", None) or ())


def _recorder(layer: Any) -> Callable[..., Any] | None:
    """What to call in place of a layer; None for one that is no composition."""
    if not isinstance(layer, layers.Layer):
        return None
    for kind, unrolled in UNROLLED.items():
        if isinstance(layer, kind):
            return lambda *args, **kwargs: unrolled(layer, *args, **kwargs)
    if type(layer).__module__.split(".")[0] in PRIMITIVE and type(layer) not in COMPOSITE:
        return None
    return _at_inference(layer)


def _at_inference(layer: Any) -> Callable[..., Any]:
    arguments = signature(layer.call)
    if "training" not in arguments.parameters:
        return layer.call  # type: ignore[no-any-return]

    def call(*args: Any, **kwargs: Any) -> Any:
        bound = arguments.bind_partial(*args, **kwargs)
        if bound.arguments.get("training"):
            raise ValueError("insists on training")
        bound.arguments["training"] = False
        return layer.call(*bound.args, **bound.kwargs)

    return call


def _recurrent(layer: Any, sequence: Any, initial_state: Any = None) -> Any:
    """A recurrent layer, one step after the other: devices run loops badly."""
    if layer.stateful:
        raise UnsupportedOp(
            f"layer {layer.name!r} ({type(layer).__name__}) is stateful: its answer depends on the images before; "
            "build it with stateful=False"
        )
    length = sequence.shape[1]
    if length is None:
        raise UnsupportedOp(
            f"layer {layer.name!r} ({type(layer).__name__}) reads a sequence of no fixed length; "
            "build the network with a fixed input shape"
        )
    step = _at_inference(layer.cell)
    states = layer.get_initial_state(batch_size=1) if initial_state is None else initial_state
    outputs = []
    for index in reversed(range(length)) if layer.go_backwards else range(length):
        output, states = step(sequence[:, index], states)
        outputs.append(output)
    result = ops.stack(outputs, axis=1) if layer.return_sequences else outputs[-1]
    return (result, *keras.tree.flatten(states)) if layer.return_state else result


def _bidirectional(layer: Any, sequence: Any, initial_state: Any = None) -> Any:
    half = None if initial_state is None else len(initial_state) // 2
    states = (None, None) if half is None else (initial_state[:half], initial_state[half:])
    both = [
        keras.tree.flatten(_recurrent(direction, sequence, state))
        for direction, state in zip((layer.forward_layer, layer.backward_layer), states, strict=True)
    ]
    (forward, *first), (backward, *second) = both
    if layer.return_sequences:
        backward = ops.flip(backward, axis=1)
    merge: dict[Any, Callable[[Any, Any], Any]] = {
        "concat": lambda a, b: ops.concatenate([a, b], axis=-1),
        "sum": lambda a, b: a + b,
        "ave": lambda a, b: (a + b) / 2,
        "mul": lambda a, b: a * b,
        None: lambda a, b: (a, b),
    }
    merged = merge[layer.merge_mode](forward, backward)
    return keras.tree.flatten((merged, first, second)) if layer.return_state else merged


def _time_distributed(layer: Any, sequence: Any) -> Any:
    """All steps as one batch: a layer treats each image alike."""
    steps, *rest = sequence.shape[1:]
    output = layer.layer(ops.reshape(sequence, (-1, *rest)))
    return ops.reshape(output, (-1, steps, *output.shape[1:]))


UNROLLED: dict[Any, Callable[..., Any]] = {
    layers.RNN: _recurrent,
    layers.Bidirectional: _bidirectional,
    layers.TimeDistributed: _time_distributed,
}
"""Layers that Keras itself runs in a loop, with their subclasses."""
