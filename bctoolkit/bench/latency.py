"""Jobs in child processes: a session of measurement, the answers to images, or a profile by operators."""

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.profiles import Profile
from bctoolkit.bench.report import Settings
from bctoolkit.bench.worker import KEPT_RATIO, Answer, Inspect, Job, Measure, Predict
from bctoolkit.data.stores import Images, save_npy
from bctoolkit.errors import BackendError

__all__ = ["predict", "profile", "session"]

KEPT_NANOSECONDS = 50_000
"""What the caches of the CPU may save on an image repeated."""


def session(bundle: Path, settings: Settings, provider: str | None) -> Answer:
    """Time a bundle in a fresh process.

    Raises:
        BackendError: it cannot run, its process died, its answers changed while it was timed, or it keeps them.
    """
    with tempfile.TemporaryDirectory(prefix="bctk-bench-") as folder:
        answer = _in_child(Measure(str(bundle), settings.threads, provider, str(Path(folder, "answer")), settings))
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
        _in_child(Predict(str(bundle), threads, provider, str(answer), str(Path(folder, "images.npy"))))
        probabilities: NDArray[np.float32] = np.load(f"{answer}.npy")
    return probabilities


def profile(bundle: Path, threads: int, provider: str | None, runs: int) -> Profile:
    """Where the time of a bundle's inferences goes, in a process in which nothing else is timed.

    Raises:
        BackendError: it cannot run, its engine has no profiler, or its process died.
    """
    with tempfile.TemporaryDirectory(prefix="bctk-bench-") as folder:
        answer = Path(folder, "answer")
        _in_child(Inspect(str(bundle), threads, provider, str(answer), runs))
        return msgspec.json.decode(Path(f"{answer}.json").read_bytes(), type=Profile)


def _in_child(job: Job) -> Answer:
    """Run one job; the parent waits blocked, so that it takes no time from the child."""
    name = Path(job.bundle).name + ("" if job.provider is None else f" on {job.provider}")
    command = [sys.executable, "-m", "bctoolkit.bench.worker"]
    child = subprocess.run(command, input=msgspec.json.encode(job), capture_output=True, check=False)
    if child.returncode != 0:
        last = child.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise BackendError(f"{name}: its process ended with {_ending(child.returncode)} ({last[0]})")
    answer = msgspec.json.decode(Path(job.answer).read_bytes(), type=Answer)
    if answer.error:
        raise BackendError(f"{name}: {answer.error}")
    return answer


def _ending(code: int) -> str:
    if code == -9:
        return "signal 9, as the system sends where memory runs out"
    if code == -6:
        return "signal 6, an abort"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
