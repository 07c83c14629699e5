"""An image of another size, in ONNX."""

from typing import Any

from keras import layers

from bctoolkit.export.onnx.graph import Graph, Value
from bctoolkit.export.onnx.registry import Registry, shape_of

__all__ = ["EMITTERS"]

EMITTERS = Registry()

HALF_PIXEL = {"coordinate_transformation_mode": "half_pixel"}

INTEGER_FACTOR: dict[str, dict[str, Any]] = {
    "nearest": {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    "bilinear": {"mode": "linear", **HALF_PIXEL},
}

ANY_SIZE: dict[str, dict[str, Any]] = {
    "nearest": {"mode": "nearest", "nearest_mode": "round_prefer_ceil", **HALF_PIXEL},
    "bilinear": {"mode": "linear", **HALF_PIXEL},
    "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1, **HALF_PIXEL},
}
"""What TensorFlow's `resize` does without antialiasing: the kernel of Keys 1981, cut off and normalized at borders."""


@EMITTERS.register(layers.UpSampling2D)
def _upsample(graph: Graph, layer: Any, x: Value) -> Value | None:
    mode = INTEGER_FACTOR.get(layer.interpolation)
    return None if mode is None else _resize(graph, x, shape_of(layer, x), mode)


@EMITTERS.register(layers.Resizing, "Resize")
def _resizing(graph: Graph, operation: Any, x: Value) -> Value | None:
    mode = ANY_SIZE.get(operation.interpolation)
    shape = shape_of(operation, x)
    options = (operation.antialias, operation.crop_to_aspect_ratio, operation.pad_to_aspect_ratio)
    if mode is None or any(options) or operation.data_format == "channels_first" or len(x.shape) != 4:
        return None
    return x if shape == x.shape else _resize(graph, x, shape, mode)


def _resize(graph: Graph, x: Value, shape: tuple[int | None, ...], mode: dict[str, Any]) -> Value | None:
    if None in x.shape[1:] or None in shape[1:]:
        return None
    begin = graph.add("Shape", [graph.first(x)], end=2)
    sizes = graph.add("Concat", [begin, graph.integers(shape[1] or 0, shape[2] or 0)], axis=0)
    return Value(shape, first=graph.add("Resize", [graph.first(x), "", "", sizes], **mode))
