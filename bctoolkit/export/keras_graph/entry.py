"""The way in: from the image an app hands over, whole values 0–255, to what a network eats."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from bctoolkit.documents.preprocessing import InputSettings, Scaling
from bctoolkit.errors import ExportError
from bctoolkit.networks.layers import leaves

__all__ = ["Entry", "Shape", "plan_entry"]


class Shape(NamedTuple):
    """Of one image as a network's input has it."""

    height: int | None
    width: int | None
    channels: int | None
    order: str
    """Of its axes: `HWC`, `CHW`, or `HW` where grey images have no axis for their one channel."""


@dataclass(frozen=True)
class Entry:
    """What is done to an image before the network sees it."""

    height: int
    width: int
    channels: int
    """Of the image that the app hands over."""
    eaten: int
    """Channels that the network eats."""
    order: str
    """See `Shape`."""
    scaling: Scaling
    """In the order of the network's channels."""
    reversed: bool
    """Whether it takes BGR."""

    @property
    def idle(self) -> bool:
        """Whether the network eats exactly what the app hands over."""
        return self.numbers is None and not self.reversed and self.channels == self.eaten and self.order == "HWC"

    @property
    def numbers(self) -> Scaling | None:
        """Factor and offset in the order of the app's channels; None where values stay what they are."""
        if set(self.scaling.factor) == {1.0} and set(self.scaling.offset) == {0.0}:
            return None
        return Scaling(*(n[::-1] for n in self.scaling)) if self.reversed else self.scaling

    def layers(self, image: Any) -> Any:
        """The network's input as a symbolic tensor.

        BGR comes last, so that it and the scale can each be moved into a first convolution.

        Args:
            image: N × height × width × channels float32, 0–255.
        """
        x = image
        if self.channels < self.eaten:
            x = layers.Concatenate(name="adapt_grey")([x] * self.eaten)
        if self.numbers is not None:
            factor, offset = (n[0] if len(set(n)) == 1 else list(n) for n in self.numbers)
            x = layers.Rescaling(factor, offset, dtype="float32", name="adapt_scale")(x)
        if self.reversed:
            x = x[..., ::-1]
        if self.order == "CHW":
            x = layers.Permute((3, 1, 2), name="adapt_channels_first")(x)
        if self.order == "HW":
            x = layers.Reshape((self.height, self.width), name="adapt_axes")(x)
        return x

    def array(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """The network's input, the same in numpy, in the order N × height × width × channels.

        Args:
            images: N × height × width × channels, 0–255.
        """
        x = np.repeat(images, self.eaten, axis=3) if self.channels < self.eaten else images
        if self.numbers is not None:
            factor, offset = (np.array(n, np.float32) for n in self.numbers)
            x = x.astype(np.float32) * factor + offset
        return np.ascontiguousarray(x[..., ::-1] if self.reversed else x, np.float32)


def plan_entry(model: keras.Model, image: Any, settings: InputSettings, name: str) -> Entry:
    """What has to be done to an image for a network.

    Args:
        model: whose layers tell the order of axes.
        image: its symbolic input.
        settings: what it eats.
        name: what to call it in a message.

    Raises:
        ExportError: its input is no image, its size is open and not given, or settings do not go with it.
    """
    shape = _shape(model, image, name)
    height, width = _size(shape, settings, name)
    eaten = _channels(shape, settings, name)
    scaling = settings.scaling.per_channel(eaten)
    if scaling is None:
        count = max(map(len, settings.scaling))
        raise ExportError(
            f"{name}: --scale {_described(settings)} has numbers for {count} channels, the network takes {eaten}; "
            "give one factor and one offset"
        )
    return Entry(
        height,
        width,
        1 if settings.channels == "grey" else eaten,
        eaten,
        shape.order,
        scaling,
        settings.reversed,
    )


def _described(settings: InputSettings) -> str:
    return settings.scale if isinstance(settings.scale, str) else "numbers"


def _shape(model: keras.Model, image: Any, name: str) -> Shape:
    axes = tuple(image.shape[1:])
    if len(axes) == 2:
        return Shape(*axes, 1, "HW")
    if len(axes) != 3:
        raise ExportError(f"{name}: its input has shape {image.shape}; wanted images N×height×width×channels")
    formats = {getattr(layer, "data_format", None) for layer in leaves(model)}
    if "channels_first" in formats and "channels_last" not in formats:
        return Shape(axes[1], axes[2], axes[0], "CHW")
    return Shape(*axes, "HWC")


def _size(shape: Shape, settings: InputSettings, name: str) -> tuple[int, int]:
    """Height and width of the images: the network's own, and where it leaves them open those of the settings."""
    size = (settings.size, settings.size) if isinstance(settings.size, int) else settings.size
    open_size = "×".join("any" if side is None else str(side) for side in shape[:2])
    if size is None:
        if None in shape[:2]:
            raise ExportError(
                f"{name}: takes images of any size (height×width {open_size}); fix the one it was trained on with "
                "--size, such as --size 224 or --size 96x128"
            )
        return int(shape.height or 0), int(shape.width or 0)
    remedy = "give a --size that fits" if None in shape[:2] else "leave out --size"
    if any(side not in (None, fixed) for side, fixed in zip(shape[:2], size, strict=True)):
        raise ExportError(f"{name}: takes images of height×width {open_size}, not {size[0]}×{size[1]}; {remedy}")
    return size


def _channels(shape: Shape, settings: InputSettings, name: str) -> int:
    """How many channels the network eats."""
    colours = settings.channels or ("bgr" if settings.reversed else None)
    count = shape.channels
    if count is None:
        if colours is None:
            raise ExportError(
                f"{name}: takes images of any number of channels; fix it with --channels rgb, bgr or grey"
            )
        return 1 if colours == "grey" else 3
    if colours in ("rgb", "bgr") and count != 3:
        raise ExportError(f"{name}: takes images of {count} channels, not {colours.upper()}; leave out --channels")
    if colours == "grey" and count not in (1, 3):
        raise ExportError(f"{name}: takes images of {count} channels, not grey ones; leave out --channels")
    return count
