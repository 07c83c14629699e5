"""What an export needs of a format: one `Exporter` per network, which writes each quantization of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.documents.quantization import CalibrationSettings, Method
from bctoolkit.files import sha256_bytes

if TYPE_CHECKING:
    import keras

__all__ = ["ExportSettings", "Exporter", "QuantizationSettings", "RangesKey"]

RangesKey = tuple[str | None, Method, float]


@dataclass(frozen=True)
class ExportSettings:
    """What all artifacts of one network share."""

    contract: InputContract
    """Shape and dtype of the input."""
    opset: int | None = None
    """ONNX only: the version of the operator set; None for the one the format chooses."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Stored inside the model file too: labels, contract, licence of the data, hash of the source."""


@dataclass(frozen=True)
class QuantizationSettings:
    """How one artifact is quantized."""

    images: NDArray[np.uint8] | None = None
    """Calibration images N × height × width × channels of the training part; None where a form needs none."""
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)
    """How the range of an activation follows from its values on these images."""
    keep_float: frozenset[str] = frozenset()
    """Names of the twin's layers whose products stay in float."""

    @property
    def ranges_key(self) -> RangesKey:
        """All that decides the ranges of a network's activations: SHA-256 of the images, method, percentile."""
        sha256 = None if self.images is None else sha256_bytes(np.ascontiguousarray(self.images).tobytes())
        return sha256, self.calibration.method, self.calibration.percentile


class Exporter(Protocol):
    """Writes one float32 twin in one format; work that several artifacts share is done once and kept."""

    def __init__(self, twin: "keras.Model", settings: ExportSettings) -> None:
        """Requires: a twin of `bctoolkit.export.keras_graph.twin`."""

    def quantizable(self, quantization: str) -> tuple[str, ...]:
        """Names of the twin's layers whose products `quantization` turns into integers, in the order they run."""

    def convert(self, quantization: str, settings: QuantizationSettings) -> bytes:
        """The artifact's bytes.

        Raises:
            UnsupportedOp: a layer has no form in the format; the message names the layer.
        """
