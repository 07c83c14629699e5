"""What an export needs of a network, whatever it is made of: its float32 forms, an exporter per format, float64."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data.stores import Images
from bctoolkit.export.checks.constants import Weights
from bctoolkit.export.checks.locate import LayerOutput
from bctoolkit.export.exporter import Exporter, ExportSettings
from bctoolkit.progress import Progress

__all__ = ["Form", "Network"]


@dataclass(frozen=True)
class Form:
    """One form of a network: the same function as every other, in layers of its own."""

    name: str
    """What a message calls it."""
    predict: Callable[[Images, str, Progress], NDArray[np.float32]]
    """Probabilities N × classes of images N × height × width × channels, values 0–255; label and progress are shown."""
    layers: Callable[[NDArray[np.uint8]], list[LayerOutput]]
    """Outputs of the layers on one image 1 × height × width × channels, in the order they run; empty if unknown."""
    weights: Callable[[], Weights]
    """What the layers compute with, layer by layer; empty if unknown."""


class Network(Protocol):
    """A trained network on its way to the exporters."""

    @property
    def reference(self) -> Form:
        """The network in float32: what every artifact is compared with."""

    @property
    def trained(self) -> Form | None:
        """The network in the precision that trained it; None where that is float32."""

    @property
    def twins(self) -> tuple[Form, ...]:
        """The forms between the reference and the artifacts, each made from the one before; there may be none."""

    def exporter(self, format_name: str, settings: ExportSettings) -> Exporter:
        """Writes the last of the forms in a format of `FORMATS`.

        Raises:
            UnsupportedOp: a layer has no counterpart there; the message names it.
        """

    def float64(self, images: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """The reference computed in float64, N × classes; None where some of it computes in float32 whatever it is fed.

        Args:
            images: N × height × width × channels.
        """

    def rounded(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The reference in float32 once more, with other rounding: the least that two evaluations of it differ by.

        Args:
            images: N × height × width × channels.
        """
