"""Which layer a fault begins at: intermediate outputs of two forms of a network, compared on one image.

The forms need not have the same layers, names or layouts: folding moves factors from one layer into the next, engines
compute convolutions channels first and fuse what they can. So an output counts as agreeing if any tensor of the other
form holds the same values, and the fault begins at the earliest of the outputs that do not agree and from which others
that do not agree lead to the network's output.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bctoolkit.export.keras_graph.walk import walk

__all__ = ["Departure", "LayerOutput", "Tensor", "first_departure", "layer_outputs"]

Tensor = NDArray[np.float32]

CHANNELS_FIRST = (0, 3, 1, 2)


@dataclass(frozen=True)
class LayerOutput:
    """What one layer of a Keras network computed."""

    layer: str
    inputs: tuple[str, ...]
    """The layers it reads."""
    value: Tensor


@dataclass(frozen=True)
class Departure:
    """Where two forms part."""

    layer: str
    after: str | None
    """A layer that it reads and whose output still agrees."""


def layer_outputs(model: keras.Model, image: NDArray[np.uint8]) -> list[LayerOutput]:
    """The outputs of every layer and operation, in the order they run, on images 1 × height × width × channels.

    The second output of a layer, or that of its second use, is called `name:2`. What is no float is left out.
    """
    outputs: list[LayerOutput] = []
    producers: dict[int, tuple[str, ...]] = {}
    alive: list[Any] = []  # an id is only unique while its object lives
    count: Counter[str] = Counter()

    def visit(operation: Any, *args: Any, **kwargs: Any) -> Any:
        result = operation(*args, **kwargs)
        sources = (producers.get(id(leaf), ()) for leaf in keras.tree.flatten((args, kwargs)))
        inputs = tuple(dict.fromkeys(name for names in sources for name in names))
        for tensor in keras.tree.flatten(result):
            alive.append(tensor)
            if "float" not in keras.backend.standardize_dtype(tensor.dtype):
                producers[id(tensor)] = inputs  # an artifact's tensors are known by their floats
                continue
            count[operation.name] += 1
            number = count[operation.name]
            name = operation.name if number == 1 else f"{operation.name}:{number}"
            producers[id(tensor)] = (name,)
            outputs.append(LayerOutput(name, inputs, np.asarray(keras.ops.cast(tensor, "float32"))))
        return result

    walk(model, keras.ops.convert_to_tensor(image, "float32"), visit)
    return outputs


def first_departure(layers: list[LayerOutput], tensors: list[Tensor], limit: float) -> Departure:
    """The earliest layer that departs and leads to the output through layers that depart.

    The network's output itself is taken to depart: that is the reason for the search, and probabilities near 0 and 1
    hide it.

    Args:
        layers: outputs of the form that is right, in the order they run; the last is the network's output.
        tensors: every tensor of the form that is checked.
        limit: largest ‖difference‖ / ‖value‖ of an output that agrees.
    """
    by_size: dict[int, list[NDArray[np.float64]]] = {}
    for tensor in tensors:
        if np.isfinite(tensor).all():
            by_size.setdefault(tensor.size, []).append(np.ravel(tensor).astype(np.float64))
    by_name = {output.layer: output for output in layers}
    departing = {name for name, output in by_name.items() if _error(output.value, by_size) > limit}
    departing.add(layers[-1].layer)
    leading: set[str] = set()
    pending = [layers[-1].layer]
    while pending:
        name = pending.pop()
        if name in departing and name not in leading:
            leading.add(name)
            pending += by_name[name].inputs
    first = next(name for name in by_name if name in leading)
    return Departure(first, next((name for name in by_name[first].inputs if name not in departing), None))


def _error(value: Tensor, by_size: dict[int, list[NDArray[np.float64]]]) -> float:
    """The least relative difference of a layer's output from any tensor of its size, in either order of channels."""
    size = float(np.linalg.norm(value)) or 1.0
    forms = [np.ravel(value)]
    if value.ndim == 4:
        forms.append(np.ravel(value.transpose(CHANNELS_FIRST)))
    errors = [float(np.linalg.norm(form - other)) / size for other in by_size.get(value.size, ()) for form in forms]
    return min(errors, default=np.inf)
