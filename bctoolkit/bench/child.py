"""The child process that runs one bundle: `python -m bctoolkit.bench.child` with a job on standard input.

Each engine gets a process of its own, because the threads one engine leaves spinning slow whatever runs beside them.
The job comes as JSON; the answer goes to the file the job names, so that nothing an engine prints can spoil it.
"""

import sys
from pathlib import Path

import msgspec

from bctoolkit.bench import scenarios, worker
from bctoolkit.errors import BctkError

__all__ = ["main"]

AnyJob = worker.Measure | worker.Predict | scenarios.Offline | scenarios.Streams | scenarios.Sustain


def main() -> None:
    """Do one job."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=AnyJob)
    answer: msgspec.Struct
    try:
        answer = _do(job)
    except BctkError as problem:
        answer = worker.Problem(str(problem))
    Path(job.answer).write_bytes(msgspec.json.encode(answer))


def _do(job: AnyJob) -> msgspec.Struct:
    match job:
        case worker.Measure():
            return worker.measure(job)
        case worker.Predict():
            return worker.predict(job)
        case scenarios.Offline():
            return scenarios.offline(job)
        case scenarios.Streams():
            return scenarios.streams(job)
        case scenarios.Sustain():
            return scenarios.sustain(job)


if __name__ == "__main__":
    main()
