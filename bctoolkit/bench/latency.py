"""Measure bundles in turns, each session in a fresh child process."""

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.report import Settings
from bctoolkit.bench.worker import Answer, Job, Measure, Predict
from bctoolkit.data.stores import Images, save_npy
from bctoolkit.errors import BackendError
from bctoolkit.progress import Progress

__all__ = ["predict", "sessions"]


def sessions(
    bundles: list[Path], settings: Settings, provider: str | None, progress: Progress
) -> dict[Path, list[Answer]]:
    """Time every bundle in `settings.sessions` sessions, in turns: A B C, A B C, and so on.

    Raises:
        BackendError: a bundle cannot run, its process died, or its answers changed while it was timed.
    """
    answers: dict[Path, list[Answer]] = {bundle: [] for bundle in bundles}
    total = settings.sessions * len(bundles)
    with tempfile.TemporaryDirectory(prefix="bctk-bench-") as folder:
        for turn in range(settings.sessions):
            for position, bundle in enumerate(bundles):
                progress.step("timing", turn * len(bundles) + position, total, bundle.name)
                job = Measure(str(bundle), settings.threads, provider, str(Path(folder, "answer")), settings)
                answer = _in_child(job)
                if answer.wrong:
                    raise BackendError(
                        f"{bundle.name}: {answer.wrong} of {len(answer.model)} answers changed while timed"
                    )
                answers[bundle].append(answer)
    progress.step("timing", total, total)
    return answers


def predict(bundle: Path, images: Images, threads: int, provider: str | None) -> NDArray[np.float32]:
    """Probabilities, N × classes, that a bundle gives for images N × height × width × channels, in a child process."""
    with tempfile.TemporaryDirectory(prefix="bctk-bench-") as folder:
        save_npy(Path(folder, "images.npy"), images)
        answer = Path(folder, "answer")
        _in_child(Predict(str(bundle), threads, provider, str(answer), str(Path(folder, "images.npy"))))
        probabilities: NDArray[np.float32] = np.load(f"{answer}.npy")
    return probabilities


def _in_child(job: Job) -> Answer:
    """Run one job; the parent waits blocked, so that it takes no time from the child."""
    name = Path(job.bundle).name
    command = [sys.executable, "-m", "bctoolkit.bench.worker"]
    child = subprocess.run(command, input=msgspec.json.encode(job), capture_output=True, check=False)
    if child.returncode != 0:
        last = child.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"exit code {child.returncode}"
        raise BackendError(f"{name}: its process ended with {how} ({last[0]})")
    answer = msgspec.json.decode(Path(job.answer).read_bytes(), type=Answer)
    if answer.error:
        raise BackendError(f"{name}: {answer.error}")
    return answer
