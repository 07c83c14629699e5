"""Inputs and outputs of a model file made elsewhere: which holds the image, and which the scores of the classes."""

from pathlib import Path
from typing import Literal, NamedTuple

from bctoolkit.errors import ExportError, RecipeError

__all__ = ["ImageAxes", "Port", "choose_output", "image_axes", "score_count"]

Layout = Literal["NHWC", "NCHW"]

MAX_SIDE, MAX_CLASSES = 4096, 100_000
"""Pixels and classes beyond which a shape is taken for damage."""

CHANNELS = (1, 3)
"""Grey or colour."""


class Port(NamedTuple):
    """An input or output of a model file."""

    name: str
    shape: tuple[int | None, ...]
    """None where a size is free."""
    dtype: str
    """As numpy calls it."""
    quantization: tuple[float, int] | None = None
    """Scale and zero point of integers that stand for real numbers; None where they stand for themselves."""

    def __str__(self) -> str:
        """Name, dtype and shape, in the words of an error message."""
        return f"{self.name!r} ({self.dtype} {'×'.join('?' if size is None else str(size) for size in self.shape)})"


class ImageAxes(NamedTuple):
    """Which axis of a file's input is which."""

    layout: Layout
    height: int | None
    width: int | None
    channels: int


def image_axes(port: Port, file: Path) -> ImageAxes:
    """Tell batch, height, width and channels of an input apart.

    Raises:
        ExportError: it is no single image of 1 or 3 channels, or the file wants several images at once.
    """
    shape = port.shape
    if len(shape) != 4:
        raise ExportError(
            f"{file}: input {port} is no image; wanted N×height×width×channels or N×channels×height×width"
        )
    if shape[0] not in (None, 1):
        raise ExportError(
            f"{file}: input {port} takes {shape[0]} images at a time; export it again with a batch of 1, or a free one"
        )
    first, last = shape[1] in CHANNELS, shape[3] in CHANNELS
    if first == last:
        problem = "which axis holds the channels cannot be told" if first else "no axis has 1 or 3 channels"
        raise ExportError(f"{file}: input {port}: {problem}; export it again with an image of fixed, larger size")
    height, width, channels = (shape[2], shape[3], shape[1]) if first else shape[1:]
    assert channels is not None
    for size in (height, width):
        if size is not None and size > MAX_SIDE:
            raise ExportError(f"{file}: input {port} is larger than {MAX_SIDE}×{MAX_SIDE} pixels; export a smaller one")
    return ImageAxes("NCHW" if first else "NHWC", height, width, channels)


def choose_output(outputs: tuple[Port, ...], name: str | None, file: Path) -> Port:
    """The output that holds the classes: the one of that name, or the file's only one.

    Raises:
        RecipeError: there is no output of that name, or there are several and none is named.
    """
    names = ", ".join(str(port) for port in outputs)
    if name is None:
        if len(outputs) == 1:
            return outputs[0]
        raise RecipeError(
            f"{file}: has {len(outputs)} outputs, {names}; say which holds the classes with --output NAME"
        )
    for port in outputs:
        if port.name == name:
            return port
    raise RecipeError(f"{file}: no output is called {name!r}; --output takes one of: {names}")


def score_count(port: Port, file: Path) -> int:
    """How many scores an output holds for each image.

    Raises:
        ExportError: it is not N × scores, with or without further axes of one.
    """
    sizes = [size for size in port.shape[1:] if size != 1]
    count = 1 if not sizes else sizes[0]
    if len(port.shape) < 2 or len(sizes) > 1 or count is None or not 1 <= count <= MAX_CLASSES:
        raise ExportError(
            f"{file}: output {port} is not one row of scores per image; wanted N×classes, as a classifier has it"
        )
    return count
