"""How image files are damaged: files of every kind that Pillow writes, with other bytes, sizes and ends."""

import io

import numpy as np
from PIL import Image

from tests.fuzz.mutations import damaged_bytes, damaged_header

__all__ = ["damaged_image"]

KINDS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP") * 3 + (
    "AVIF",
    "DDS",
    "EPS",
    "JPEG2000",
    "ICO",
    "PPM",
    "TGA",
    "SGI",
)
MODES = ("RGB",) * 6 + ("L", "P", "RGBA", "1", "CMYK", "I;16")


def damaged_image(rng: np.random.Generator) -> bytes:
    """A small picture of some kind, damaged or not."""
    kind = str(rng.choice(KINDS))
    content = _encoded(rng, kind)
    how = int(rng.integers(0, 6))
    if how == 0:
        return content
    if how <= 2:
        return damaged_bytes(rng, content)
    if how <= 4:
        return damaged_header(rng, content, 64)
    return content[: int(rng.integers(0, len(content)))]


def _encoded(rng: np.random.Generator, kind: str) -> bytes:
    side = int(rng.choice([16, 32, 200]))
    picture = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).convert(
        str(rng.choice(MODES[:-1]))
    )
    options: dict[str, object] = {}
    if kind == "JPEG":
        options = {"progressive": bool(rng.integers(0, 2)), "exif": b"Exif\0\0II*\0" + rng.bytes(40)}
    elif kind == "TIFF":
        options = {"compression": str(rng.choice(["raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"]))}
    buffer = io.BytesIO()
    try:
        picture.save(buffer, kind, **options)
    except (OSError, ValueError, KeyError):  # this kind has no such mode
        buffer = io.BytesIO()
        picture.convert("RGB").save(buffer, kind)
    return buffer.getvalue()
