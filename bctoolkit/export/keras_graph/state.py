"""What is wrong with a network before anything is made of it."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from bctoolkit.errors import ExportError
from bctoolkit.export.keras_graph.walk import functional
from bctoolkit.networks import has_graph

__all__ = ["require_finite", "training_warning"]


def require_finite(model: keras.Model, name: str) -> None:
    """Refuse a network with a weight that is no finite number.

    Args:
        model: the network.
        name: what to call it in a message.

    Raises:
        ExportError: the message names the layer and the weight.
    """
    for layer in model._flatten_layers(include_self=False):
        for weight in layer._trainable_variables + layer._non_trainable_variables:
            if "float" not in str(weight.dtype):
                continue
            values = np.asarray(keras.ops.cast(weight, "float32"))
            bad = int(values.size - np.isfinite(values).sum())
            if bad:
                raise ExportError(
                    f"{name}: {bad} of {values.size} values of weight {weight.name!r} of layer {layer.name!r} "
                    f"({type(layer).__name__}) are NaN or infinite; train it anew, or load an earlier checkpoint"
                )


def training_warning(model: keras.Model) -> str | None:
    """What to say of layers that the graph calls with `training=True`, those of nested models included.

    At inference Keras calls them with `training=False` all the same, and so does an export.
    """
    names = list(dict.fromkeys(_training_calls(functional(model)))) if has_graph(model) else []
    if not names:
        return None
    some = ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return (
        f"the network calls layer {some} with training=True; Keras ignores that at inference, and so does the export: "
        "batch normalization uses its moving statistics, dropout and noise let everything through"
    )


def _training_calls(graph: Any) -> Iterator[str]:
    for node in (node for nodes in graph._nodes_by_depth.values() for node in nodes):
        if node.arguments.kwargs.get("training") is True:
            yield str(node.operation.name)
        if isinstance(node.operation, keras.Model) and has_graph(node.operation):
            yield from _training_calls(functional(node.operation))
