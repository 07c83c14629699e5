"""What the export stage asks of a format: one `Exporter` per network, which writes each quantization of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.documents.quantization import Method

__all__ = ["Exporter", "Quantizing", "Settings"]


@dataclass(frozen=True)
class Settings:
    """What all artifacts of one network share."""

    contract: InputContract
    """Shape and dtype of the input."""
    opset: int | None = None
    """ONNX only: the version of the operator set; None for the one the format chooses."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Stored inside the model file too: labels, contract, licence of the data, hash of the source."""


@dataclass(frozen=True)
class Quantizing:
    """How one artifact is quantized."""

    images: NDArray[np.uint8] | None = None
    """Calibration images N × height × width × channels of the training part; None where a form needs none."""
    method: Method = "minmax"
    """How the range of an activation follows from its values on the calibration images."""
    percentile: float = 99.99
    """Share of the values, in percent, that `percentile` keeps inside the range."""
    keep_float: frozenset[str] = frozenset()
    """Names of the twin's layers whose products stay in float."""


class Exporter(Protocol):
    """Writes one float32 twin in one format; work that several artifacts share is done once and kept."""

    def __init__(self, twin: keras.Model, settings: Settings) -> None:
        """Requires: a twin of `bctoolkit.export.keras_graph.twin`."""

    def quantizable(self, quantization: str) -> tuple[str, ...]:
        """Names of the twin's layers whose products `quantization` turns into integers, in the order they run."""

    def convert(self, quantization: str, quantizing: Quantizing) -> bytes:
        """The artifact's bytes.

        Raises:
            UnsupportedOp: a layer has no form in the format; the message names the layer.
        """
