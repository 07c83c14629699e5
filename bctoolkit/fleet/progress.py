"""One bar for all machines: each has a lane, and whoever works in it is a thread of its own."""

import threading

from bctoolkit.progress import Progress

__all__ = ["Board"]


class Board:
    """Shows what each machine is at."""

    def __init__(self, progress: Progress, names: list[str]) -> None:
        self._progress, self._lock = progress, threading.Lock()
        self._states = dict.fromkeys(names, ("waiting", 0.0))

    def lane(self, name: str) -> "Lane":
        """The progress of one machine."""
        return Lane(self, name)

    def say(self, line: str) -> None:
        """Show a line that stays."""
        with self._lock:
            self._progress.say(line)

    def show(self, name: str, label: str, share: float) -> None:
        """Show that a share of the work called `label` is done on a machine."""
        with self._lock:
            self._states[name] = label, share
            text = ", ".join(f"{each} {state} {100 * part:.0f} %" for each, (state, part) in self._states.items())
            done = sum(part for _, part in self._states.values()) / len(self._states)
            self._progress.step("machines", min(99, int(100 * done)), 100, text)

    def close(self) -> None:
        """Take the bar away."""
        with self._lock:
            self._progress.step("machines", 1, 1)


class Lane:
    """A `Progress` of one machine among several."""

    def __init__(self, board: Board, name: str) -> None:
        self._board, self._name = board, name

    def say(self, line: str) -> None:
        """Show a line that stays, with the machine's name."""
        self._board.say(line if self._name in line else f"{self._name}: {line}")

    def step(self, label: str, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` pieces of the work called `label` are finished there."""
        self._board.show(self._name, label, min(1.0, done / max(total, 1)))
