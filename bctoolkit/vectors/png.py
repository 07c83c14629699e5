"""PNG files of every kind (ISO/IEC 15948:2004), of which Pillow writes only some."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["GREY", "GREY_ALPHA", "PALETTE", "RGB", "RGBA", "Chunk", "encode"]

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""Colour types."""

Chunk = tuple[bytes, bytes]
"""Name and content."""

ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Of each pass of an interlaced picture the first row and column, and the steps between them."""


def encode(
    samples: NDArray[Any],
    colour: int,
    depth: int = 8,
    *,
    interlaced: bool = False,
    before: Sequence[Chunk] = (),
    after: Sequence[Chunk] = (),
    pieces: int = 1,
    says: tuple[int, int] | None = None,
) -> bytes:
    """A PNG file; its rows take the five filters in turn.

    Args:
        samples: height × width × channels, whole numbers below 2**depth.
        colour: the colour type.
        depth: bits of a sample.
        interlaced: whether in seven passes.
        before: chunks in front of the pixels.
        after: chunks behind them.
        pieces: chunks that the pixels are spread over.
        says: width and height that the header states; by default the true ones.
    """
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", *(says or (width, height)), depth, colour, 0, 0, int(interlaced))
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    rows = b"".join(_filtered(samples[top::down, left::across], depth) for top, left, down, across in passes)
    packed = zlib.compress(rows, 9)
    step = -(-len(packed) // pieces)
    data = [(b"IDAT", packed[at : at + step]) for at in range(0, len(packed), step)]
    chunks = [(b"IHDR", header), *before, *data, *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, chunks))


def _chunk(chunk: Chunk) -> bytes:
    name, content = chunk
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _filtered(samples: NDArray[Any], depth: int) -> bytes:
    """The rows of a pass, each behind the number of its filter."""
    if samples.size == 0:
        return b""
    apart = max(1, samples.shape[2] * depth // 8)
    above = np.zeros(0, np.uint8)
    parts = []
    for number, row in enumerate(_packed(samples, depth)):
        above = above if above.size else np.zeros_like(row)
        parts.append(bytes([number % 5]) + _differences(number % 5, row, above, apart).tobytes())
        above = row
    return b"".join(parts)


def _packed(samples: NDArray[Any], depth: int) -> Iterator[NDArray[np.uint8]]:
    for row in samples.reshape(len(samples), -1):
        if depth >= 8:
            yield np.frombuffer(row.astype(">u2" if depth == 16 else np.uint8).tobytes(), np.uint8)
        else:
            bits = row[:, None] >> np.arange(depth - 1, -1, -1) & 1
            yield np.packbits(bits.astype(np.uint8))


def _differences(kind: int, row: NDArray[np.uint8], above: NDArray[np.uint8], apart: int) -> NDArray[np.uint8]:
    """A row as a filter stores it."""
    a, b = _shifted(row, apart), above.astype(int)
    c = _shifted(above, apart)
    guess = a + b - c
    distances = np.stack([abs(guess - a), abs(guess - b), abs(guess - c)])
    paeth = np.choose(distances.argmin(0), [a, b, c])  # of equals the first, as the standard wants it
    predicted = (np.zeros_like(b), a, b, (a + b) // 2, paeth)[kind]
    return (row - predicted).astype(np.uint8)


def _shifted(row: NDArray[np.uint8], apart: int) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(apart, np.int64), row.astype(np.int64)])[: len(row)]
