"""Files and folders that are either whole or absent, and content hashes."""

import glob
import hashlib
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from bctoolkit.errors import RecipeError

__all__ = [
    "atomic_file",
    "atomic_folder",
    "atomic_path",
    "resumable_folder",
    "sha256_bytes",
    "sha256_file",
    "sigterm_as_interrupt",
    "unfinished",
    "without_empty_folders",
]


def sha256_bytes(content: bytes) -> str:
    """SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def atomic_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`; a kill at any moment leaves the earlier file or the new one, whole."""
    with atomic_path(path) as partial:
        partial.write_bytes(content)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a hidden path beside `path` to write a file to; it takes `path`'s place if the block ends without an error.

    A kill at any moment leaves the earlier file or the new one, whole; the next write to the same path clears away what
    else it left.
    """
    _clear_abandoned(path)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def unfinished(target: Path) -> Path:
    """The hidden folder beside `target` that keeps what long work has reached until it is finished."""
    target = target if target.name else target.absolute()  # "." has no name of its own
    return target.with_name(f".{target.name}.unfinished")


@contextmanager
def resumable_folder(folder: Path, begin_with: Mapping[str, bytes], is_resumable: Callable[[], bool]) -> Iterator[None]:
    """Make the folder in which long work keeps its state; a block that fails leaves it only if it can be resumed.

    Args:
        folder: the folder to make, with its parents.
        begin_with: files to write first, by name.
        is_resumable: whether the folder holds something to resume from; where not, it is removed, and so are the
            parents that were made for it.

    Raises:
        FileExistsError: `folder` exists.
    """
    missing = [parent for parent in folder.parents if not parent.exists()]
    with sigterm_as_interrupt():
        folder.mkdir(parents=True)
        try:
            for name, content in begin_with.items():
                atomic_file(folder / name, content)
            yield
        except BaseException:
            if not is_resumable():
                _remove(folder, missing)
            raise


@contextmanager
def atomic_folder(target: Path, marker: str) -> Iterator[Path]:
    """Yield an empty hidden folder beside `target`; it takes `target`'s place when the block ends without an error.

    A block that fails, or is interrupted by Ctrl-C or SIGTERM, leaves nothing behind and an earlier `target` untouched.
    What SIGKILL leaves hidden, the next write to the same target clears away or, where the earlier folder had already
    been moved aside, puts back.

    Args:
        target: the folder to make.
        marker: a file that every such folder holds. A `target` that exists is replaced only if it is empty or holds it.

    Raises:
        RecipeError: `target` is something else; it is left alone.
    """
    target = target.absolute()
    _clear_abandoned(target)
    if target.exists() and not _is_replaceable(target, marker):
        raise RecipeError(f"{target} exists and is not one of ours (it holds no {marker}); choose another folder")
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    missing = [parent for parent in target.parents if not parent.exists()]
    with sigterm_as_interrupt():
        try:
            partial.mkdir(parents=True)
            yield partial
            _replace_folder(partial, target)
        except BaseException:
            _remove(partial, missing)
            raise


@contextmanager
def without_empty_folders(*folders: Path) -> Iterator[None]:
    """Whatever becomes of the block, leave no empty folder of these, or of their parents, that was not there before."""
    missing = [each for folder in folders for each in (folder, *folder.parents) if not each.exists()]
    try:
        yield
    finally:
        for folder in sorted(missing, key=lambda each: -len(each.parts)):
            with suppress(OSError):  # it holds something, or was never made
                folder.rmdir()


def _remove(folder: Path, parents: list[Path]) -> None:
    """Remove a folder, then its `parents`, inner ones first, as far as they are empty."""
    shutil.rmtree(folder, ignore_errors=True)
    for parent in parents:
        with suppress(OSError):  # another writer may be using it by now
            parent.rmdir()


def _is_replaceable(target: Path, marker: str) -> bool:
    return target.is_dir() and ((target / marker).is_file() or not any(target.iterdir()))


def _replace_folder(partial: Path, target: Path) -> None:
    """Rename `partial` to `target`; the folder that stood there goes only once the new one stands."""
    if not target.exists():
        partial.rename(target)
        return
    old = target.with_name(f".{target.name}.replaced-{os.getpid()}")
    target.rename(old)
    try:
        partial.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _clear_abandoned(target: Path) -> None:
    """Put back or remove what earlier writers of `target` that no longer run left hidden beside it."""
    for kind in ("replaced", "partial"):
        for path in target.parent.glob(f".{glob.escape(target.name)}.{kind}-*"):
            pid = path.name.rpartition("-")[2]
            if not pid.isdecimal() or (int(pid) != os.getpid() and _is_alive(int(pid))):
                continue
            if kind == "replaced" and not target.exists():
                path.rename(target)
            elif path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
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
        signal.signal(signal.SIGTERM, before)
