"""Jobs in child processes: sessions of measurement side by side, predictions, or a profile by operators."""

import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.documents.measurements import Profile
from bctoolkit.bench.documents.samples import SessionSamples
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.launcher.process import Child, in_child
from bctoolkit.bench.worker.jobs import CACHED_RATIO, SLICE_SECONDS, Done, Inspect, Measure, Predict
from bctoolkit.data.stores import Images, save_npy
from bctoolkit.errors import BackendError
from bctoolkit.files import scratch_folder

__all__ = ["SessionRequest", "predict", "profile", "sessions"]

CACHE_NANOSECONDS = 50_000
"""What the caches of the CPU may save on an image repeated."""


class SessionRequest(NamedTuple):
    """What one session is to measure."""

    bundle: Path
    threads: int
    provider: str | None
    settings: Settings
    engine: str | None = None


def sessions(
    requests: Sequence[SessionRequest], on_progress: Callable[[float, str], None] = lambda share, name: None
) -> list[SessionSamples | BackendError]:
    """Time bundles in one round: each in a fresh process, and their slices one after the other, A B C, A B C.

    A machine that becomes slower for some seconds, as shared ones do, then hits all bundles alike, and ratios of slices
    that were measured beside each other hold. While one process runs, the others wait without using the CPU.

    Args:
        requests: one session for each.
        on_progress: called with the share of the timing that is done, and the bundle that is being loaded.

    Returns:
        For each the samples, or why there are none: it cannot run, its process died, its outputs changed while it was
        timed, or it caches them.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        children = []
        for number, (bundle, threads, provider, settings, engine) in enumerate(requests):
            on_progress(0.0, bundle.name)
            job = Measure(str(bundle), threads, provider, f"{folder}/{number}", settings, engine=engine)
            children.append(stack.enter_context(Child(job)))
            children[-1].wait_until_ready()
        longest = max((request.settings.min_seconds for request in requests), default=0.0)
        for seconds in itertools.count(SLICE_SECONDS, SLICE_SECONDS):
            waiting = [child for child in children if child.ready]
            if not waiting:
                break
            for child in waiting:
                child.go()
            on_progress(min(1.0, seconds / longest) if longest else 1.0, "")
        return [_session(child) for child in children]


def predict(
    bundle: Path, images: Images, threads: int, provider: str | None, engine: str | None = None
) -> NDArray[np.float32]:
    """Probabilities, N × classes, that a bundle gives for images N × height × width × channels, in a child process.

    Raises:
        BackendError: it cannot run, or its process died.
    """
    with scratch_folder() as folder:
        save_npy(folder / "images.npy", images)
        output = folder / "result"
        job = Predict(str(bundle), threads, provider, str(output), str(folder / "images.npy"), engine=engine)
        with Child(job) as child:
            child.result(Done)
        probabilities: NDArray[np.float32] = np.load(f"{output}.npy")
    return probabilities


def profile(bundle: Path, threads: int, provider: str | None, runs: int, engine: str | None = None) -> Profile:
    """Where the time of a bundle's inferences goes, in a process in which nothing else is timed.

    Raises:
        BackendError: it cannot run, its engine has no profiler, or its process died.
    """
    return in_child(Inspect(str(bundle), threads, provider, "", runs, engine=engine), Profile)


def _session(child: Child) -> SessionSamples | BackendError:
    try:
        samples = child.result(SessionSamples)
    except BackendError as problem:
        return problem
    if samples.mismatches:
        return BackendError(
            f"{child.name}: {samples.mismatches} of {len(samples.model)} outputs differed from the first pass "
            "(non-deterministic)"
        )
    gain = (1 - samples.repeat_ratio) * float(np.median(samples.model))
    if samples.repeat_ratio < CACHED_RATIO and gain > CACHE_NANOSECONDS:
        return BackendError(
            f"{child.name}: one image repeated is {1 - samples.repeat_ratio:.0%} faster than before; outputs "
            "seem to be cached, so its latency is not that of its work"
        )
    return samples
