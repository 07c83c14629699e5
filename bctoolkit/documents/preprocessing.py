"""What a network eats, apart from what an app hands over: scale, colours and size of its own input.

An app hands over whole values 0–255, as RGB or grey. What a network wants instead is written into its graph, so that no
device need know of it. The presets are those of `keras.applications.*.preprocess_input`: its modes `tf` (-1-1), `torch`
(imagenet) and `caffe`.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

from bctoolkit.documents.base import Document
from bctoolkit.documents.names import label_fault

__all__ = ["PRESETS", "Adaptation", "Channels", "Head", "InputSettings", "OutputSettings", "Scaling"]

Preset = Literal["none", "0-1", "-1-1", "imagenet", "caffe"]
Channels = Literal["rgb", "bgr", "grey"]
Head = Literal["none", "softmax", "sigmoid"]
Number = float | tuple[float, ...]
MOST_PIXELS = 16384
"""Of a side of an image."""

MOST = 1e6
"""Largest factor or offset, and the inverse of the smallest factor."""


class Scaling(NamedTuple):
    """`x · factor + offset`: one number, or one for each channel in the order the network has them."""

    factor: tuple[float, ...]
    offset: tuple[float, ...]

    def per_channel(self, count: int) -> "Scaling | None":
        """A number for each of `count` channels; None where it has numbers for another count."""
        if {len(self.factor), len(self.offset)} - {1, count}:
            return None
        return Scaling(*(numbers * count if len(numbers) == 1 else numbers for numbers in self))


MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's images as RGB 0–1 (https://pytorch.org/vision/stable/models.html)."""

CAFFE_MEAN = (103.939, 116.779, 123.68)
"""Of ImageNet's images as BGR 0–255 (Simonyan & Zisserman 2015, arXiv:1409.1556)."""

PRESETS: dict[str, Scaling] = {
    "none": Scaling((1.0,), (0.0,)),
    "0-1": Scaling((1 / 255,), (0.0,)),
    "-1-1": Scaling((1 / 127.5,), (-1.0,)),
    "imagenet": Scaling(
        tuple(1 / (255 * deviation) for deviation in DEVIATION),
        tuple(-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)),
    ),
    "caffe": Scaling((1.0,), tuple(-mean for mean in CAFFE_MEAN)),
}
"""`caffe` takes BGR."""


class InputSettings(Document, frozen=True):
    """What the exported graph takes, and what the network behind it eats."""

    dtype: Literal["uint8", "float32"] = "uint8"
    """Of the exported graph's input; values are 0–255 in both."""
    scale: Preset | tuple[Number, Number] | None = None
    """A preset, or factor and offset of `x · factor + offset`, each one number or one per channel of the network, from
    -1,000,000 to 1,000,000, no factor nearer to 0 than a millionth; left out, values stay 0–255, or what the file's own
    preprocessor says is done."""
    channels: Channels | None = None
    """What the network eats; left out, RGB where it takes three channels, BGR where `scale` is `caffe`."""
    size: int | tuple[int, int] | None = None  # bounds stated here, beside a tuple, crash msgspec 0.22 when it is freed
    """Height and width, or one number for both, of a network that leaves them open; 1 to 16,384 pixels each."""
    white: int | None = None
    """The value of white in pictures of 16 bits a channel, which are refused where it is left out; 256 to 65,535."""
    prepared: tuple[int, int] | None = None
    """Of which part of a picture the network's images were made: side of the centre, and the pictures' shorter side."""

    def __post_init__(self) -> None:
        """Refuse numbers that are no scale, and colours that a preset does not go with."""
        if isinstance(self.scale, tuple):
            _require_numbers(self.scale)
        sides = (self.size,) if isinstance(self.size, int) else self.size or ()
        if not all(1 <= side <= MOST_PIXELS for side in sides):
            raise ValueError(f"size: {'×'.join(map(str, sides))} pixels; wanted 1 to {MOST_PIXELS:,} on each side")
        if self.white is not None and not 256 <= self.white <= 65_535:
            raise ValueError(f"white: {self.white}; wanted 256 to 65,535, as 4095 of a 12-bit camera")
        if self.prepared is not None and not 1 <= self.prepared[0] <= self.prepared[1] <= MOST_PIXELS:
            raise ValueError(
                f"prepared: the centre {self.prepared[0]} of {self.prepared[1]} pixels; wanted a part of it"
            )
        if self.scale == "caffe" and self.channels not in (None, "bgr"):
            raise ValueError(f"scale 'caffe' takes BGR, not {self.channels!r}; leave out channels, or give numbers")

    @property
    def scaling(self) -> Scaling:
        """Factor and offset of `scale`."""
        if isinstance(self.scale, tuple):
            return Scaling(*(tuple(n) if isinstance(n, Sequence) else (float(n),) for n in self.scale))
        return PRESETS[self.scale or "none"]

    @property
    def reversed(self) -> bool:
        """Whether the network takes BGR."""
        return self.channels == "bgr" or self.scale == "caffe"


def _require_numbers(scale: tuple[Number, Number]) -> None:
    factors, offsets = (list(n) if isinstance(n, Sequence) else [n] for n in scale)
    if not factors or not offsets:
        raise ValueError("scale: a factor or an offset is empty; give one number, or one for each channel")
    if not all(math.isfinite(n) for n in (*factors, *offsets)) or max(map(abs, (*factors, *offsets))) > MOST:
        raise ValueError(f"scale: factor and offset must be numbers of at most {MOST:g}; presets: {_presets()}")
    if min(map(abs, factors)) < 1 / MOST:
        raise ValueError(f"scale: a factor of {min(factors, key=abs):g} leaves nothing of the image")


def _presets() -> str:
    return ", ".join(get_args(Preset))


class OutputSettings(Document, frozen=True):
    """Which output of a network is exported, and what it means."""

    name: str = ""
    """Of a network with several outputs: a layer's name, or a key of the dictionary it returns."""
    head: Head | None = None
    """What makes probabilities of the output, `none` where it is such; left out, that is read off the network."""
    labels: tuple[str, ...] = ()
    """The classes in the order of the outputs; left out, those of the run or of the images, by the alphabet."""

    def __post_init__(self) -> None:
        """Refuse labels that could not be told apart."""
        if self.labels:
            require_labels(self.labels)


MOST_LABELS, LONGEST_LABEL = 100_000, 200


def require_labels(labels: Sequence[Any]) -> None:
    """Refuse labels that are no names of different classes.

    Raises:
        ValueError: fewer than two, or one that is no text of one line, is empty, too long or there twice, or that
            `label_fault` speaks against: a bundle could not be sealed with it.
    """
    if not 2 <= len(labels) <= MOST_LABELS:
        raise ValueError(f"labels: {len(labels)} of them; wanted 2 to {MOST_LABELS:,}, one for each class")
    earlier: set[str] = set()
    for label in labels:
        if not isinstance(label, str) or not label.strip() or not label.isprintable() or len(label) > LONGEST_LABEL:
            raise ValueError(f"labels: {str(label)[:40]!r} is no name of one line of 1 to {LONGEST_LABEL} characters")
        fault = label_fault(label)
        if fault is not None:
            raise ValueError(f"labels: {fault}")
        if label in earlier:
            raise ValueError(f"labels: {label!r} is there twice")
        earlier.add(label)


class Adaptation(Document, frozen=True, kw_only=True):
    """What was written into the graph around a network, so that no app need do it."""

    scale: str = "none"
    """The preset, `numbers`, or `preprocessor` where the file brought its own."""
    factor: tuple[float, ...] = (1.0,)
    """Of the scale, as `offset`."""
    offset: tuple[float, ...] = (0.0,)
    """The network eats `x · factor + offset` of the values 0–255: one number, or one per channel in its own order."""
    channels: Channels | Literal["any"] = "rgb"
    """What it eats; `any` where they are no colours."""
    output: str = ""
    """The one of several that is exported."""
    head: Literal["none", "softmax", "sigmoid", "two classes", "sigmoid, two classes"] = "none"
    """What was added behind its output; `two classes`: 1 − p and p of the one number p."""
