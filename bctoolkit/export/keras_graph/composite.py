"""Layers made of layers and operations, as the graph that their `call` records when it is given symbolic tensors.

So attention, the blocks of a library, and a user's own layers are frozen, folded and written like anything else. What
cannot be recorded (TensorFlow's own functions, a shape that only a batch at hand has) remains one operation.
"""

import math
from collections.abc import Callable
from inspect import signature
from typing import Any, NamedTuple

import keras
from keras import layers, ops

from bctoolkit.errors import UnsupportedOp

__all__ = ["Composition", "expand"]

PRIMITIVE = ("keras", "bctoolkit")
"""Packages whose layers are written as they are, but for `COMPOSITE`."""

COMPOSITE = (
    *(layers.MultiHeadAttention, layers.GroupQueryAttention, layers.Attention, layers.AdditiveAttention),
    *(layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell, layers.StackedRNNCells),
)


class Composition(NamedTuple):
    """What one call of a layer computes."""

    graph: keras.Function
    tensors: list[Any]
    """Its inputs."""


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
    inputs = {key: keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype) for key, tensor in tensors.items()}
    args, kwargs = keras.tree.map_structure(lambda leaf: inputs.get(id(leaf), leaf), (args, kwargs))
    try:
        outputs = call(*args, **kwargs)
    except UnsupportedOp:
        raise
    except Exception:  # whatever a library's or a user's code raises on tensors without values
        return None
    if not all(isinstance(leaf, keras.KerasTensor) for leaf in keras.tree.flatten(outputs)):
        return None
    graph = keras.Function(list(inputs.values()), outputs)
    if not all(map(_fits_any_batch, graph.operations)):
        return None
    return Composition(graph, list(tensors.values()))


def _fits_any_batch(operation: Any) -> bool:
    """Whether no argument of a recorded operation is the size of the batch, which nothing knows.

    That of a reshaping is left to be inferred.
    """
    if type(operation).__name__ == "Reshape" and None in operation.newshape:
        (tensor,) = operation._inbound_nodes[0].input_tensors
        target = [*operation.newshape]
        if -1 in target and None not in tensor.shape[1:] and target.count(None) == 1:
            others = math.prod(size for size in target if size not in (None, -1))
            target[target.index(-1)] = math.prod(tensor.shape[1:]) // others
        operation.newshape = tuple(-1 if size is None else size for size in target)
        return operation.newshape.count(-1) == 1
    sizes = (value for value in vars(operation).values() if isinstance(value, tuple | list))
    return isinstance(operation, layers.Layer) or not any(None in value for value in sizes)


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
    call: Callable[..., Any] = layer.call
    if "training" not in signature(call).parameters:
        return call
    return lambda *args, **kwargs: call(*args, **kwargs, training=False)


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
