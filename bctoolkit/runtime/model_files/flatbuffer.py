"""The tables of a flatbuffer, read without its schema's generated code; no read leaves the file.

The format: https://flatbuffers.dev/internals.
"""

from collections.abc import Iterator
from functools import cache
from struct import Struct
from typing import NamedTuple

__all__ = ["INT8", "INT32", "MOST_TABLES", "UINT8", "UINT32", "UINT64", "Table", "root"]

INT8, UINT8, UINT16, INT32, UINT32, UINT64 = (Struct(f"<{kind}") for kind in "bBHiIQ")

MOST_TABLES = 100_000
"""Entries of a vector of tables: the same one may stand there many times, and each is read anew."""


class Table(NamedTuple):
    """A table in a file; every read is checked against the file's length."""

    content: bytes
    at: int
    slots: tuple[int, ...]
    """Offset of each field from `at`; 0 where it is left out."""

    def number(self, field: int, kind: Struct) -> int:
        """A number; 0 where it is left out."""
        slot = self.slots[field] if field < len(self.slots) else 0
        return _number(self.content, self.at + slot, kind) if slot else 0

    def follow(self, field: int) -> int | None:
        """Where a field's offset leads; None where it is left out."""
        slot = self.slots[field] if field < len(self.slots) else 0
        return _leads_to(self.content, self.at + slot) if slot else None

    def count(self, field: int) -> int:
        """Entries of a vector."""
        at = self.follow(field)
        return 0 if at is None else _number(self.content, at, UINT32)

    def numbers(self, field: int, most: int, kind: str = "i") -> tuple[int, ...]:
        """A vector of numbers of four or eight bytes."""
        at = self.follow(field)
        if at is None:
            return ()
        count = _number(self.content, at, UINT32)
        if count > most:
            raise ValueError(f"it has {count:,} numbers where at most {most} belong")
        return _unpacked(self.content, at + 4, Struct(f"<{count}{kind}"))

    def text(self, field: int, most: int) -> bytes:
        """A vector of bytes, or a string."""
        at = self.follow(field)
        if at is None:
            return b""
        count = _number(self.content, at, UINT32)
        if count > most or at + 4 + count > len(self.content):
            raise ValueError(f"it has {count:,} bytes of text; wanted at most {most:,}")
        return self.content[at + 4 : at + 4 + count]

    def tables(self, field: int) -> "Iterator[Table]":
        """A vector of tables."""
        at = self.follow(field)
        if at is None:
            return
        count = _number(self.content, at, UINT32)
        if count > MOST_TABLES:
            raise ValueError(f"it has {count:,} entries in one list; wanted at most {MOST_TABLES:,}")
        for index in range(count):
            yield _table(self.content, _leads_to(self.content, at + 4 + 4 * index))

    def table(self, field: int) -> "Table | None":
        """A table."""
        at = self.follow(field)
        return None if at is None else _table(self.content, at)


def root(content: bytes) -> Table:
    """The table that everything hangs from.

    Raises:
        ValueError: an offset leads out of the file, as in every method of a table.
    """
    return _table(content, _leads_to(content, 0))


def _table(content: bytes, at: int) -> Table:
    vtable = at - _number(content, at, INT32)
    size = _number(content, vtable, UINT16)
    if size < 4 or size % 2:
        raise ValueError("a table is damaged")
    return Table(content, at, _unpacked(content, vtable + 4, _slots(size // 2 - 2)))


@cache
def _slots(count: int) -> Struct:
    """The layout of so many offsets of fields; a count is at most 2¹⁵, and few are met."""
    return Struct(f"<{count}H")


def _leads_to(content: bytes, at: int) -> int:
    return at + _number(content, at, UINT32)


def _number(content: bytes, at: int, kind: Struct) -> int:
    return int(_unpacked(content, at, kind)[0])


def _unpacked(content: bytes, at: int, kind: Struct) -> tuple[int, ...]:
    if at < 0 or at + kind.size > len(content):
        raise ValueError("an offset leads out of it")
    return kind.unpack_from(content, at)
