"""How each Keras layer is written in ONNX: one small function per layer, looked up by the layer's class.

The input is a float32 twin, so dtypes, dropout and grouped depthwise convolutions are settled. Operators are those of
https://onnx.ai/onnx/operators/.
"""

from typing import Any

from bctoolkit.export.onnx.emitters import activations, arithmetic, dense_convolution, normalization, shapes, spatial
from bctoolkit.export.onnx.emitters.tf2onnx_fallback import convert_layer
from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry

__all__ = ["emit"]

EMITTERS = Registry(
    activations.EMITTERS
    | arithmetic.EMITTERS
    | dense_convolution.EMITTERS
    | normalization.EMITTERS
    | shapes.EMITTERS
    | spatial.EMITTERS
)


def emit(graph: Graph, operation: Any, *args: Any, **kwargs: Any) -> Value:
    """Write one Keras operation: by its function here, or through tf2onnx where there is none.

    Raises:
        UnsupportedOp: it has no form in ONNX; the message names the layer.
    """
    graph.scope = operation.name
    emitter = EMITTERS.find(operation) or convert_layer
    return emitter(graph, operation, *args, **kwargs)
