"""Names of the operations of a flat model that is made of nested ones."""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import keras

__all__ = ["Names", "Nest"]


class Nest(NamedTuple):
    """Where an operation stands: the models and layers around it, from the outermost to its own."""

    models: tuple[str, ...] = ()
    """Nested models."""
    layer: str = ""
    """The layer that it is a part of, by its unique name; "" for an operation of a model's own graph."""
    paths: Mapping[int, tuple[str, ...]] = MappingProxyType({})
    """Names of the layers between that layer and those inside, by their `id`."""

    def inside(self, model: str) -> "Nest":
        """Where the operations of a model stand that is nested here."""
        return Nest((*self.models, model), self.layer, self.paths)

    def of(self, layer: str, paths: Mapping[int, tuple[str, ...]]) -> "Nest":
        """Where the parts of a layer stand."""
        return Nest((), layer, paths)


class Names:
    """Unique names: the same for the same network, whatever else was built in the process before it.

    An operation keeps its name where no other has it. Of several with one name each is called after the models around
    it, `member_1.conv2d`; a part of a layer after that layer, `attention.query` or, where Keras made up its name,
    `attention.matmul`.
    """

    def __init__(self, names: Iterable[str], inputs: Iterable[str]) -> None:
        """Names for a model.

        Args:
            names: of the operations that are no parts of layers, each as often as it occurs.
            inputs: names of the model's inputs, which no operation gets.
        """
        self._occurring = Counter(names)
        self._names: dict[int, tuple[Any, str]] = {}
        self._taken = Counter(inputs)

    def unique(self, operation: Any, nest: Nest) -> str:
        """The name of an operation: the same at each call."""
        if id(operation) not in self._names:
            name = self._preferred(operation, nest)
            self._taken[name] += 1
            while self._taken[name] > 1:
                name = f"{name}_{self._taken[name]}"
                self._taken[name] += 1
            self._names[id(operation)] = (operation, name)
        return self._names[id(operation)][1]

    def _preferred(self, operation: Any, nest: Nest) -> str:
        if nest.layer:
            own = operation.name if isinstance(operation, keras.layers.Layer) else type(operation).__name__.lower()
            return ".".join((nest.layer, *nest.paths.get(id(operation), ()), *nest.models, own))
        if self._occurring[operation.name] > 1:
            return ".".join((*nest.models, operation.name))
        return str(operation.name)
