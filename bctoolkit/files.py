"""Files and folders that are either whole or absent, and content hashes.

What is being written lies hidden beside its target, and its writer holds a lock on it (flock): whoever else can take
that lock knows it for abandoned, also from another container on the same volume, to which a process id says nothing.
"""

import errno
import fnmatch
import glob
import hashlib
import os
import re
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from bctoolkit.errors import RecipeError
from bctoolkit.locks import closing, holder_of, lock_of

__all__ = [
    "NO_ROOM",
    "atomic_file",
    "atomic_folder",
    "atomic_path",
    "copy_files",
    "in_use",
    "require_readable",
    "resumable_folder",
    "scratch_folder",
    "sha256_bytes",
    "sha256_file",
    "sha256_folder",
    "sigterm_as_interrupt",
    "unfinished",
    "without_empty_folders",
]


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""What a disk answers that takes no more; such an error of a write does not say which disk it was."""
SCRATCH = "bctk-scratch-"


def sha256_bytes(content: bytes) -> str:
    """SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_folder(folder: Path) -> str:
    """SHA-256 of the names and contents of the files below a folder, in hexadecimal."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()}\0{sha256_file(path)}\0".encode())
    return total.hexdigest()


def atomic_file(path: Path, content: bytes) -> None:
    """Write `content` to `path` as `atomic_path` does."""
    with atomic_path(path) as partial:
        partial.write_bytes(content)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a hidden path beside `path` to write a file to; it takes `path`'s place if the block ends without an error.

    A kill at any moment leaves the earlier file or the new one, whole; the next write to the same path clears away what
    else it left.

    Raises:
        OSError: the disk does not take it; names `path`.
    """
    _clear_abandoned(path)
    with _naming(path), _held_new(path, _new_file) as partial:
        try:
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _new_file(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))


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
            with in_use(folder):
                for name, content in begin_with.items():
                    atomic_file(folder / name, content)
                yield
        except BaseException:
            if not is_resumable():
                _remove_all(folder)
                _remove_empty(missing)
            raise


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Hold a folder of unfinished work while the block works on it.

    Raises:
        RecipeError: another process holds it.
    """
    lock = lock_of(folder, wait=False)
    if lock is None:
        raise RecipeError(f"{folder} is in use: {holder_of(folder)} works on it; wait until it ends, or stop it")
    with closing(lock):
        yield


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder for temporary files; what killed processes left of theirs is cleared away first.

    Raises:
        OSError: the disk does not take them; names the folder.
    """
    beside = Path(tempfile.gettempdir(), SCRATCH)
    for folder in beside.parent.glob(f"{SCRATCH}*"):
        if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
            _if_abandoned(folder, _remove_all)
    with _naming(beside.parent), _held_new(beside, lambda path: path.mkdir(0o700), "{name}{token}") as folder:
        try:
            yield folder
        finally:
            _remove_all(folder)


@contextmanager
def atomic_folder(target: Path, marker: str, others: Collection[str]) -> Iterator[Path]:
    """Yield an empty hidden folder beside `target`; it takes `target`'s place when the block ends without an error.

    A block that fails, or is interrupted by Ctrl-C or SIGTERM, leaves nothing behind and an earlier `target` untouched.
    What SIGKILL leaves hidden, the next write to the same target clears away or, where the earlier folder had already
    been moved aside, puts back.

    Args:
        target: the folder to make.
        marker: a file that every such folder holds.
        others: patterns of the names of all else in it. A `target` that exists is replaced only if it is empty, or
            holds `marker` and nothing but what the patterns fit.

    Raises:
        RecipeError: `target` is something else, or holds something else too; it is left alone.
        OSError: the disk does not take it; names `target`.
    """
    target = target.absolute()
    _clear_abandoned(target)
    _require_replaceable(target, marker, others)
    missing = [parent for parent in target.parents if not parent.exists()]
    try:
        with (
            sigterm_as_interrupt(),
            _naming(target),
            _held_new(target, lambda path: path.mkdir(parents=True)) as partial,
        ):
            try:
                yield partial
                _replace_folder(partial, target)
            except BaseException:
                _remove_all(partial)
                raise
    except BaseException:
        _remove_empty(missing)
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


@contextmanager
def _naming(target: Path) -> Iterator[None]:
    """Let an error of the disk name `target`, and not nothing, or what is hidden beside it."""
    try:
        yield
    except OSError as problem:
        if problem.filename2 is not None:  # of a copy, which fails where it goes to
            problem.filename, problem.filename2 = problem.filename2, None
        if problem.filename is None and problem.errno in NO_ROOM:
            problem.filename = str(target)
        elif isinstance(problem.filename, str | Path):
            hidden = rf"\.{re.escape(target.name)}\.partial-\w+"
            problem.filename = re.sub(hidden, lambda _: target.name, str(problem.filename))
        raise


@contextmanager
def _held_new(target: Path, make: Callable[[Path], None], name: str = ".{name}.partial-{token}") -> Iterator[Path]:
    """Yield a new path beside `target`, of a name nobody else has, with its lock held."""
    lock = None
    while lock is None:  # between these two lines another process may take it for abandoned
        path = target.with_name(name.format(name=target.name, token=secrets.token_hex(4)))
        make(path)
        lock = lock_of(path)
    with closing(lock):
        yield path


def _if_abandoned(path: Path, act: Callable[[Path], None]) -> None:
    """Act on what no process holds, holding it meanwhile."""
    with suppress(OSError):  # not ours to open
        lock = lock_of(path, wait=False)
        if lock is not None and lock >= 0:
            with closing(lock):
                act(path)


def require_readable(folder: Path) -> None:
    """Refuse a folder that cannot be listed, which looks empty to a search; one that does not exist is only empty.

    Raises:
        OSError: it names the folder.
    """
    if os.path.lexists(folder):
        os.scandir(folder).close()


def copy_files(source: Path, target: Path) -> None:
    """Make the folder `target` with copies of the files directly in `source`.

    Raises:
        OSError: of the first file that cannot be copied, where `shutil.copytree` goes on and lists them all.
    """
    target.mkdir()
    for path in sorted(source.iterdir()):
        shutil.copyfile(path, target / path.name)


def _remove_all(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, inner ones first, as far as they are empty."""
    for folder in folders:
        with suppress(OSError):  # another writer may be using it by now
            folder.rmdir()


def _require_replaceable(target: Path, marker: str, others: Collection[str]) -> None:
    """Refuse to replace what this tool did not write, or what somebody has put beside it."""
    try:
        entries = list(os.scandir(target))  # once: another writer may just be putting its own there
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise RecipeError(f"{target} exists and is no folder; choose another name") from None
    if entries and not any(entry.name == marker and entry.is_file() for entry in entries):
        raise RecipeError(f"{target} exists and is not one of ours (it holds no {marker}); choose another folder")
    for name in sorted(entry.name for entry in entries):
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in (marker, *others)):
            raise RecipeError(f"{target} would be replaced, but holds {name}, which is not ours; move it elsewhere")


def _replace_folder(partial: Path, target: Path) -> None:
    """Rename `partial` to `target`; the folder that stood there goes only once the new one stands."""
    while not _takes_place(partial, target):  # another writer has put its own there meanwhile
        lock = lock_of(target)
        if lock is None:
            continue
        with closing(lock):
            old = target.with_name(partial.name.replace(".partial-", ".replaced-"))
            target.rename(old)
            try:
                is_done = _takes_place(partial, target)
            except BaseException:
                old.rename(target)
                raise
            _remove_all(old)
        if is_done:
            return


def _takes_place(partial: Path, target: Path) -> bool:
    """Rename a folder to `target`, unless something stands there."""
    try:
        if not target.exists():
            partial.rename(target)
            return True
    except OSError as problem:
        if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
    return False


def _clear_abandoned(target: Path) -> None:
    """Put back or remove what earlier writers of `target` that no longer run left hidden beside it."""
    for kind, act in (("replaced", _put_back), ("partial", _remove_all)):
        for path in target.parent.glob(f".{glob.escape(target.name)}.{kind}-*"):
            if re.fullmatch("[0-9a-f]{8}", path.name.rpartition("-")[2]):
                _if_abandoned(path, act)


def _put_back(path: Path) -> None:
    """What had been moved aside takes its place again, unless something new stands there."""
    target = path.with_name(path.name[1:].rpartition(".replaced-")[0])
    if target.exists():
        _remove_all(path)
    else:
        path.rename(target)


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
