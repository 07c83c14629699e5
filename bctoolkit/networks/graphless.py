"""Models of which Keras knows only the Python that calls them: each becomes one operation of a graph."""

from pathlib import Path
from typing import Any

import keras

from bctoolkit.errors import WeightsError
from bctoolkit.networks.layers import has_graph
from bctoolkit.networks.traced import functional_of

__all__ = ["with_graph"]


def with_graph(model: keras.Model, path: Path) -> keras.Model:
    """The model itself, or where Keras knows no graph of it, a functional model of which it is the one operation.

    Whatever has no graph computes in float32 from here on, itself or inside the model.

    Raises:
        WeightsError: a subclassed model that does not take one image, or of which the file does not tell what it takes.
    """
    for part in model._flatten_layers():
        if isinstance(part, keras.Model) and not has_graph(part):
            _in_float32(part)
    if has_graph(model) or (isinstance(model, keras.Sequential) and model._functional is None):
        return model  # the latter has no input yet, which is said of it where its graph is asked for
    shape = _input_shape(model)
    if shape is None:
        raise WeightsError(
            f"{path}: {type(model).__name__} is a subclassed model that was saved before it was called, so that its "
            "input is unknown; call it once on a batch of images and save it again"
        )
    if not isinstance(shape, tuple | list) or len(shape) != 4:
        raise WeightsError(f"{path}: {type(model).__name__} takes {shape}; expected one batch of images")
    try:
        return functional_of(model, shape[1:], model.name)
    except Exception as problem:  # whatever somebody's `call` raises
        reason = " ".join(str(problem).split())[:200]
        raise WeightsError(f"{path}: {type(model).__name__} fails when it is called ({reason})") from problem


def _in_float32(model: keras.Model) -> None:
    for layer in model._flatten_layers():
        if layer.compute_dtype != "float32":
            layer.dtype_policy = "float32"


def _input_shape(model: Any) -> Any:
    config = model.get_build_config() or {}
    return config.get("input_shape") or config.get("shapes_dict")
