"""Which way up a picture is to be shown: Exif's Orientation (CIPA DC-008-2019, 4.6.4), and nothing else of Exif."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["orientation", "turned"]

PREFIX = b"Exif\0\0"
BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
TAG, SHORT, ENTRY_BYTES = 0x0112, 3, 12
UPRIGHT = 1


def orientation(exif: bytes) -> int:
    """The orientation that an Exif block states, 1 to 8.

    Args:
        exif: a TIFF header and its directory, with or without `Exif` in front. Of the first directory the first entry
            of that tag counts if it lies wholly in the block and is one SHORT from 1 to 8; whatever else is said, or is
            damaged, counts as 1.
    """
    block = exif.removeprefix(PREFIX)
    order = BYTE_ORDERS.get(block[:4])
    if order is None or len(block) < 8:
        return UPRIGHT
    (at,) = struct.unpack_from(f"{order}I", block, 4)
    if at + 2 > len(block):
        return UPRIGHT
    (count,) = struct.unpack_from(f"{order}H", block, at)
    for entry in range(at + 2, min(at + 2 + count * ENTRY_BYTES, len(block) - ENTRY_BYTES + 1), ENTRY_BYTES):
        tag, kind, length, value = struct.unpack_from(f"{order}HHIH", block, entry)
        if tag == TAG:
            return value if (kind, length) == (SHORT, 1) and 1 <= value <= 8 else UPRIGHT
    return UPRIGHT


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """A picture as it is to be shown.

    Args:
        pixels: height × width × channels, as stored.
        orientation: 1 to 8.

    Returns:
        The same, or a copy that is mirrored or turned by a multiple of 90°.
    """
    if orientation == UPRIGHT:
        return pixels
    shown = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(shown[::down, ::across])
