"""Child processes, each with one job; the parent's side."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import msgspec

from bctoolkit.bench.worker.jobs import READY, Job, Problem
from bctoolkit.errors import BackendError
from bctoolkit.files import scratch_folder
from bctoolkit.supervision.child import reason

__all__ = ["Child", "in_child"]

A = TypeVar("A", bound=msgspec.Struct)

WORK = "import sys; sys.path[:] = sys.argv[1:]; from bctoolkit.bench.worker.__main__ import main; main()"
"""The child imports from where its parent does, and not from the working folder, where anybody's `numpy.py` may lie."""


def in_child(job: Job, kind: type[A], on_line: Callable[[bytes], None] = lambda line: None) -> A:
    """Do a job in a child process.

    Args:
        job: what to do; its result goes to a temporary file.
        kind: what the result is.
        on_line: called with each line that the child writes, as it comes.

    Raises:
        BackendError: the bundle cannot do it, or its process died.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        child = stack.enter_context(Child(msgspec.structs.replace(job, output=str(folder / "result"))))
        for line in child.lines():
            on_line(line)
        return child.result(kind)


class Child:
    """A process with one job; the parent waits blocked, so that it takes no time from it."""

    def __init__(self, job: Job) -> None:
        self.name = Path(job.bundle).name + "".join(
            f" {word} {name}" for word, name in (("in", job.engine), ("on", job.provider)) if name
        )
        self.ready = False
        self._job = job

    def __enter__(self) -> "Child":
        self._errors = tempfile.TemporaryFile()  # a pipe nobody reads would fill
        command = [sys.executable, "-P", "-c", WORK, *(path for path in sys.path if path)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._errors, bufsize=0)
        self._send(msgspec.json.encode(self._job) + b"\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def lines(self) -> Iterator[bytes]:
        """What the process writes, as it comes, until it ends."""
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            yield line

    def wait_until_ready(self) -> None:
        """Wait until the process asks to go on, or has ended."""
        self.ready = READY in self.lines()

    def go(self) -> None:
        """Let it time a slice."""
        self._send(b"\n")
        self.wait_until_ready()

    def result(self, kind: type[A]) -> A:
        """The result of its job, once it has ended.

        Raises:
            BackendError: it could not do its job, or died.
        """
        code = self._process.wait()
        if code != 0:
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise BackendError(f"{self.name}: {_describe_exit(code)} ({last[0]})")
        content = Path(self._job.output).read_bytes()
        problem = msgspec.json.decode(content, type=Problem)
        if problem.error:
            raise BackendError(f"{self.name}: {problem.error}")
        return msgspec.json.decode(content, type=kind)

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died; `result` raises why
            self._process.stdin.write(line)


def _describe_exit(code: int) -> str:
    return reason(-code) if code < 0 else f"its process ended with exit code {code}"
