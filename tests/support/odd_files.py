"""Two hundred image files of every mode, format, suffix and orientation, and the pixels that each has to become."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from bctoolkit.vectors import png
from bctoolkit.vectors.metadata import exif
from tests.contract import plain

__all__ = ["WHITE", "OddFile", "odd_files"]

WHITE = 4095
SUFFIXES = ("", ".PNG", ".JFIF", ".jpg", ".Tiff", ".bmp", ".webp", ".dat", ".jpe")
"""Files take them in turn: none says what its file is."""
HEIGHT, WIDTH = 13, 18
TURNS = range(1, 9)
Pixels = NDArray[Any]
Made = Iterator[tuple[str, bytes, plain.Pixels]]
"""What it is, its content, and what it shows."""


class OddFile(NamedTuple):
    """A file, and what it shows."""

    name: str
    content: bytes
    shown: plain.Pixels
    """H×W×1 or 3, upright, opaque, of 8 bits."""


def odd_files() -> list[OddFile]:
    """All of them; the same each time."""
    made = [
        *_pillow_pngs(),
        *_deep_pngs(),
        *_jpegs(),
        *_tiffs(),
        *_deep_tiffs(),
        *_webps(),
        *_others(),
        *_with_profiles(),
    ]
    return [
        OddFile(f"{index:03}-{what}{SUFFIXES[index % len(SUFFIXES)]}", content, shown)
        for index, (what, content, shown) in enumerate(made)
    ]


def _noise(channels: int, below: int = 256, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, below, (HEIGHT, WIDTH, channels))


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _pictures() -> Iterator[tuple[str, Image.Image, plain.Pixels, dict[str, Any]]]:
    """One of each mode, what it shows, and options to save it with."""
    pixels = _noise(4).astype(np.uint8)
    grey, rgb, alpha = pixels[..., :1], pixels[..., :3], pixels[..., 3:]
    yield "bits", Image.fromarray(grey[..., 0] > 127), np.uint8(255) * (grey > 127), {}
    yield "grey", Image.fromarray(grey[..., 0]), grey, {}
    yield (
        "grey-alpha",
        Image.merge("LA", [Image.fromarray(pixels[..., i]) for i in (2, 3)]),
        plain.over_white(pixels[..., 2:3], alpha),
        {},
    )
    yield "rgb", Image.fromarray(rgb), rgb, {}
    yield "rgba", Image.fromarray(pixels), plain.over_white(rgb, alpha), {}
    palette = Image.fromarray(rgb).quantize(40)
    colours = np.array(palette.getpalette("RGB"), np.uint8).reshape(-1, 3)[np.asarray(palette)]
    yield "palette", palette, colours, {}
    clear = bytes(range(0, 240, 6))
    lies = plain.over_white(colours, np.frombuffer(clear, np.uint8)[np.asarray(palette)][..., None])
    yield "palette-alpha", palette, lies, {"transparency": clear}


def _pillow_pngs() -> Made:
    for what, image, shown, options in _pictures():
        for turn in TURNS:
            yield f"png-{what}", _saved(image, "PNG", exif=exif(turn)[6:], **options), plain.upright(shown, turn)


def _deep_pngs() -> Made:
    colours, alpha = _noise(3, WHITE + 1), _noise(1, 65_536, 1)
    opacity = plain.eight_bits(alpha, 65_535)
    for what, kind, count in (("rgb", png.RGB, 3), ("grey", png.GREY, 1)):
        deep = colours[..., :count]
        eight = plain.eight_bits(deep, WHITE)
        for turn in (1, 6):
            chunks = [(b"eXIf", exif(turn)[6:])]
            yield f"png-16-{what}", png.encode(deep, kind, 16, after=chunks), plain.upright(eight, turn)
            with_alpha = png.encode(np.dstack([deep, alpha]), kind + 4, 16, before=chunks, interlaced=True)
            yield f"png-16-{what}-alpha", with_alpha, plain.upright(plain.over_white(eight, opacity), turn)
        key = deep[3, 4].tolist()
        chunk = (b"tRNS", struct.pack(f">{count}H", *key))
        opaque = (deep != np.array(key)).any(2, keepdims=True) * 255
        yield f"png-16-{what}-key", png.encode(deep, kind, 16, before=[chunk]), plain.over_white(eight, opaque)
    for depth in (1, 2, 4):
        levels = _noise(1, 2**depth, depth)
        widened = levels * (255 // (2**depth - 1))
        yield f"png-{depth}", png.encode(levels, png.GREY, depth, interlaced=True), widened.astype(np.uint8)
        key_chunk = (b"tRNS", struct.pack(">H", 1))
        opaque = (levels != 1) * 255
        yield (
            f"png-{depth}-key",
            png.encode(levels, png.GREY, depth, before=[key_chunk]),
            plain.over_white(widened, opaque),
        )


def _jpegs() -> Made:
    pixels = _noise(3, seed=2).astype(np.uint8)
    for what, image in (("rgb", Image.fromarray(pixels)), ("grey", Image.fromarray(pixels[..., 0]))):
        for turn in TURNS:
            for progressive in (False, True):
                content = _saved(image, "JPEG", exif=exif(turn, big_endian=progressive), progressive=progressive)
                stored = np.asarray(Image.open(io.BytesIO(content)))
                yield f"jpeg-{what}", content, plain.upright(stored.reshape(HEIGHT, WIDTH, -1), turn)


def _tiffs() -> Made:
    for index, (what, image, shown, options) in enumerate(_pictures()):
        for turn in TURNS if not options else ():
            compression = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")[(turn + index) % 4]
            content = _saved(image, "TIFF", compression=compression, tiffinfo={274: turn})
            yield f"tiff-{what}", content, plain.upright(shown, turn)
    deep = _noise(1, WHITE + 1, 3)
    for turn in TURNS:
        content = _saved(Image.fromarray(deep[..., 0].astype(np.uint16)), "TIFF", tiffinfo={274: turn})
        eight = plain.eight_bits(deep, WHITE)
        yield "tiff-16-grey", content, plain.upright(eight, turn)


def _deep_tiffs() -> Made:
    """RGB of 16 bits in both orders of bytes, which Pillow reads and does not write."""
    deep = _noise(3, WHITE + 1, 4)
    eight = plain.eight_bits(deep, WHITE)
    for order, mark, packed in (("<", b"II", False), (">", b"MM", False), ("<", b"II", True), (">", b"MM", True)):
        data = deep.astype(f"{order}u2").tobytes()
        data = zlib.compress(data) if packed else data
        at = 8 + len(data)
        entries = [
            (256, 3, 1, WIDTH),
            (257, 3, 1, HEIGHT),
            (258, 3, 3, at),
            (259, 3, 1, 8 if packed else 1),
            (262, 3, 1, 2),
            (273, 4, 1, 8),
        ]
        entries += [(274, 3, 1, 3), (277, 3, 1, 3), (278, 3, 1, HEIGHT), (279, 4, 1, len(data))]
        directory = struct.pack(f"{order}3HH", 16, 16, 16, len(entries))
        for tag, kind, count, value in entries:
            short = kind == 3 and count == 1
            directory += struct.pack(f"{order}HHI" + ("HH" if short else "I"), tag, kind, count, value, *([0] * short))
        header = mark + struct.pack(f"{order}HI", 42, at + 6)
        yield "tiff-16-rgb", header + data + directory + bytes(4), plain.upright(eight, 3)


def _webps() -> Made:
    for what, image, shown, _ in _pictures():
        for turn in TURNS if what in ("rgb", "rgba") else ():
            content = _saved(image, "WEBP", lossless=True, exact=True, exif=exif(turn))
            yield f"webp-{what}", content, plain.upright(shown, turn)


def _with_profiles() -> Made:
    """Colours that a profile would make others: red and green change places in it."""
    pixels = _noise(3, seed=5).astype(np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"tmpX").replace(b"gXYZ", b"rXYZ").replace(b"tmpX", b"gXYZ")
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 95})):
        content = _saved(Image.fromarray(pixels), kind, icc_profile=swapped, **options)
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.info["icc_profile"] == swapped
            yield f"{kind.lower()}-profile", content, np.asarray(picture)


def _others() -> Made:
    for what, image, shown, options in _pictures():
        if what in ("bits", "grey", "rgb", "palette"):
            yield f"bmp-{what}", _saved(image, "BMP"), shown
        if what in ("grey", "palette"):
            yield f"gif-{what}", _saved(image, "GIF"), shown
        if what == "palette" and not options:
            index = int(np.asarray(image)[5, 5])
            opaque = (np.asarray(image) != index)[..., None] * 255
            yield "gif-clear", _saved(image, "GIF", transparency=index), plain.over_white(shown, opaque)
    for height, width in ((1, 1), (1, 40), (40, 1), (97, 61), (7, 180), (31, 32)):
        pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        yield "png-size", _saved(Image.fromarray(pixels), "PNG"), pixels
        yield "bmp-size", _saved(Image.fromarray(pixels), "BMP"), pixels
        yield "tiff-size", _saved(Image.fromarray(pixels), "TIFF"), pixels
