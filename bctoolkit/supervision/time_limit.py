"""How long a model may take: the system keeps the time, for nothing in a process interrupts a thread in an engine."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["PASSED", "die_at_time_limits", "time_limit"]

PASSED = getattr(signal, "SIGALRM", None)
"""The signal that ends a process whose time is over; None where the system has no such timer."""

_dies = False


def die_at_time_limits() -> None:
    """Let time limits end this process: for one that was started for a model, and whose parent says why it ended."""
    global _dies
    _dies = PASSED is not None


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """End the process by `PASSED` if the block takes longer; nothing happens where `die_at_time_limits` was not called.

    Args:
        seconds: of the clock on the wall.
    """
    if not _dies:
        yield
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # no handler of Python's would be called while an engine runs
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
