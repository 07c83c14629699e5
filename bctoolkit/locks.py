"""Locks on files and folders that a process holds and no file: whoever crashes holds none (flock)."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["closing", "holder_of", "lock_of"]

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system answers that has no locks: nothing there is ever taken for abandoned."""


@contextmanager
def closing(lock: int) -> Iterator[None]:
    """Give a lock of `lock_of` back at the end."""
    try:
        yield
    finally:
        if lock >= 0:
            os.close(lock)


def lock_of(path: Path, wait: bool = True) -> int | None:
    """Take the lock of a file or folder that exists.

    Returns:
        A descriptor, which holds the lock until it is closed; -1 where there are no locks; None where another process
        holds it, or `path` has become something else meanwhile.
    """
    try:
        import fcntl  # not on Windows
    except ImportError:
        return -1
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as problem:
        if problem.errno in NO_LOCKS:
            os.close(descriptor)
            return -1
        raise
    os.close(descriptor)
    return None


def holder_of(path: Path) -> str:
    """Which process holds the lock of a file or folder, as far as the system tells: Linux lists them."""
    with suppress(OSError, ValueError):
        status = path.stat()
        place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            _, kind, _, _, process, locked, *_ = line.split()
            if (kind, locked) == ("FLOCK", place) and int(process) > 0:  # 0 or less: of another container
                return f"process {process}"
    return "another process"
