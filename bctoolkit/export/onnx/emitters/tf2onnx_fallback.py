"""Layers we do not write ourselves: tf2onnx converts each alone, and its nodes are copied into our graph.

A whole ConvNeXtSmall takes tf2onnx a minute and comes out as the primitive operations of TensorFlow; a single layer
takes it milliseconds, and everything around it stays as we write it.
"""

import logging
import warnings
from typing import Any

import keras
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from bctoolkit.errors import UnsupportedOp
from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import specs_of

__all__ = ["convert_layer"]

LOG = logging.getLogger("bctoolkit.export.onnx.tf2onnx")
"""Gets the class and the name of each layer that has no emitter of ours."""

ERFC = "Erfc"
"""1 - erf, of TensorFlow's exact GELU: tf2onnx writes it as if ONNX had it."""

OPSET = 18
"""The latest that tf2onnx writes; its operators are read alike by the opset of our graph."""


def convert_layer(graph: Graph, operation: Any, *args: Any, **kwargs: Any) -> Any:
    """Add one Keras operation to the graph in the form tf2onnx gives it, and log its class and name.

    Returns:
        A value for each output, in the operation's own structure.

    Raises:
        UnsupportedOp: tf2onnx cannot express it with standard operators; the message names the layer.
    """
    name, kind = operation.name, type(operation).__name__
    LOG.debug("%s %s", kind, name)
    leaves = keras.tree.flatten((args, kwargs))
    values = [leaf for leaf in leaves if isinstance(leaf, Value)]

    def call(*tensors: Any) -> Any:
        remaining = iter(tensors)
        filled = [next(remaining) if isinstance(leaf, Value) else leaf for leaf in leaves]
        arguments, keywords = keras.tree.pack_sequence_as((args, kwargs), filled)
        return keras.tree.flatten(operation(*arguments, **keywords))

    try:
        model, captured = _convert(call, values)
    except Exception as problem:  # tf2onnx raises many kinds, all of them about this layer
        reason = " ".join(str(problem).split())[:200]
        raise UnsupportedOp(f"layer {name!r} ({kind}) has no ONNX form: {reason}") from problem
    foreign = [n.op_type for n in model.graph.node if n.domain or not (onnx.defs.has(n.op_type) or n.op_type == ERFC)]
    if foreign:
        raise UnsupportedOp(f"layer {name!r} ({kind}) has no ONNX form: ONNX has no {foreign[0]}")
    specs = specs_of(operation, *args, **kwargs)
    inputs = {f"x{index}": graph.last(value) for index, value in enumerate(values)}
    inputs |= {key: graph.constant(array, "constant") for key, array in captured.items()}
    names = iter(_copy(graph, model, inputs))
    return keras.tree.map_structure(
        lambda spec: Value(tuple(spec.shape), last=next(names), dtype=keras.backend.standardize_dtype(spec.dtype)),
        specs,
    )


def _convert(call: Any, values: list[Value]) -> tuple[onnx.ModelProto, dict[str, NDArray[Any]]]:
    """What tf2onnx makes of a call, with inputs x0, x1, …, and the inputs it makes of constants the call refers to."""
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tf2onnx
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    signature = [tf.TensorSpec(value.shape, value.dtype, name=f"x{i}") for i, value in enumerate(values)]
    outputs = tf.function(
        lambda *tensors: [tf.identity(tensor) for tensor in call(*tensors)], input_signature=signature
    )
    model, _ = tf2onnx.convert.from_function(outputs, input_signature=signature, opset=OPSET)
    captures = outputs.get_concrete_function().graph.captures
    return model, {inner.name.split(":")[0]: outer.numpy() for outer, inner in captures if outer.dtype != tf.resource}


def _copy(graph: Graph, model: onnx.ModelProto, inputs: dict[str, str]) -> list[str]:
    """Copy the nodes of `model` under our names; returns the names of its outputs."""
    names = {entry.name: inputs[entry.name.split(":")[0]] for entry in model.graph.input} | {"": ""}
    for tensor in model.graph.initializer:
        names[tensor.name] = graph.constant(numpy_helper.to_array(tensor), "constant")
    for node in model.graph.node:
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        if any(isinstance(value, onnx.GraphProto) for value in attributes.values()):
            raise UnsupportedOp(f"layer {graph.scope!r} needs control flow ({node.op_type}), which devices run badly")
        if node.op_type == ERFC:
            error_function = graph.add("Erf", [names[node.input[0]]])
            names[node.output[0]] = graph.add("Sub", [graph.scalar(1.0), error_function])
            continue
        outputs = graph.add_many(node.op_type, [names[name] for name in node.input], len(node.output), **attributes)
        names.update(zip(node.output, outputs, strict=True))
    return [names[output.name] for output in model.graph.output]
