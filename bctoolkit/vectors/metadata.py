"""What files say of their pixels: Exif blocks, and a colour profile that nobody could overlook."""

import struct
import zlib

from bctoolkit.vectors.png import Chunk

__all__ = ["colour_profile", "exif", "profile_chunk"]


def exif(orientation: int, *, big_endian: bool = False, entries: int = 1) -> bytes:
    """An Exif block with an orientation; one that promises more `entries` than it has is damaged."""
    order, mark = (">", b"MM\0*") if big_endian else ("<", b"II*\0")
    directory = struct.pack(f"{order}HHHIHH", entries, 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + mark + struct.pack(f"{order}I", 8) + directory + struct.pack(f"{order}I", 0)


def colour_profile() -> bytes:
    """An ICC profile (ICC.1:2001-04) of linear light with red and blue exchanged: who applies it gets other colours."""
    columns = {b"rXYZ": (0.1431, 0.0606, 0.7141), b"gXYZ": (0.3851, 0.7169, 0.0971), b"bXYZ": (0.4360, 0.2225, 0.0139)}
    tags = {name: b"XYZ \0\0\0\0" + b"".join(map(_fixed, values)) for name, values in columns.items()}
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + b"".join(map(_fixed, (0.9642, 1.0, 0.8249)))
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), b"curv\0\0\0\0" + struct.pack(">I", 0))
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", 8) + b"swapped\0" + bytes(78)
    tags[b"cprt"] = b"text\0\0\0\0" + b"none\0"
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = (
        bytes(4) + struct.pack(">I", 0x02400000) + b"mntrRGB XYZ " + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp"
    )
    head = (head + bytes(28) + b"".join(map(_fixed, (0.9642, 1.0, 0.8249)))).ljust(124, b"\0")
    return struct.pack(">I", 128 + len(table) + len(data)) + head + table + data


def profile_chunk() -> Chunk:
    """The same for a PNG."""
    return b"iCCP", b"swapped\0\0" + zlib.compress(colour_profile())


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65_536))
