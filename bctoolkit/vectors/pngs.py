"""The PNG files of the vectors."""

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.vectors.drawing import Size, drawn, opacity
from bctoolkit.vectors.files import ImageFile
from bctoolkit.vectors.metadata import exif, profile_chunk
from bctoolkit.vectors.png import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, Chunk, encode

__all__ = ["pngs"]

USUAL_WHITE = 4095
"""Of the pictures of 16 bits where the contract declares none."""

KEY, KEY_16 = (200, 120, 40), 1000
"""What a transparent colour is; pictures get a bar of it."""


def pngs(white: int | None, size: Size) -> Iterator[ImageFile]:
    """Files that have to be read, those of 16 bits where `white` is known, then files that have to be refused.

    Args:
        white: see `InputContract`.
        size: width and height of those that have to be read.
    """
    yield from _eight_bits(*size(101, 113))
    yield from _few_bits(*size(99, 119))
    yield from _palettes(*size(107, 121))
    yield from _sixteen_bits(white, *size(61, 53))
    yield from _sizes(size)
    yield from _marked(*size(101, 71))
    yield from _refused(white)


def _eight_bits(width: int, height: int) -> Iterator[ImageFile]:
    colours, alpha = drawn(width, height, 2), opacity(width, height)
    grey = colours.mean(2, keepdims=True)
    yield _file("png-rgb", "RGB, all five filters", _scaled(colours, 255), RGB)
    yield _file(
        "png-rgb-interlaced", "RGB, interlaced, in seven chunks", _scaled(colours, 255), RGB, interlaced=True, pieces=7
    )
    yield _file("png-rgba", "RGB with alpha", _scaled(np.dstack([colours, alpha]), 255), RGBA)
    yield _file(
        "png-rgba-interlaced",
        "RGB with alpha, interlaced",
        _scaled(np.dstack([colours, alpha]), 255),
        RGBA,
        interlaced=True,
    )
    yield _file(
        "png-rgb-key", "RGB with a transparent colour", _barred(_scaled(colours, 255), KEY), RGB, before=[_key(KEY)]
    )
    yield _file("png-grey", "grey", _scaled(grey, 255), GREY)
    yield _file("png-grey-alpha", "grey with alpha", _scaled(np.dstack([grey, alpha]), 255), GREY_ALPHA)
    yield _file(
        "png-grey-key",
        "grey with a transparent value",
        _barred(_scaled(grey, 255), KEY[:1]),
        GREY,
        before=[_key(KEY[:1])],
    )


def _few_bits(width: int, height: int) -> Iterator[ImageFile]:
    grey = drawn(width, height, 3).mean(2, keepdims=True)
    for depth in (1, 2, 4):
        levels = _scaled(grey, 2**depth - 1)
        yield _file(f"png-grey-{depth}-bit", f"grey of {depth} bit", levels, GREY, depth)
    for depth in (1, 2):
        what, levels = f"grey of {depth} bit with a transparent value", _scaled(grey, 2**depth - 1)
        yield _file(f"png-grey-{depth}-bit-key", what, levels, GREY, depth, before=[_key((1,))])
    yield _file("png-grey-4-bit-interlaced", "grey of 4 bit, interlaced", _scaled(grey, 15), GREY, 4, interlaced=True)


def _palettes(width: int, height: int) -> Iterator[ImageFile]:
    grey = drawn(width, height, 4).mean(2, keepdims=True)
    for depth in (1, 2, 4, 8):
        count = min(2**depth, 200)
        palette = _palette(_colours(count))
        yield _file(
            f"png-palette-{depth}-bit",
            f"palette of {count} colours",
            _scaled(grey, count - 1),
            PALETTE,
            depth,
            before=[palette],
        )
    shades = [_palette(np.repeat(np.arange(200)[:, None], 3, 1))]
    yield _file("png-palette-of-greys", "palette of greys, which is RGB", _scaled(grey, 199), PALETTE, before=shades)
    clear = [_palette(_colours(200)), (b"tRNS", bytes(range(0, 250, 2)))]
    yield _file(
        "png-palette-alpha", "palette of which 125 colours have an alpha", _scaled(grey, 199), PALETTE, before=clear
    )
    yield _file(
        "png-palette-interlaced", "palette, interlaced", _scaled(grey, 199), PALETTE, before=clear[:1], interlaced=True
    )


def _sixteen_bits(declared: int | None, width: int, height: int) -> Iterator[ImageFile]:
    colours, alpha = drawn(width, height, 5), opacity(width, height)
    grey = colours.mean(2, keepdims=True)
    white = declared or USUAL_WHITE
    deep, clear, values = _scaled(colours, white), _scaled(alpha, 65_535), f"of 16 bits, white {white}"
    shade = _scaled(grey, white)
    yield _file("png-rgb-16-bit", f"RGB {values}", deep, RGB, 16)
    yield _file("png-rgba-16-bit", f"RGB with alpha {values}", np.dstack([deep, clear]), RGBA, 16)
    yield _file("png-grey-16-bit", f"grey {values}", shade, GREY, 16, interlaced=True)
    yield _file("png-grey-alpha-16-bit", f"grey with alpha {values}", np.dstack([shade, clear]), GREY_ALPHA, 16)


def _sizes(size: Size) -> Iterator[ImageFile]:
    yield _file("png-small", "RGB, smaller than most inputs", _scaled(drawn(*size(5, 7)), 255), RGB, interlaced=True)
    yield _file("png-high", "RGB, much higher than wide", _scaled(drawn(*size(31, 151), 6), 255), RGB)


def _marked(width: int, height: int) -> Iterator[ImageFile]:
    picture = _scaled(drawn(width, height, 7), 255)
    yield _file("png-profile", "RGB with an ICC profile, which is not applied", picture, RGB, before=[profile_chunk()])
    gamma = [(b"gAMA", struct.pack(">I", 100_000))]
    yield _file("png-gamma", "RGB with a gamma of 1, which is not applied", picture, RGB, before=gamma)
    turned, behind = [(b"eXIf", exif(6)[6:])], [(b"eXIf", exif(3)[6:])]
    yield _file("png-orientation-6", "RGB, Exif orientation 6", picture, RGB, before=turned)
    yield _file("png-exif-behind", "RGB, Exif orientation 3 behind the pixels", picture, RGB, after=behind)


def _refused(white: int | None) -> Iterator[ImageFile]:
    if white is not None and white < 65_535:
        above = _scaled(drawn(31, 29), white) + 1 + white // 50
        yield _file("png-above-white", f"RGB of 16 bits with values above {white}", above, RGB, 16)
    whole = encode(_scaled(drawn(61, 53, 8), 255), RGB)
    yield ImageFile("png-cut", "png", "PNG, cut off at half of its bytes, 61×53", whole[: len(whole) // 2])
    yield ImageFile("png-animated", "png", "PNG, RGB of two frames, 33×31", _animated(_scaled(drawn(33, 31), 255)))
    huge = encode(_scaled(drawn(33, 31), 255), RGB, says=(40_000, 40_000))
    yield ImageFile("png-huge", "png", "PNG, a header that says 40000×40000", huge)
    yield ImageFile("text", "png", "a text file called .png", b"not an image, whatever it is called\n")
    yield ImageFile("empty", "png", "an empty file", b"")


def _file(slug: str, what: str, samples: NDArray[np.int64], colour: int, depth: int = 8, **options: Any) -> ImageFile:
    height, width = samples.shape[:2]
    return ImageFile(slug, "png", f"PNG, {what}, {width}×{height}", encode(samples, colour, depth, **options))


def _scaled(picture: NDArray[np.float64], white: int) -> NDArray[np.int64]:
    return (picture * white).round().astype(np.int64)


def _colours(count: int) -> NDArray[np.int64]:
    steps = np.arange(count)
    return np.column_stack([steps * 255 // max(count - 1, 1), (200 - steps * 3) % 256, steps * 7 % 256])


def _palette(colours: NDArray[np.int64]) -> Chunk:
    return b"PLTE", colours.astype(np.uint8).tobytes()


def _key(values: Sequence[int]) -> Chunk:
    return b"tRNS", struct.pack(f">{len(values)}H", *values)


def _barred(samples: NDArray[np.int64], key: Sequence[int]) -> NDArray[np.int64]:
    """With a bar of the transparent colour, and beside it one of a colour that is nearly that."""
    barred = samples.copy()
    barred[20:40, 10:-10] = key
    barred[45:55, 10:-10] = np.array(key) + 1
    return barred


def _animated(samples: NDArray[np.int64]) -> bytes:
    """Two frames of which the second is the first again (APNG 1.0)."""
    height, width = samples.shape[:2]
    still = encode(samples, RGB)
    at = still.index(b"IDAT") - 4
    (length,) = struct.unpack(">I", still[at : at + 4])
    pixels = still[at + 8 : at + 8 + length]

    def control(number: int) -> Chunk:
        return b"fcTL", struct.pack(">5I2H2B", number, width, height, 0, 0, 1, 10, 0, 0)

    second = [control(1), (b"fdAT", struct.pack(">I", 2) + pixels)]
    return encode(samples, RGB, before=[(b"acTL", struct.pack(">II", 2, 0)), control(0)], after=second)
