"""Jobs in child processes: sessions of measurement in turns, the answers to images, or a profile by operators."""

import itertools
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.documents.profiles import Profile
from bctoolkit.bench.documents.report import Settings
from bctoolkit.bench.documents.samples import Answer
from bctoolkit.bench.launcher.process import Child, in_child
from bctoolkit.bench.worker.jobs import KEPT_RATIO, SLICE_SECONDS, Inspect, Measure, Predict
from bctoolkit.data.stores import Images, save_npy
from bctoolkit.errors import BackendError

__all__ = ["Timed", "predict", "profile", "sessions"]

KEPT_NANOSECONDS = 50_000
"""What the caches of the CPU may save on an image repeated."""


class Timed(NamedTuple):
    """What one session is to measure."""

    bundle: Path
    settings: Settings
    provider: str | None


def sessions(
    wanted: Sequence[Timed], told: Callable[[float, str], None] = lambda share, name: None
) -> list[Answer | BackendError]:
    """Time bundles in one turn: each in a fresh process, and their slices one after the other, A B C, A B C.

    A machine that becomes slower for some seconds, as shared ones do, then hits all bundles alike, and ratios of slices
    that were measured beside each other hold. While one process runs, the others wait without using the CPU.

    Args:
        wanted: one session for each.
        told: told how much of the timing is done, and the bundle that is being loaded.

    Returns:
        For each the answer, or why there is none: it cannot run, its process died, its answers changed while it was
        timed, or it keeps them.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bctk-bench-"))
        children = []
        for number, (bundle, settings, provider) in enumerate(wanted):
            told(0.0, bundle.name)
            job = Measure(str(bundle), settings.threads, provider, f"{folder}/{number}", settings)
            children.append(stack.enter_context(Child(job)))
            children[-1].wait_until_ready()
        longest = max((settings.min_seconds for _, settings, _ in wanted), default=0.0)
        for seconds in itertools.count(SLICE_SECONDS, SLICE_SECONDS):
            waiting = [child for child in children if child.ready]
            if not waiting:
                break
            for child in waiting:
                child.go()
            told(min(1.0, seconds / longest) if longest else 1.0, "")
        return [_session(child) for child in children]


def predict(bundle: Path, images: Images, threads: int, provider: str | None) -> NDArray[np.float32]:
    """Probabilities, N × classes, that a bundle gives for images N × height × width × channels, in a child process.

    Raises:
        BackendError: it cannot run, or its process died.
    """
    with tempfile.TemporaryDirectory(prefix="bctk-bench-") as folder:
        save_npy(Path(folder, "images.npy"), images)
        answer = Path(folder, "answer")
        with Child(Predict(str(bundle), threads, provider, str(answer), str(Path(folder, "images.npy")))) as child:
            child.answer(Answer)
        probabilities: NDArray[np.float32] = np.load(f"{answer}.npy")
    return probabilities


def profile(bundle: Path, threads: int, provider: str | None, runs: int) -> Profile:
    """Where the time of a bundle's inferences goes, in a process in which nothing else is timed.

    Raises:
        BackendError: it cannot run, its engine has no profiler, or its process died.
    """
    return in_child(Inspect(str(bundle), threads, provider, "", runs), Profile)


def _session(child: Child) -> Answer | BackendError:
    try:
        answer = child.answer(Answer)
    except BackendError as problem:
        return problem
    if answer.wrong:
        return BackendError(f"{child.name}: {answer.wrong} of {len(answer.model)} answers changed while timed")
    gain = (1 - answer.repeat_ratio) * float(np.median(answer.model))
    if answer.repeat_ratio < KEPT_RATIO and gain > KEPT_NANOSECONDS:
        return BackendError(
            f"{child.name}: one image repeated is {1 - answer.repeat_ratio:.0%} faster than before; answers "
            "seem to be kept, so its latency is not that of its work"
        )
    return answer
