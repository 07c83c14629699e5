"""Zip archives of others: how many members there are is known before their list is read, and each is bounded.

The format: PKWARE, APPNOTE.TXT, the .ZIP file format specification, 4.3.
"""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from bctoolkit.errors import BctkError

__all__ = ["open_archive", "open_member"]

END, END_SIZE, LONGEST_COMMENT = b"PK\x05\x06", 22, 0xFFFF
END_64, LOCATOR_64 = b"PK\x06\x06", b"PK\x06\x07"
LOCATOR_SIZE, END_64_SIZE = 20, 56
ENCRYPTED = 0x1 | 0x40 | 0x2000
"""Flags of a member: encrypted, strongly encrypted, its header masked."""

LIST_BYTES = 1024
"""Of the list of members, for each of them: names and extra fields are short."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextmanager
def open_archive(
    file: BinaryIO, source: str, error: type[BctkError], *, most_members: int
) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive whose members are all stored or deflated, in the clear, and named once.

    Whatever `zipfile` and `zlib` raise in the block is translated too.

    Args:
        file: the archive, seekable.
        source: what to call it in a message.
        error: what to raise.
        most_members: members it may have.

    Raises:
        BctkError: of class `error`: it is no such archive.
    """
    try:
        _require_short_list(file, most_members)
        with zipfile.ZipFile(file) as archive:
            _require_plain(archive)
            yield archive
    except BctkError:
        raise
    except RecursionError:
        raise
    except MemoryError:
        raise error(f"{source}: does not fit into memory") from None
    except (
        *(OSError, ValueError, EOFError, RuntimeError, KeyError, IndexError, OverflowError, struct.error),
        *(zipfile.BadZipFile, zlib.error),
    ) as problem:
        raise error(f"{source}: cannot be read as a zip archive ({_one_line(problem)})") from None


def open_member(archive: zipfile.ZipFile, name: str) -> BinaryIO:
    """The unpacked bytes of a member; its checksum is compared when the last of them is read.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in archive.NameToInfo:
        raise ValueError(f"it holds no {name}; it holds {', '.join(archive.namelist()) or 'nothing'}")
    return archive.open(name)  # type: ignore[return-value]  # typed as IO[bytes]


def _require_short_list(file: BinaryIO, most_members: int) -> None:
    """Refuse an archive before the list of its members is read, where that is longer than it can be."""
    size = file.seek(0, os.SEEK_END)
    tail_size = min(size, END_SIZE + LONGEST_COMMENT)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    at = tail.rfind(END)
    if at < 0 or at + END_SIZE > len(tail):
        raise ValueError("it has no end record")
    count, list_size = struct.unpack_from("<HI", tail, at + 10)
    locator = tail[max(0, at - LOCATOR_SIZE) : at]
    if locator.startswith(LOCATOR_64):
        file.seek(int(struct.unpack_from("<Q", locator, 8)[0]))
        record = file.read(END_64_SIZE)
        if len(record) < END_64_SIZE or not record.startswith(END_64):
            raise ValueError("its 64-bit end record is damaged")
        count, list_size = struct.unpack_from("<QQ", record, 32)
    if count > most_members or list_size > most_members * LIST_BYTES:
        raise ValueError(f"{count:,} members in a list of {list_size:,} bytes; wanted at most {most_members}")


def _require_plain(archive: zipfile.ZipFile) -> None:
    names = set[str]()
    for info in archive.infolist():
        if info.filename in names:
            raise ValueError(f"{info.filename!r} is there twice")
        names.add(info.filename)
        if info.flag_bits & ENCRYPTED:
            raise ValueError(f"{info.filename!r} is encrypted")
        if info.compress_type not in METHODS:
            raise ValueError(f"{info.filename!r} is packed by method {info.compress_type}; wanted stored or deflated")


def _one_line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:200] or type(problem).__name__
