"""Decoys around the place where damaged files lie: whoever opens one, or leaves something there, is seen."""

import ctypes
import os
import struct
from pathlib import Path

__all__ = ["Sandbox"]

OPENED, NONBLOCKING = 0x20, 0o4000
"""inotify(7): IN_OPEN, and IN_NONBLOCK."""


class Sandbox:
    """`outside/secret` is a decoy; `cwd` and `home` are where a command runs.

    Args:
        root: an empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.slot = root, root / "bundle"
        self.cwd, self.home, outside = root / "cwd", root / "home", root / "outside"
        for folder in (self.cwd, self.home, outside, self.cwd / "outside"):
            folder.mkdir(parents=True)
        (outside / "secret").write_bytes(b"password1234" * 100)
        (self.cwd / "secret").write_bytes(b"password1234" * 100)
        self._watched = [outside / "secret", self.cwd / "secret"]
        library = ctypes.CDLL(None, use_errno=True)
        self._events = library.inotify_init1(NONBLOCKING)
        for path in self._watched:
            library.inotify_add_watch(self._events, os.fsencode(path), OPENED)
        self._before = self._tree()

    def intrusions(self) -> list[str]:
        """Decoys that were opened since the last call, and what was added, removed or changed around the slot."""
        opened = []
        try:
            events = os.read(self._events, 65_536)
            opened = [f"opened decoy {struct.unpack_from('i', events)[0]}"]
        except BlockingIOError:
            pass
        now = self._tree()
        changed = sorted({path for path, _ in self._before ^ now})
        self._before = now
        return opened + changed

    def _tree(self) -> set[tuple[str, tuple[int, int, int]]]:
        """Every path but the slot's and the caches', with what a change to it changes."""
        found = set()
        for folder, names, files in os.walk(self.root):
            names[:] = [name for name in names if Path(folder, name) != self.slot and name != ".cache"]
            for name in (*names, *files):
                status = os.lstat(os.path.join(folder, name))
                kept = (
                    status.st_mode,
                    status.st_size if name in files else 0,
                    status.st_mtime_ns if name in files else 0,
                )
                found.add((os.path.join(folder, name), kept))
        return found
