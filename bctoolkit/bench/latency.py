"""Jobs in child processes: a session of measurement, or the answers to images."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.report import Settings
from bctoolkit.bench.worker import KEPT_RATIO, Answer, Job, Measure, Predict, Problem
from bctoolkit.data.stores import Images, save_npy
from bctoolkit.errors import BackendError

__all__ = ["in_child", "predict", "session"]

A = TypeVar("A", bound=msgspec.Struct)

KEPT_NANOSECONDS = 50_000
"""What the caches of the CPU may save on an image repeated."""


def session(bundle: Path, settings: Settings, provider: str | None) -> Answer:
    """Time a bundle in a fresh process.

    Raises:
        BackendError: it cannot run, its process died, its answers changed while it was timed, or it keeps them.
    """
    answer = in_child(Measure(str(bundle), settings.threads, provider, "", settings), Answer)
    if answer.wrong:
        raise BackendError(f"{bundle.name}: {answer.wrong} of {len(answer.model)} answers changed while timed")
    gain = (1 - answer.repeat_ratio) * float(np.median(answer.model))
    if answer.repeat_ratio < KEPT_RATIO and gain > KEPT_NANOSECONDS:
        raise BackendError(
            f"{bundle.name}: one image repeated is {1 - answer.repeat_ratio:.0%} faster than before; answers "
            "seem to be kept, so its latency is not that of its work"
        )
    return answer


def predict(bundle: Path, images: Images, threads: int, provider: str | None) -> NDArray[np.float32]:
    """Probabilities, N × classes, that a bundle gives for images N × height × width × channels, in a child process.

    Raises:
        BackendError: it cannot run, or its process died.
    """
    with tempfile.TemporaryDirectory(prefix="bctk-bench-") as folder:
        save_npy(Path(folder, "images.npy"), images)
        answer = Path(folder, "answer")
        _run(Predict(str(bundle), threads, provider, str(answer), str(Path(folder, "images.npy"))))
        probabilities: NDArray[np.float32] = np.load(f"{answer}.npy")
    return probabilities


def in_child(job: Job, kind: type[A], hear: Callable[[str], None] | None = None) -> A:
    """Do a job in a child process.

    Args:
        job: what to do; its answer goes to a temporary file.
        kind: what the answer is.
        hear: told each line that the child prints, as it comes.

    Raises:
        BackendError: the bundle cannot do it, or its process died.
    """
    with tempfile.TemporaryDirectory(prefix="bctk-bench-") as folder:
        placed = msgspec.structs.replace(job, answer=str(Path(folder, "answer")))
        return msgspec.json.decode(_run(placed, hear), type=kind)


def _run(job: Job, hear: Callable[[str], None] | None = None) -> bytes:
    """The answer; the parent waits blocked, so that it takes no time from the child."""
    name = Path(job.bundle).name
    command = [sys.executable, "-m", "bctoolkit.bench.child"]
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as errors:
        asked.write(msgspec.json.encode(job))
        asked.seek(0)
        with subprocess.Popen(command, stdin=asked, stdout=subprocess.PIPE, stderr=errors) as child:
            try:
                for line in child.stdout or ():
                    if hear is not None:
                        hear(line.decode(errors="replace").strip())
            except BaseException:
                child.kill()
                raise
        errors.seek(0)
        last = errors.read().decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
    if child.returncode != 0:
        raise BackendError(f"{name}: its process ended with {_ending(child.returncode)} ({last[0]})")
    answer = Path(job.answer).read_bytes()
    problem = msgspec.json.decode(answer, type=Problem)
    if problem.error:
        raise BackendError(f"{name}: {problem.error}")
    return answer


def _ending(code: int) -> str:
    if code == -9:
        return "signal 9, as the system sends where memory runs out"
    if code == -6:
        return "signal 6, an abort"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
