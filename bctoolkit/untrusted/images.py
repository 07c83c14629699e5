"""Image files of others: a few decoders, chosen by content, and bounded before one of them allocates or decodes.

Pillow would ask some forty, among them one that starts Ghostscript and several that fail in ways of their own.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bctoolkit.errors import BctkError
from bctoolkit.lazy import require

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["BEGINNING", "MOST_BYTES", "MOST_PIXELS", "kind_of", "open_picture", "require_known", "translated"]

MOST_PIXELS = 2**26
"""Width × height of a picture: 67 million."""

MOST_BYTES = 2**29
"""Of an image file: twice what the largest picture takes with four uncompressed channels."""

MOST_PASSES = 2**30
"""Pixels × scans of a JPEG: each scan visits all of them, and a file may hold one for every dozen bytes
(https://libjpeg-turbo.org/pmwiki/uploads/About/TwoIssueswiththeJPEGStandard.pdf)."""
START_OF_SCAN = b"\xff\xda"


class Decoder(NamedTuple):
    """One of Pillow's."""

    beginnings: tuple[bytes, ...]
    plugin: str
    """Module that registers it."""


DECODERS = {
    "JPEG": Decoder((b"\xff\xd8\xff",), "PIL.JpegImagePlugin"),
    "PNG": Decoder((b"\x89PNG\r\n\x1a\n",), "PIL.PngImagePlugin"),
    "BMP": Decoder((b"BM",), "PIL.BmpImagePlugin"),
    "GIF": Decoder((b"GIF87a", b"GIF89a"), "PIL.GifImagePlugin"),
    "TIFF": Decoder((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "PIL.TiffImagePlugin"),
    "WEBP": Decoder((b"RIFF",), "PIL.WebPImagePlugin"),
}
"""Pillow's name → the decoder."""

BEGINNING = 32
"""Bytes of a file that tell what it is."""

BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
"""Bytes of the header behind a BMP's first 14: two letters alone begin many a text, too."""

SAME_DECODER = {"MPO": "JPEG"}
"""Pillow's name of a JPEG that holds further ones behind the first, which alone is read."""


def kind_of(content: bytes) -> str | None:
    """Which of `DECODERS` a file is for, by its first `BEGINNING` bytes; None for none of them."""
    name = next((name for name, decoder in DECODERS.items() if content.startswith(decoder.beginnings)), None)
    if name == "WEBP" and content[8:12] != b"WEBP":
        return None
    if name == "BMP" and int.from_bytes(content[14:18], "little") not in BMP_HEADERS:
        return None
    return name


@contextmanager
def open_picture(content: bytes, source: str, error: type[BctkError]) -> Iterator["Image"]:
    """Yield the picture in an image file; its pixels are decoded when the block asks for them.

    Args:
        content: of the file.
        source: what to call it in a message.
        error: what to raise, also for whatever a decoder raises in the block.

    Raises:
        BctkError: of class `error`: none of `DECODERS`, damaged, or of more than `MOST_PIXELS`.
        MissingExtra: Pillow is not installed.
    """
    pillow = require("PIL.Image", "images")
    name = kind_of(content)
    if name is None:
        what = f"it is none of {', '.join(DECODERS)}" if content else "the file is empty"
        raise error(f"{source}: cannot be decoded as an image ({what})")
    require(DECODERS[name].plugin, "images")
    opener, _ = pillow.OPEN[name]  # and not `Image.open`, which warns of large pictures instead of refusing them
    with translated(source, error), opener(io.BytesIO(content), "") as picture:
        require_known(picture, source, error)
        scans = content.count(START_OF_SCAN) if name == "JPEG" else 1
        if scans * picture.width * picture.height > MOST_PASSES:
            raise error(f"{source}: {scans:,} scans of {_size(picture)}; save it again with fewer")
        yield picture


def require_known(picture: "Image", source: str, error: type[BctkError]) -> None:
    """Refuse a picture that is too large, or that another decoder still has to decode.

    Raises:
        BctkError: of class `error`.
    """
    kind = picture.format and SAME_DECODER.get(picture.format, picture.format)
    if kind is not None and kind not in DECODERS:
        raise error(f"{source}: is {kind}, none of {', '.join(DECODERS)}; convert it first")
    if picture.width * picture.height > MOST_PIXELS:
        raise error(f"{source}: {_size(picture)}; wanted at most {MOST_PIXELS:,}")


@contextmanager
def translated(source: str, error: type[BctkError]) -> Iterator[None]:
    """Turn whatever a decoder raises in the block into one line.

    Raises:
        BctkError: of class `error`, or whichever the block raises.
    """
    try:
        yield
    except BctkError:
        raise
    except MemoryError:
        raise error(f"{source}: its pixels do not fit into memory") from None
    except Exception as problem:  # decoders of damaged files raise every class
        reason = " ".join(str(problem).split())[:200] or type(problem).__name__
        raise error(f"{source}: cannot be decoded as an image ({reason})") from None


def _size(picture: "Image") -> str:
    return f"{picture.width:,}×{picture.height:,} = {picture.width * picture.height:,} pixels"
