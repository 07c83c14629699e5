"""Arrays whose axes are not N × height × width × channels: what they are, and the line of numpy that turns them so."""

import math
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Axes", "channels_first", "for_contract", "for_pictures"]

Shape = tuple[int, ...]
FEW = (1, 3)
"""Channels of pictures: no picture is so narrow."""


class Axes(NamedTuple):
    """Another order or number of axes."""

    what: str
    """In words, what to do."""
    code: str
    """Of numpy, for the array `{x}`."""
    turned: Callable[[Shape], Shape]
    """Shape before → shape after; () where it does not apply."""


BATCH = Axes("add a batch axis", "{x}[None]", lambda shape: (1, *shape))
GREY = Axes("add an axis for the channel", "{x}[..., None]", lambda shape: (*shape, 1))
LAST = Axes(
    "put the channels last",
    "{x}.transpose(0, 2, 3, 1)",
    lambda shape: (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else (),
)
LAST_OF_ONE = Axes(
    "put the channels last and add a batch axis",
    "{x}.transpose(1, 2, 0)[None]",
    lambda shape: (1, *shape[1:], shape[0]) if len(shape) == 3 else (),
)
FIRST = Axes(
    "put the images' axis first",
    "{x}.transpose(3, 0, 1, 2)",
    lambda shape: (shape[3], *shape[:3]) if len(shape) == 4 else (),
)
RGB = Axes(
    "repeat the grey channel",
    "{x}.repeat(3, axis=-1)",
    lambda shape: (*shape[:-1], 3) if shape and shape[-1] == 1 else (),
)
OPAQUE = Axes("drop the alpha channel", "{x}[..., :3]", lambda shape: (*shape[:-1], 3) if shape[-1:] == (4,) else ())
SQUEEZED = Axes("drop an axis", "{x}[:, 0]", lambda shape: (shape[0], *shape[2:]) if shape[1:2] == (1,) else ())


def _and(first: Axes, second: Axes) -> Axes:
    """One after the other."""

    def turned(shape: Shape) -> Shape:
        between = first.turned(shape)
        return second.turned(between) if between else ()

    return Axes(f"{first.what} and {second.what}", second.code.format(x=first.code), turned)


WAYS = (
    *(BATCH, GREY, LAST, LAST_OF_ONE, RGB, OPAQUE, SQUEEZED),
    *(
        _and(GREY, BATCH),
        _and(GREY, RGB),
        _and(RGB, BATCH),
        _and(OPAQUE, BATCH),
        _and(LAST, RGB),
        _and(LAST_OF_ONE, RGB),
    ),
    _and(_and(GREY, RGB), BATCH),
)


def for_contract(shape: Shape, wanted: Shape) -> Axes | None:
    """What makes N × `wanted` of an array of this shape; None where no order of axes does.

    Args:
        shape: of an array for a model.
        wanted: height, width, channels.
    """
    ways = (way for way in WAYS if (turned := way.turned(shape)) and len(turned) == 4 and turned[1:] == wanted)
    return next(ways, None)


def channels_first(shape: Shape) -> bool:
    """Whether four axes are certainly N × channels × height × width: the second is 1 or 3 and the last is not."""
    return len(shape) == 4 and shape[1] in FEW and shape[3] not in FEW


def for_pictures(shape: Shape, count: int | None) -> Axes | None:
    """What makes pictures, one after the other, of an array of a file; None where nothing is sure to.

    Args:
        shape: of an array that is no N × height × width (× channels).
        count: how many labels there are; None where nobody knows.
    """
    if len(shape) == 2 and (side := _side(shape[1])):
        channels = shape[1] // side**2
        code = f"{{x}}.reshape(-1, {side}, {side}" + (f", {channels})" if channels > 1 else ")")
        return Axes("give each image its rows back", code, lambda _: (shape[0], side, side, channels))
    if len(shape) == 4 and shape[3] == count:
        return FIRST
    return SQUEEZED if len(shape) == 5 and shape[1] == 1 else None


def _side(values: int) -> int:
    """The side of a square of so many grey or RGB pixels; 0 where there is none."""
    for channels in FEW:
        side = math.isqrt(values // channels)
        if side > 1 and channels * side**2 == values:
            return side
    return 0
