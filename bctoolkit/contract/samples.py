"""What a picture holds, as Pillow decodes it: colours of 8 or 16 bits, and how opaque each pixel is."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import InputMismatch

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Reopen", "Samples", "read_samples", "require_kind", "stored_as"]

Reopen = Callable[[], "AbstractContextManager[Image]"]
"""Opens the same file once more."""

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "I;16L", "I;16B")
"""Pillow's names of the kinds of pixels that are read."""

GREY_LEVELS = {"1": 1, "L;2": 3, "L;4": 15, "L": 255}
"""Kind of pixels as stored → the value of white there, in which a transparent grey is named."""

WIDE = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "RGBX;16B": "RGBX;16L"}
LOW_BYTES = WIDE | {low: high for high, low in WIDE.items()}
"""Pillow's names of the two ways to read 16 bits a channel of which it keeps the upper eight: one gives the upper byte
of what is stored, and the other the lower."""
NATIVE = "16L" if sys.byteorder == "little" else "16B"
WHITE_IS_ZERO, PHOTOMETRIC = 0, 262
SEPARATE, PLANAR, BITS = 2, 284, 258
"""Of TIFF: tags, and their values where 0 is white, and where each channel is a picture of its own."""


class Samples(NamedTuple):
    """A picture in its own numbers."""

    colours: NDArray[Any]
    """Height × width × 1 (grey) or 3 (RGB); uint8, or uint16 where it has 16 bits a channel."""
    alpha: NDArray[Any] | None
    """Height × width × 1, of the same dtype: 0 for transparent; None where all is opaque."""


def require_kind(picture: "Image", name: str) -> None:
    """Refuse a picture that is no single grey, RGB or palette image of at most 16 bits a channel.

    Raises:
        InputMismatch: it is something else.
    """
    if picture.format != "MPO" and getattr(picture, "is_animated", False):
        raise InputMismatch(f"{name} has more than one frame or page; save the one that counts as a file of its own")
    if picture.mode in MODES or (picture.mode == "I" and stored_as(picture) == "I;16B"):  # Pillow 10.3, of a PNG
        return
    kind = {"CMYK": "CMYK", "F": "of floating-point numbers", "I": "of 32-bit numbers"}.get(
        picture.mode, "of no such kind"
    )
    raise InputMismatch(
        f"{name} is {kind} (mode {picture.mode}); wanted grey, RGB or palette, of 8 or 16 bits; convert it first"
    )


def read_samples(picture: "Image", reopen: Reopen | None, name: str) -> Samples:
    """Decode a picture of a kind that `require_kind` lets pass.

    Args:
        picture: opened; its pixels may still have to be decoded.
        reopen: for 16 bits a channel; None where there is no file to open again.
        name: what to call it in a message.

    Raises:
        InputMismatch: 16 bits a channel in a form that cannot be read without loss.
    """
    stored, tags = stored_as(picture), getattr(picture, "tag_v2", {})
    if tags.get(PLANAR) == SEPARATE and max(tags.get(BITS, (8,))) > 8:  # Pillow gives other numbers without a word
        raise InputMismatch(
            f"{name} has 16 bits a channel and each channel apart; save it with those of a pixel together, as "
            "tifffile.imwrite(file, pixels, photometric='rgb', planarconfig='contig') does"
        )
    if ";16" in stored and picture.mode in ("RGB", "RGBA"):
        return _wide(picture, stored, reopen, name)
    if ";16" in stored and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        raise InputMismatch(f"{name} has 16 bits a channel and white as 0; convert it first")
    picture.load()
    if picture.mode in ("P", "PA"):
        transparent = picture.mode == "PA" or "transparency" in picture.info
        return _split(np.asarray(picture.convert("RGBA" if transparent else "RGB")))
    if picture.mode.startswith("I"):
        grey = np.asarray(picture).astype(np.uint16)[..., None]
        return _keyed(grey, picture.info.get("transparency"), 65_535)
    pixels = np.asarray(picture)
    if picture.mode == "1":
        pixels = pixels * np.uint8(255)
    samples = _split(pixels if pixels.ndim == 3 else pixels[..., None])
    return _keyed(samples.colours, picture.info.get("transparency"), GREY_LEVELS.get(stored, 255), samples.alpha)


def stored_as(picture: "Image") -> str:
    """Pillow's name of how the file stores its pixels; the mode's own where they are decoded already."""
    for tile in getattr(picture, "tile", ()):
        arguments = tile[3]
        return str(arguments if isinstance(arguments, str) else arguments[0])
    return str(picture.mode)


def _split(pixels: NDArray[Any]) -> Samples:
    """Grey and RGB as they are; LA and RGBA in two."""
    if pixels.shape[2] in (1, 3):
        return Samples(pixels, None)
    return Samples(pixels[..., :-1], pixels[..., -1:])


def _keyed(colours: NDArray[Any], key: Any, white: int, alpha: NDArray[Any] | None = None) -> Samples:
    """Colours of which one is transparent, where the file names one.

    Args:
        colours: height × width × channels.
        key: a number, or one for each channel, from 0 to `white`; None, or what is no such thing, for no colour.
        white: the largest value that the file can store.
        alpha: what else the file says.
    """
    values = key if isinstance(key, tuple) else (key,)
    if alpha is not None or len(values) != colours.shape[2] or not all(isinstance(value, int) for value in values):
        return Samples(colours, alpha)
    most = np.iinfo(colours.dtype).max
    wanted = [(value & white) * (most // white) for value in values]
    opaque = (colours != np.array(wanted, colours.dtype)).any(2, keepdims=True)
    return Samples(colours, opaque.astype(colours.dtype) * colours.dtype.type(most))


def _wide(picture: "Image", stored: str, reopen: Reopen | None, name: str) -> Samples:
    """Colours of 16 bits a channel, of which Pillow gives eight: decoded twice, for the upper and for the lower."""
    upper = stored.replace("16N", NATIVE)
    if reopen is None:
        raise InputMismatch(f"{name} has 16 bits a channel; hand over its file, of which Pillow keeps half of them")
    if stored == "LA;16B":
        _read_as(picture, "RGBA")
        bytes_of = np.asarray(picture).astype(np.uint16)
        return Samples(bytes_of[..., :1] << 8 | bytes_of[..., 1:2], bytes_of[..., 2:3] << 8 | bytes_of[..., 3:])
    if upper not in LOW_BYTES:
        raise InputMismatch(f"{name} has 16 bits a channel, stored as {stored}; convert it first")
    with reopen() as again:
        _read_as(again, LOW_BYTES[upper])
        low = np.asarray(again)
        picture.load()
        values = np.asarray(picture).astype(np.uint16) << 8 | low
    samples = _split(values)
    return _keyed(samples.colours, picture.info.get("transparency"), 65_535, samples.alpha)


def _read_as(picture: "Image", stored: str) -> None:
    """Decode as if the file stored its pixels in another way of the same size."""
    picture.tile = [_stored(tile, stored) for tile in picture.tile]  # type: ignore[attr-defined]  # of those from files
    picture.load()


def _stored(tile: Any, stored: str) -> Any:
    """A part of a picture's file, read in another way."""
    arguments = stored if isinstance(tile[3], str) else (stored, *tile[3][1:])
    return tile._replace(args=arguments) if hasattr(tile, "_replace") else (*tile[:3], arguments)  # Pillow before 11.1
