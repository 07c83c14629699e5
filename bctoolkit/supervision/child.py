"""Go on in a child process, so that a model that hangs or crashes its engine is an error of one line.

The child is a fork, made before anything heavy is imported, and goes on as if nothing had happened; its parent waits.
"""

import os
import signal
import sys
from collections.abc import Iterable
from types import FrameType

from bctoolkit.errors import BackendError
from bctoolkit.supervision.time_limit import PASSED, die_at_time_limits

__all__ = ["go_on_in_child", "reason"]


def go_on_in_child() -> None:
    """Return in a child process, in the parent never; without forks, as on Windows, just return.

    Raises:
        SystemExit: in the parent, once the child has ended, with its exit code.
        BackendError: in the parent: a signal ended the child.
    """
    if not hasattr(os, "fork"):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))  # until somebody passes them on
    pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        die_at_time_limits()
        return
    code = _wait(pid, mask)
    if code >= 0:
        raise SystemExit(code)
    if code == -signal.SIGTERM:
        os.kill(os.getpid(), signal.SIGTERM)
    remedy = "allow more with --time-limit" if -code == PASSED else "do not use this bundle here"
    raise BackendError(f"{reason(-code)}; {remedy}")


def reason(number: int) -> str:
    """What a signal that ended a process with a model in it means."""
    if number == PASSED:
        return "the model gave no answer within the time limit"
    if number == signal.SIGKILL:
        return "the process was killed (SIGKILL), likely out of memory"
    return f"the model crashed its engine ({signal.Signals(number).name})"


def _wait(pid: int, mask: Iterable[int]) -> int:
    """The exit code of a child, negative where a signal ended it; SIGTERM is passed on to it.

    Args:
        pid: of the child.
        mask: signals to block from here on.
    """

    def pass_on(number: int, frame: FrameType | None) -> None:
        os.kill(pid, number)

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),  # a terminal sends it to both
        signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on),
    }
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
