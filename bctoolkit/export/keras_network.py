"""A functional Keras network on its way to the exporters: frozen, folded, evaluated in float64."""

from dataclasses import replace
from functools import partial

import keras
import numpy as np
from numpy.typing import NDArray

from bctoolkit.data.stores import Images
from bctoolkit.documents.formats import FORMATS
from bctoolkit.export.checks.constants import Weights
from bctoolkit.export.checks.locate import layer_outputs
from bctoolkit.export.exporter import Exporter, ExportSettings
from bctoolkit.export.keras_graph import precision
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.export.network import Form
from bctoolkit.lazy import attribute
from bctoolkit.networks import leaves
from bctoolkit.networks.inference import in_float32, predict
from bctoolkit.progress import Progress

__all__ = ["KerasNetwork", "keras_form"]


class KerasNetwork:
    """A `Network` whose graph Keras knows: float32 Keras → frozen twin → folded twin → exporters."""

    def __init__(self, model: keras.Model) -> None:
        """Freeze and fold the network.

        Args:
            model: a functional classifier of images, values 0–255.

        Raises:
            UnsupportedOp: a layer has no form that could be exported.
        """
        self._float32 = in_float32(model)
        frozen = freeze(model)
        self._folded = fold(frozen)
        self.reference = keras_form("float32 Keras", self._float32)
        self.trained = None if self._float32 is model else keras_form(f"Keras in {_precision(model)}", model)
        twins = (keras_form("frozen twin", frozen), keras_form("folded twin", self._folded))
        self.twins = tuple(replace(twin, predict=partial(_predict_few, twin)) for twin in twins)

    def exporter(self, format_name: str, settings: ExportSettings) -> Exporter:
        """Writes the folded twin in a format."""
        exporter: Exporter = attribute(FORMATS[format_name].exporter)(self._folded, settings)
        return exporter

    def float64(self, images: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """The reference computed in float64, N × classes; None where a layer computes in float32 all the same."""
        return precision.float64(self._float32, images)

    def rounded(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The reference with the output of each operation moved by one unit in its last place, up or down by chance."""
        return precision.rounded(self._float32, images)


def keras_form(name: str, model: keras.Model) -> Form:
    """A Keras network as a form of one.

    Args:
        name: what a message calls it.
        model: a functional network.
    """
    return Form(name, partial(predict, model), partial(layer_outputs, model), partial(_weights, model))


def _predict_few(form: Form, images: Images, label: str, progress: Progress) -> NDArray[np.float32]:
    """What a twin predicts: it is asked for so few images that its graph is not worth optimizing."""
    with precision.unoptimized():
        return form.predict(images, label, progress)


def _weights(model: keras.Model) -> Weights:
    return ((layer.name, array) for layer in leaves(model) for array in layer.get_weights())


def _precision(network: keras.Model) -> str:
    """The dtype most of the layers that are not float32 compute in."""
    dtypes = [layer.compute_dtype for layer in leaves(network) if layer.compute_dtype != "float32"]
    return str(max(dict.fromkeys(dtypes), key=dtypes.count))
