"""How long work shows where it is: one narrow seam, a silent and a terminal implementation.

Stages take a `Progress` and call `say` for a line that stays and `step` for the state of the work at hand. They never
print themselves.
"""

import sys
from contextlib import suppress
from typing import Protocol, TextIO

from bctoolkit.escaping.text import visible

__all__ = ["Progress", "Silent", "Terminal", "duration"]


class Progress(Protocol):
    """What a command may tell while it works."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def step(self, label: str, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` pieces of the work called `label` are finished."""


class Silent:
    """Shows nothing: for tests and for use as a library."""

    def say(self, line: str) -> None:
        """Ignore the line."""

    def step(self, label: str, done: int, total: int, note: str = "") -> None:
        """Ignore the step."""


class Terminal:
    """A bar that redraws itself on a terminal; lines only where the output is a file or a pipe."""

    width = 24

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._drawn = 0

    def say(self, line: str) -> None:
        """Clear the bar and print the line."""
        self._erase()
        self._write(f"{visible(line)}\n")

    def step(self, label: str, done: int, total: int, note: str = "") -> None:
        """Redraw the bar; a finished one is erased."""
        if not self._live:
            return
        self._erase()
        if done >= total:
            return
        filled = self.width * done // max(total, 1)
        text = f"{label} {'━' * filled}{'─' * (self.width - filled)} {done}/{total} {note}".rstrip()
        self._write(visible(text))
        self._drawn = len(text)

    def _erase(self) -> None:
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = 0

    def _write(self, text: str) -> None:
        with suppress(OSError):  # work goes on where nobody can be told of it
            self._stream.write(text)
            self._stream.flush()


def duration(seconds: float) -> str:
    """A time to wait, in words as exact as an estimate is."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
