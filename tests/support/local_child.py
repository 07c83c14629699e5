"""The work of the benchmark's child processes, done in this one."""

import io
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bctoolkit.bench.launcher import process, sessions
from bctoolkit.bench.worker import __main__ as worker
from bctoolkit.bench.worker import jobs
from bctoolkit.errors import BackendError

__all__ = ["LocalChild", "do_jobs_locally"]


class LocalChild(process.Child):
    """Does a child's job in this process: the same work and the same messages, without a new interpreter."""

    def __enter__(self) -> "LocalChild":
        self._lines = io.BytesIO()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait_until_ready(self) -> None:
        """It times all its slices at once, when its result is asked for."""

    def lines(self) -> Iterator[bytes]:
        self._work()
        self._lines.seek(0)
        yield from self._lines

    def result(self, kind: type[Any]) -> Any:
        if not Path(self._job.output).exists():
            self._work()
        content = Path(self._job.output).read_bytes()
        problem = msgspec.json.decode(content, type=jobs.Problem)
        if problem.error:
            raise BackendError(f"{self.name}: {problem.error}")
        return msgspec.json.decode(content, type=kind)

    def _work(self) -> None:
        job = msgspec.json.decode(msgspec.json.encode(self._job), type=worker.AnyJob)
        worker.work(job, self._lines, repeat(None))


def do_jobs_locally(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the benchmark start no processes: what is tested is who does what when, or how it looks."""
    monkeypatch.setattr(process, "Child", LocalChild)
    monkeypatch.setattr(sessions, "Child", LocalChild)
