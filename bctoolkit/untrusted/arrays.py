"""Arrays of others: `.npy` and `.npz` in which the form is known, and bounded, before a value is read.

The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Its header is a dictionary in
Python's notation; it is matched, not evaluated.
"""

import io
import math
import re
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bctoolkit.errors import BctkError
from bctoolkit.untrusted.archives import open_archive, open_member

__all__ = ["UNREADABLE", "ArraySpec", "Header", "read_array", "read_header", "read_npz"]

MAGIC = b"\x93NUMPY"
LENGTHS = {(1, 0): "<H", (2, 0): "<I", (3, 0): "<I"}
"""Version of the format → how the length of the header is stored."""

LONGEST_HEADER = 10_000
"""Bytes, as in numpy."""

MOST_AXES, MOST_DIGITS = 32, 18

UNREADABLE = "a header that cannot be read, or of objects, which are never loaded"

ENTRY = re.compile(
    rb"""\s*(['"])(descr|fortran_order|shape)\1\s*:\s*"""
    rb"""(?:(['"])([<>|=]?[biufcSU?]\d{0,6})\3|(True|False)|\(([\dL,\s]*)\))\s*(?:,|$)"""
)


class Header(NamedTuple):
    """What an `.npy` says of its values."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    """Of numbers, booleans or text: never of objects, records or dates."""
    fortran: bool
    """Whether the first axis runs fastest."""

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize


class ArraySpec(NamedTuple):
    """What an array has to be."""

    shape: tuple[int | None, ...]
    """None where an axis may have any length."""
    dtype: str
    """As numpy writes it: `|u1`, `<f4`, `<i8`."""

    def fault(self, header: Header) -> str | None:
        """What speaks against an array; None where it fits."""
        fits = len(header.shape) == len(self.shape) and all(
            wanted is None or wanted == found for wanted, found in zip(self.shape, header.shape, strict=True)
        )
        if fits and header.dtype == np.dtype(self.dtype):
            return None
        wanted = "×".join("N" if axis is None else str(axis) for axis in self.shape)
        found = "×".join(map(str, header.shape)) or "one value"
        return f"{found} {header.dtype}; wanted {wanted} {np.dtype(self.dtype)}"


def read_header(stream: BinaryIO) -> Header:
    """The header of an `.npy`; leaves the stream at the first value.

    Raises:
        ValueError: not an `.npy`, cut short, or of another kind of values than `Header.dtype` says.
    """
    start = stream.read(len(MAGIC) + 2)
    if start[: len(MAGIC)] != MAGIC or len(start) < len(MAGIC) + 2:
        raise ValueError("not in the .npy format")
    version = (start[-2], start[-1])
    if version not in LENGTHS:
        raise ValueError(f"version {version[0]}.{version[1]} of the .npy format; wanted 1.0, 2.0 or 3.0")
    stored = stream.read(struct.calcsize(LENGTHS[version]))
    if len(stored) < struct.calcsize(LENGTHS[version]):
        raise ValueError("cut short within its header")
    (length,) = struct.unpack(LENGTHS[version], stored)
    if length > LONGEST_HEADER:
        raise ValueError(f"a header of {length:,} bytes; wanted at most {LONGEST_HEADER:,}")
    text = stream.read(length)
    if len(text) < length:
        raise ValueError("cut short within its header")
    return _header(text)


def read_array(stream: BinaryIO, header: Header, most: int) -> NDArray[Any]:
    """The values behind a header, all that is left of the stream.

    Args:
        stream: at the first value.
        header: of the array.
        most: bytes that the values may take.

    Raises:
        ValueError: more than `most`, or not as many bytes as the header says.
    """
    if header.size > most:
        raise ValueError(f"{header.size:,} bytes of values; wanted at most {most:,}")
    content = stream.read(header.size)
    if len(content) < header.size or stream.read(1):
        raise ValueError(f"not the {header.size:,} bytes of values that its header says")
    flat = np.frombuffer(content, header.dtype)
    return flat.reshape(header.shape, order="F" if header.fortran else "C")


def read_npz(
    content: bytes, specs: Mapping[str, ArraySpec], source: str, error: type[BctkError], *, most: int
) -> dict[str, NDArray[Any]]:
    """The arrays of an `.npz`, which holds these and no others.

    Args:
        content: of the file.
        specs: name → what the array has to be.
        source: what to call the file in a message.
        error: what to raise.
        most: bytes that all values together may take.

    Returns:
        The arrays by name; they cannot be written to.

    Raises:
        BctkError: of class `error`: anything else; nothing is unpacked beyond its header before that is known.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with open_archive(io.BytesIO(content), source, error, most_members=len(specs)) as archive:
        for name, spec in specs.items():
            with open_member(archive, f"{name}.npy") as stream:
                try:
                    header = read_header(stream)
                    fault = spec.fault(header)
                    if fault is not None:
                        raise ValueError(fault)
                    arrays[name] = read_array(stream, header, most)
                except ValueError as problem:
                    raise error(f"{source}: {name!r}: {problem}") from None
            most -= arrays[name].nbytes
    return arrays


def _header(text: bytes) -> Header:
    """Match a header: three entries in any order, with text, a truth value and a tuple of whole numbers."""
    inside = text.strip()
    if not (inside.startswith(b"{") and inside.endswith(b"}")):
        raise ValueError("a header that is no dictionary")
    inside, found, at = inside[1:-1].strip(), dict[bytes, re.Match[bytes]](), 0
    while at < len(inside):
        match = ENTRY.match(inside, at)
        if match is None or match[2] in found:
            raise ValueError(UNREADABLE)
        found[match[2]], at = match, match.end()
    try:
        descr, flag, axes = found[b"descr"][4], found[b"fortran_order"][5], found[b"shape"][6]
        shape = tuple(_whole(axis.strip()) for axis in axes.split(b",") if axis.strip())
        dtype = np.dtype(descr.decode())
    except (KeyError, AttributeError, TypeError, ValueError):  # an entry is missing, or of another kind
        raise ValueError(UNREADABLE) from None
    if len(shape) > MOST_AXES:
        raise ValueError(f"{len(shape)} axes; wanted at most {MOST_AXES}")
    return Header(shape, dtype, flag == b"True")


def _whole(digits: bytes) -> int:
    """The length of an axis, which Python 2 ended in an L."""
    if len(digits) > MOST_DIGITS:
        raise ValueError(UNREADABLE)
    return int(digits.removesuffix(b"L"))
