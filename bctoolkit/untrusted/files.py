"""Open regular files only, and read no more than a stated size."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from bctoolkit.errors import BctkError

__all__ = ["open_regular", "read_bounded"]

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
"""A file that is replaced by a pipe after it was looked at must not keep the process waiting for a writer."""


def open_regular(
    path: Path, error: type[BctkError], *, most: int | None = None, within: Path | None = None
) -> BinaryIO:
    """Open a file for reading, or the one that a link leads to.

    Args:
        path: of the file.
        error: what to raise.
        most: bytes that it may have; not bounded by default.
        within: the folder that holds what `path` leads to in the end; by default a link may lead anywhere.

    Raises:
        BctkError: of class `error`: there is none, it cannot be opened, is no regular file, larger than `most`, or
            lies outside `within`.
    """
    try:
        target = path if within is None else _inside(path, within, error)
        _require_regular(path, os.stat(target), error)  # before it is opened: opening a device can set it off
        file = os.fdopen(os.open(target, os.O_RDONLY | WITHOUT_WAITING), "rb")
    except (OSError, ValueError, RuntimeError) as problem:
        raise error(f"{_shown(path)}: {_reason(problem)}") from None
    try:
        status = os.fstat(file.fileno())
        _require_regular(path, status, error)
        if most is not None and status.st_size > most:
            raise error(f"{path}: {status.st_size:,} bytes; wanted at most {most:,}")
    except BaseException:
        file.close()
        raise
    return file


def read_bounded(path: Path, most: int, error: type[BctkError], *, within: Path | None = None) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Args:
        path: of the file.
        most: bytes; a larger file is refused before anything of it is read.
        error: what to raise.
        within: see `open_regular`.

    Raises:
        BctkError: of class `error`: see `open_regular`; or it cannot be read, or changes meanwhile.
    """
    with open_regular(path, error, most=most, within=within) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            content = file.read(size)
            if content is None or len(content) != size or file.read(1):
                raise error(f"{path}: is being changed; read it again when it is whole")
        except OSError as problem:
            raise error(f"{path}: {_reason(problem)}") from None
        except MemoryError:
            raise error(f"{path}: {size:,} bytes do not fit into memory") from None
    return content


def _inside(path: Path, folder: Path, error: type[BctkError]) -> Path:
    target = path.resolve(strict=True)
    if not target.is_relative_to(folder.resolve(strict=True)):
        raise error(f"{path}: is a link to a file outside {folder}; put the file itself there")
    return target


def _require_regular(path: Path, status: os.stat_result, error: type[BctkError]) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for test, name in KINDS if test(status.st_mode)), "something else")
        raise error(f"{path}: is {kind}, not a file")


def _reason(problem: Exception) -> str:
    if isinstance(problem, ValueError):
        return "no file can have this name"
    if isinstance(problem, OSError):
        return "no such file" if problem.errno == errno.ENOENT else problem.strerror or str(problem)
    return "a link that leads round in a circle"  # RuntimeError of Path.resolve, until Python 3.13


def _shown(path: Path) -> str:
    text = str(path)
    return text.replace("\0", "\\0") if len(text) <= 4096 else f"{text[:100]}…"
