"""The float32 TFLite file that all quantizations start from, written by TensorFlow's converter."""

import re
from typing import Any

import keras
import tensorflow as tf

from bctoolkit.errors import UnsupportedOp
from bctoolkit.export.keras_graph.walk import Operation, walk
from bctoolkit.files import scratch_folder

__all__ = ["float_file", "scope_of"]


def float_file(twin: keras.Model, shape: tuple[int, ...]) -> bytes:
    """The twin with built-in operators only, a float32 image and a batch of one.

    With a free batch the graph is full of shape arithmetic, which keeps the XNNPACK delegate from taking it whole. The
    names of a layer's tensors start with `scope_of` the layer.

    Raises:
        UnsupportedOp: a layer needs an operator that TFLite has not built in; the message names the layer.
    """
    calls: list[tuple[Operation, Any, Any]] = []

    def visit(operation: Operation, *args: Any, **kwargs: Any) -> Any:
        calls.append((operation, keras.tree.map_structure(_spec, args), keras.tree.map_structure(_spec, kwargs)))
        with tf.name_scope(f"{scope_of(operation)}/"):  # with the slash, a layer's second use keeps the name
            return operation(*args, **kwargs)

    def probabilities(image: Any) -> Any:
        (output,) = keras.tree.flatten(walk(twin, image, visit))
        return output

    try:
        return _convert(probabilities, [tf.TensorSpec((1, *shape), tf.float32, name="image")])
    except Exception as problem:  # the converter raises its compiler's errors as plain exceptions
        name, reason = _blame(calls) or (twin.name, _reason(problem))
        raise UnsupportedOp(f"{name} has no TFLite form: {reason}") from problem


def scope_of(operation: Operation) -> str:
    """An operation's name in the letters that TensorFlow allows in a name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", str(operation.name))


def _convert(function: Any, signature: list[tf.TensorSpec]) -> bytes:
    """By way of a SavedModel, for its weights the converter reads from disk.

    Given a traced function, it first copies them into a graph in Python: 2 GB more for ConvNeXtSmall, and slower.
    """
    traced = tf.function(function, input_signature=signature, autograph=False).get_concrete_function()
    module = tf.Module()
    module.held = traced.variables
    with scratch_folder() as folder:
        tf.saved_model.save(module, str(folder), signatures=traced)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        content: bytes = converter.convert()
    return content


def _spec(leaf: Any) -> Any:
    return tf.TensorSpec(leaf.shape, leaf.dtype) if isinstance(leaf, tf.Tensor) else leaf


def _blame(calls: list[tuple[Operation, Any, Any]]) -> tuple[str, str] | None:
    """The first operation that does not convert alone, and why."""
    for operation, args, kwargs in calls:
        leaves = keras.tree.flatten((args, kwargs))

        def call(*tensors: Any, operation: Operation = operation, structure: Any = (args, kwargs)) -> Any:
            following = iter(tensors)
            filled = [next(following) if isinstance(x, tf.TensorSpec) else x for x in keras.tree.flatten(structure)]
            arguments, keywords = keras.tree.pack_sequence_as(structure, filled)
            return operation(*arguments, **keywords)

        try:
            _convert(call, [leaf for leaf in leaves if isinstance(leaf, tf.TensorSpec)])
        except Exception as problem:
            return f"layer {operation.name!r} ({type(operation).__name__})", _reason(problem)
    return None


def _reason(problem: Exception) -> str:
    if "TensorListReserve" in str(problem):
        return (
            "it loops over the steps of a sequence in a graph of its own; build its recurrent layers with unroll=True"
        )
    missing = re.search(r"'tf\.(\w+)' op is neither", str(problem))
    return f"TFLite has no {missing[1]}" if missing else " ".join(str(problem).split())[:200]
