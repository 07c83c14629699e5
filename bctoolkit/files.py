"""Files that are either whole or absent: atomic writes, atomic folders, content hashes."""

import hashlib
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from bctoolkit.errors import RecipeError

__all__ = ["atomic_folder", "sha256_bytes", "sha256_file", "write_atomically"]


def sha256_bytes(content: bytes) -> str:
    """SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` beside `path` and rename it into place, so that no reader ever sees half of it."""
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    data = content.encode() if isinstance(content, str) else content
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path, marker: str) -> Iterator[Path]:
    """Yield an empty hidden folder beside `target`; it takes `target`'s place when the block ends without an error.

    A block that fails, or is interrupted by Ctrl-C or SIGTERM, leaves nothing behind and an earlier `target` untouched.
    After SIGKILL the hidden folder stays until the next write to the same target removes it.

    Args:
        target: the folder to make.
        marker: a file that every such folder holds. A `target` that exists is replaced only if it is empty or holds it.

    Raises:
        RecipeError: `target` is something else; it is left alone.
    """
    if target.exists() and not _is_replaceable(target, marker):
        raise RecipeError(f"{target} exists and is not one of ours (it holds no {marker}); choose another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    partial.mkdir()
    try:
        with _sigterm_as_interrupt():
            yield partial
        _replace_folder(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_replaceable(target: Path, marker: str) -> bool:
    return target.is_dir() and ((target / marker).is_file() or not any(target.iterdir()))


def _replace_folder(partial: Path, target: Path) -> None:
    """Rename `partial` to `target`; the folder that stood there goes only once the new one stands."""
    if not target.exists():
        partial.rename(target)
        return
    old = target.with_name(f".{target.name}.replaced-{os.getpid()}")
    target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _remove_abandoned(target: Path) -> None:
    """Remove hidden folders of earlier writers of `target` that no longer run."""
    for kind in ("partial", "replaced"):
        for folder in target.parent.glob(f".{target.name}.{kind}-*"):
            pid = folder.name.rpartition("-")[2]
            if pid.isdigit() and (int(pid) == os.getpid() or not _is_alive(int(pid))):
                shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that clean-up runs; only the main thread may ask for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, before)
