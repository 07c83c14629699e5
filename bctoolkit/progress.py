"""How long work shows where it is: one narrow seam, a silent and a terminal implementation.

Stages take a `Progress` and call `say` for a line that stays and `step` for the state of the work at hand. They never
print themselves.
"""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TextIO

from bctoolkit.escaping.text import visible

__all__ = ["Progress", "Silent", "Terminal", "duration"]


LEAST_SECONDS = 2.0
"""Of work before it is said how long the rest takes."""
LINE_SECONDS = 60.0
"""Without a line before long work says in a file or a pipe how far it is."""


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
    """A bar that redraws itself on a terminal; in a file or a pipe lines, and of long work one a minute.

    Args:
        stream: where to; standard error by default.
        clock: seconds since some moment.
    """

    width = 24

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream or sys.stderr, clock
        self._live = self._stream.isatty()
        self._drawn = 0
        self._label, self._begun, self._first = "", 0.0, 0
        """The work at hand, when it was begun, and what of it was finished then."""
        self._last_line = clock()

    def say(self, line: str) -> None:
        """Clear the bar and print the line."""
        self._erase()
        self._write(f"{visible(line)}\n")
        self._last_line = self._clock()

    def step(self, label: str, done: int, total: int, note: str = "") -> None:
        """Redraw the bar, from two seconds on with the time that is left; a finished one is erased."""
        left = self._left(label, done, total)
        if not self._live:
            if done < total and self._clock() - self._last_line >= LINE_SECONDS:
                self.say(f"{label} {done}/{total}{left}")
            return
        self._erase()
        if done >= total:
            return
        filled = self.width * done // max(total, 1)
        text = f"{label} {'━' * filled}{'─' * (self.width - filled)} {done}/{total}{left} {note}".rstrip()
        self._write(visible(text))
        self._drawn = len(text)

    def _left(self, label: str, done: int, total: int) -> str:
        """How long the rest takes if the work goes on as so far, in words that follow; empty at its beginning."""
        now = self._clock()
        if label != self._label or done < self._first:
            self._label, self._begun, self._first = label, now, done
        elapsed, share = now - self._begun, done - self._first
        if elapsed < LEAST_SECONDS or share == 0 or done >= total:
            return ""
        return f", about {duration(elapsed * (total - done) / share)} left"

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
