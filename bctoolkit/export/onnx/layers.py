"""How each Keras layer is written in ONNX: one small function per layer, looked up by the layer's class.

The input is a float32 twin, so dtypes, dropout and grouped depthwise convolutions are settled. Operators are those of
https://onnx.ai/onnx/operators/.
"""

from inspect import signature
from typing import Any

import keras

from bctoolkit.export.onnx.emitters import (
    activations,
    arithmetic,
    convolution_transpose,
    dense_convolution,
    einsum,
    indexing,
    normalization,
    reductions,
    resizing,
    shapes,
    spatial,
)
from bctoolkit.export.onnx.emitters.tf2onnx_fallback import convert_layer
from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry

__all__ = ["emit"]

EMITTERS = Registry(
    activations.EMITTERS
    | arithmetic.EMITTERS
    | convolution_transpose.EMITTERS
    | dense_convolution.EMITTERS
    | einsum.EMITTERS
    | indexing.EMITTERS
    | normalization.EMITTERS
    | reductions.EMITTERS
    | resizing.EMITTERS
    | shapes.EMITTERS
    | spatial.EMITTERS
)


def emit(graph: Graph, operation: Any, *args: Any, **kwargs: Any) -> Any:
    """Write one Keras operation: by its function here, or through tf2onnx where there is none.

    A function here is for floats and positional arguments; it may return None for a case that it does not write.

    Returns:
        A value for each output.

    Raises:
        UnsupportedOp: it has no form in ONNX; the message names the layer.
    """
    graph.scope = operation.name
    leaves = keras.tree.flatten((args, kwargs))
    if kwargs and not isinstance(operation, keras.layers.Layer):
        bound = signature(operation.call).bind(*args, **kwargs)
        bound.apply_defaults()
        args, kwargs = bound.args, bound.kwargs
    if kwargs or any(isinstance(leaf, Value) and leaf.dtype != "float32" for leaf in leaves):
        return convert_layer(graph, operation, *args, **kwargs)
    emitter = EMITTERS.find(operation)
    written = None if emitter is None else emitter(graph, operation, *args)
    return convert_layer(graph, operation, *args) if written is None else written
