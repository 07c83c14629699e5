"""The child process that runs one bundle: it takes a job from standard input.

Each engine gets a process of its own, because the threads one engine leaves spinning slow whatever runs beside them.
The job comes as a line of JSON; the result goes to the file the job names, so that nothing an engine prints can spoil
it. A session is timed in slices: the child says when it is ready for one and waits for a line that lets it go on.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from bctoolkit.bench.worker import jobs, scenarios
from bctoolkit.errors import BctkError
from bctoolkit.supervision.time_limit import die_at_time_limits

__all__ = ["AnyJob", "main", "work"]

AnyJob = jobs.Measure | jobs.Predict | jobs.Inspect | scenarios.Offline | scenarios.Streams | scenarios.Sustain


def main() -> None:
    """Do one job."""
    die_at_time_limits()
    reply = _reply()
    work(msgspec.json.decode(sys.stdin.buffer.readline(), type=AnyJob), reply, _slices(reply))


def work(job: AnyJob, reply: BinaryIO, slices: Iterator[None]) -> None:
    """Do a job, and write its result or why there is none to its file.

    Args:
        job: what to do.
        reply: where the parent reads lines.
        slices: a session times one for each.
    """
    result: msgspec.Struct
    try:
        result = _do(job, reply, slices)
    except BctkError as problem:
        result = jobs.Problem(str(problem))
    Path(job.output).write_bytes(msgspec.json.encode(result))


def _do(job: AnyJob, reply: BinaryIO, slices: Iterator[None]) -> msgspec.Struct:
    match job:
        case jobs.Measure():
            return jobs.measure(job, slices)
        case jobs.Predict():
            return jobs.predict(job)
        case jobs.Inspect():
            return jobs.inspect(job)
        case scenarios.Offline():
            return scenarios.offline(job)
        case scenarios.Streams():
            return scenarios.streams(job)
        case scenarios.Sustain():
            return scenarios.sustain(job, lambda: reply.write(scenarios.WINDOW))


def _reply() -> BinaryIO:
    """The way to the parent; from here on what an engine prints goes to standard error."""
    reply = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return reply


def _slices(reply: BinaryIO) -> Iterator[None]:
    """Tell the parent that this process is ready, and go on when the parent says so, again and again."""
    while True:
        reply.write(jobs.READY)
        if not sys.stdin.buffer.readline():
            raise SystemExit("the benchmark has ended")
        yield


if __name__ == "__main__":
    main()
