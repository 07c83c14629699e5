"""The child process that runs one bundle: `python -m bctoolkit.bench.worker` with a job on standard input.

Each engine gets a process of its own, because the threads one engine leaves spinning slow whatever runs beside them.
The job comes as JSON; the answer goes to the file the job names, so that nothing an engine prints can spoil it.
"""

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit.bench.machine import clock_tick, disturbances, peak_rss, reading, steady_rss
from bctoolkit.bench.report import Settings, Unstable
from bctoolkit.contract import prepare
from bctoolkit.documents import to_json
from bctoolkit.errors import BctkError
from bctoolkit.formats import engine_for
from bctoolkit.lazy import attribute, require
from bctoolkit.runtime import Classifier, load
from bctoolkit.runtime.backends import Placement
from bctoolkit.tools import usable_cpus

__all__ = ["KEPT_RATIO", "Answer", "Job"]

BLOCK = 10
"""Runs per block while warming up; three blocks in a row within 5 % count as settled."""
LONGEST_WARMUP = 10.0
REPEAT_PAIRS, REPEAT_ATTEMPTS = 16, 4
KEPT_RATIO = 0.9
"""An image repeated may be so much faster."""


class Job(msgspec.Struct, tag_field="kind", tag=str.lower):
    """What the child is asked to do with a bundle."""

    bundle: str
    threads: int
    provider: str | None
    answer: str
    """File to write the answer to."""


class Measure(Job):
    """Time the bundle."""

    settings: Settings


class Predict(Job):
    """Answer images: `.npy`, N × height × width × channels uint8."""

    images: str


class Inspect(Job):
    """Profile the bundle's operators."""

    runs: int


class Answer(msgspec.Struct):
    """What a session measured; times in nanoseconds."""

    provider: str
    threads: int
    load: int = 0
    first: int = 0
    model: list[int] = []
    end_to_end: list[int] = []
    peak_rss: int = 0
    steady_rss: int = 0
    wrong: int = 0
    """Answers while timing that departed from the session's first ones."""
    repeat_ratio: float = 1.0
    """Latency of an image the second time in a row / the first time."""
    disturbed: list[Unstable] = []
    clock_tick: int = 1
    placement: Placement | None = None
    error: str = ""


def main() -> None:
    """Do one job."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Measure | Predict | Inspect)
    try:
        answer = JOBS[type(job)](job)
    except BctkError as problem:
        answer = Answer("", 0, error=str(problem))
    Path(job.answer).write_bytes(msgspec.json.encode(answer))


def inspect(job: Inspect) -> Answer:
    """Let the engine's own profiler watch the golden images; the profile goes to a `.json` beside the answer."""
    opened = bundles.read(job.bundle)
    engine = engine_for(opened.manifest.format)
    provider = engine.providers[0] if job.provider is None else job.provider
    images = opened.golden().images.astype(opened.manifest.input.dtype)
    profile = attribute(engine.profiler)
    found = profile(opened.model(), provider, job.threads, images, job.runs)
    Path(f"{job.answer}.json").write_bytes(to_json(found))
    return Answer(provider, job.threads)


def predict(job: Predict) -> Answer:
    """Answer all images of the job; the probabilities go to an `.npy` beside the answer."""
    classifier = load(job.bundle, provider=job.provider, threads=job.threads)
    images = np.load(job.images, mmap_mode="r")
    dtype = classifier.contract.dtype
    rows = [classifier.predict(np.asarray(images[i : i + 1], dtype)).probabilities for i in range(len(images))]
    np.save(f"{job.answer}.npy", np.concatenate(rows))
    return Answer(classifier.backend.provider, classifier.backend.threads)


def measure(job: Measure) -> Answer:
    """One session: load, first inference, warm-up, then the model alone and end to end."""
    settings = job.settings
    started = time.perf_counter_ns()
    classifier = load(job.bundle, provider=job.provider, threads=job.threads)
    loaded = time.perf_counter_ns()
    golden = bundles.read(job.bundle).golden().images.astype(classifier.contract.dtype)
    order = np.random.default_rng(settings.seed).permutation(len(golden))
    batches = [golden[i : i + 1] for i in order]
    first = _timed(classifier.backend.run, batches[0])
    expected = [classifier.backend.run(batch) for batch in batches]
    _warm_up(classifier, batches, settings)
    repeat_ratio = _repeat_ratio(classifier, batches)
    wrong, samples = 0, list[int]()
    before = reading()
    deadline = time.perf_counter() + settings.min_seconds
    while len(samples) < settings.min_runs or time.perf_counter() < deadline:
        at = len(samples) % len(batches)
        begin = time.perf_counter_ns()
        probabilities = classifier.backend.run(batches[at])
        samples.append(time.perf_counter_ns() - begin)
        wrong += not np.allclose(probabilities, expected[at], atol=1e-5)
    disturbed = disturbances(before, reading(), usable_cpus())
    steady = steady_rss()
    return Answer(
        provider=classifier.backend.provider,
        threads=classifier.backend.threads,
        load=loaded - started,
        first=first,
        model=samples,
        end_to_end=_end_to_end(classifier, golden[order], settings),
        peak_rss=peak_rss(),
        steady_rss=steady,
        wrong=wrong,
        repeat_ratio=repeat_ratio,
        disturbed=disturbed,
        clock_tick=clock_tick(),
        placement=classifier.backend.placement(),
    )


def _warm_up(classifier: Classifier, batches: list[NDArray[Any]], settings: Settings) -> None:
    """Run until the least warm-up is done and three block medians in a row agree within 5 %."""
    started, medians, runs = time.perf_counter(), [], 0
    while True:
        block = [_timed(classifier.backend.run, batches[(runs + i) % len(batches)]) for i in range(BLOCK)]
        runs += BLOCK
        medians.append(float(np.median(block)))
        recent, elapsed = medians[-3:], time.perf_counter() - started
        settled = len(recent) == 3 and max(recent) <= 1.05 * min(recent)
        enough = runs >= settings.warmup_runs and elapsed >= settings.warmup_seconds
        if enough and (settled or elapsed > LONGEST_WARMUP):
            return


def _repeat_ratio(classifier: Classifier, batches: list[NDArray[Any]]) -> float:
    """How much faster an image is the second time in a row: far below 1 where answers are kept.

    Images come as A A B B C C. The fastest of each kind are compared, for other programs only slow a run down; and a
    low ratio must show in each of several attempts.
    """
    ratios: list[float] = []
    while len(ratios) < REPEAT_ATTEMPTS:
        pairs = [
            (_timed(classifier.backend.run, batch), _timed(classifier.backend.run, batch))
            for batch in (batches[(len(ratios) * REPEAT_PAIRS + i) % len(batches)] for i in range(REPEAT_PAIRS))
        ]
        ratios.append(min(again for _, again in pairs) / min(first for first, _ in pairs))
        if ratios[-1] >= KEPT_RATIO:
            break
    return max(ratios)


def _end_to_end(classifier: Classifier, images: NDArray[Any], settings: Settings) -> list[int]:
    """From a PNG's bytes to the label, as an app does it; a quarter of the model-only runs."""
    pillow = require("PIL.Image", "images")
    files = []
    for image in images.astype(np.uint8):
        buffer = io.BytesIO()
        pillow.fromarray(image).save(buffer, "PNG")
        files.append(buffer.getvalue())

    def whole(file: bytes) -> str:
        picture = pillow.open(io.BytesIO(file))
        picture.load()
        return classifier.predict(prepare(picture, classifier.contract)[None]).labels[0]

    deadline = time.perf_counter() + settings.min_seconds / 4
    samples: list[int] = []
    while len(samples) < max(1, settings.min_runs // 4) or time.perf_counter() < deadline:
        samples.append(_timed(whole, files[len(samples) % len(files)]))
    return samples


def _timed(call: Callable[[Any], object], argument: Any) -> int:
    begin = time.perf_counter_ns()
    call(argument)
    return time.perf_counter_ns() - begin


JOBS: dict[type[Job], Callable[[Any], Answer]] = {Measure: measure, Predict: predict, Inspect: inspect}

if __name__ == "__main__":
    main()
