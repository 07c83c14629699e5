"""Which self-tests have passed on this machine: a small file each, in the user's cache folder.

A file is believed only if it is, byte for byte, what would be written now; nothing in it is interpreted. Without a
folder that only this user can write to, nothing is remembered and each start tests anew.
"""

import os
import stat
from pathlib import Path

from bctoolkit.documents import Document, to_json
from bctoolkit.files import atomic_file, sha256_bytes
from bctoolkit.runtime.info import ClassifierInfo
from bctoolkit.system import cache_folder

__all__ = ["PassedTest", "has_passed", "remember"]

MOST_KEPT = 200
"""Files; the oldest go."""


class PassedTest(Document, frozen=True, kw_only=True):
    """What a passed self-test holds for: where one of these is another, another test has to pass."""

    manifest_sha256: str
    """It holds the hash of every other file of the bundle."""
    info: ClassifierInfo
    """The engine and its version, what it runs on, its threads."""
    cpu: str
    cpu_features: tuple[str, ...]
    bctoolkit: str
    """Its version."""


def has_passed(test: PassedTest) -> bool:
    """Whether this very test has passed here before."""
    content = to_json(test)
    try:
        path = _folder() / _name(content)
        if not stat.S_ISREG(path.lstat().st_mode) or not _is_private(path.parent):
            return False
        with path.open("rb") as file:
            return file.read(len(content) + 1) == content
    except OSError:
        return False


def remember(test: PassedTest) -> None:
    """Write down that a test has passed; where that cannot be done, the next start tests again."""
    content = to_json(test)
    try:
        folder = _folder()
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if _is_private(folder):
            atomic_file(folder / _name(content), content)
            _forget_oldest(folder)
    except OSError:
        return


def _folder() -> Path:
    return cache_folder() / "self-tests"


def _name(content: bytes) -> str:
    return f"{sha256_bytes(content)}.json"


def _is_private(folder: Path) -> bool:
    """Whether nobody else can write there, as far as the system knows of users."""
    status = folder.lstat()
    others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not others))


def _forget_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    for path in files[:-MOST_KEPT]:
        path.unlink(missing_ok=True)
