"""What a file made elsewhere lacks: from an app's image to its input, and from its output to probabilities.

An app hands over N × height × width × channels uint8. The file is fed its own values, order of colours and layout; its
scores become one probability per class. Here it is done in numpy, to compare with what is written into the file.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents.preprocessing import Adaptation, Head, InputSettings, Scaling
from bctoolkit.export.adoption.ports import Layout, Port

__all__ = ["Adapter", "adaptation", "pixels_as_they_are", "to_input", "to_probabilities"]


@dataclass(frozen=True)
class Adapter:
    """What is put around a file."""

    input: Port
    output: Port
    layout: Layout
    shape: tuple[int, int, int]
    """Height, width, channels of an app's image."""
    scaling: Scaling
    """In the network's order of channels."""
    reversed: bool
    """Whether the network takes blue first."""
    head: Head
    """What makes probabilities of the scores."""
    count: int
    """Scores per image; a single one is that of the second of two classes."""

    @property
    def classes(self) -> int:
        """Probabilities per image."""
        return max(self.count, 2)


def pixels_as_they_are(port: Port) -> Scaling:
    """The scaling by which a file's integers are the pixels themselves, or for int8 those less 128."""
    scale, zero = port.quantization or (1.0, 0)
    shift = zero if port.dtype == "uint8" else zero + 128
    return Scaling((scale,), (-scale * shift,))


def to_input(adapter: Adapter, images: NDArray[np.uint8]) -> NDArray[Any]:
    """What the file takes for images N × height × width × channels."""
    factor, offset = (np.array(values, np.float32) for values in adapter.scaling)
    pixels = images[..., ::-1] if adapter.reversed else images
    values = pixels.astype(np.float32) * factor + offset
    if adapter.layout == "NCHW":
        values = values.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(_quantized(values, adapter.input))


def _quantized(values: NDArray[np.float32], port: Port) -> NDArray[Any]:
    dtype = np.dtype(port.dtype)
    if dtype.kind == "f":
        return values.astype(dtype)
    scale, zero = port.quantization or (1.0, 0)
    limits = np.iinfo(dtype)
    integers: NDArray[Any] = np.clip(np.rint(values / np.float32(scale)) + zero, limits.min, limits.max).astype(dtype)
    return integers


def to_probabilities(adapter: Adapter, values: NDArray[Any]) -> NDArray[np.float32]:
    """N × classes probabilities of the scores that the file's output holds, quantized ones as real numbers."""
    scores = values.reshape(len(values), adapter.count).astype(np.float32)
    if adapter.head == "sigmoid":
        scores = np.exp(-np.logaddexp(np.float32(0), -scores))
    elif adapter.head == "softmax":
        raised = np.exp(scores - scores.max(1, keepdims=True))
        scores = raised / raised.sum(1, keepdims=True)
    return np.concatenate([1 - scores, scores], 1) if adapter.count == 1 else scores


def adaptation(adapter: Adapter, settings: InputSettings) -> Adaptation:
    """What a manifest says of it."""
    channels = "grey" if adapter.shape[2] == 1 else "bgr" if adapter.reversed else "rgb"
    two = "two classes" if adapter.count == 1 else ""
    head: Any = ", ".join(part for part in (adapter.head if adapter.head != "none" else "", two) if part) or "none"
    return Adaptation(
        scale=settings.scale if isinstance(settings.scale, str) else "numbers",
        factor=adapter.scaling.factor,
        offset=adapter.scaling.offset,
        channels=channels,  # type: ignore[arg-type]  # one of three
        output=adapter.output.name,
        head=head,
    )
