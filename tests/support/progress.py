"""Doubles of `bctoolkit.progress.Progress` that tests share."""

from collections.abc import Callable

from bctoolkit.progress import Silent

__all__ = ["Interrupted", "OnLine", "Recorder"]


class Recorder:
    """Keeps every line and every step."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[tuple[str, int, int, str]] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def step(self, label: str, done: int, total: int, note: str = "") -> None:
        self.steps.append((label, done, total, note))


class Interrupted(Silent):
    """Presses Ctrl-C at the first step called `label`, or at the one with `done` pieces finished."""

    def __init__(self, label: str, done: int | None = None) -> None:
        self._label, self._done = label, done

    def step(self, label: str, done: int, total: int, note: str = "") -> None:
        if label == self._label and self._done in (None, done):
            raise KeyboardInterrupt


class OnLine(Silent):
    """Calls `action` at every line that starts with `prefix`."""

    def __init__(self, prefix: str, action: Callable[[], object]) -> None:
        self._prefix, self._action = prefix, action

    def say(self, line: str) -> None:
        if line.startswith(self._prefix):
            self._action()
