"""What a child process does with a bundle: a session of measurement, or answers to images."""

import io
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit.bench.documents.profiles import Profile
from bctoolkit.bench.documents.report import Settings
from bctoolkit.bench.documents.samples import Answer, Spent
from bctoolkit.bench.worker.energy import meter, total
from bctoolkit.bench.worker.machine import clock_tick, disturbances, peak_rss, reading, steady_rss
from bctoolkit.contract import prepare
from bctoolkit.documents.formats import engine_for
from bctoolkit.lazy import attribute, require
from bctoolkit.runtime import Backend, Classifier, load
from bctoolkit.tools import usable_cpus

__all__ = [
    "KEPT_RATIO",
    "READY",
    "SLICE_SECONDS",
    "Checked",
    "Inspect",
    "Job",
    "Measure",
    "Predict",
    "Problem",
    "changed",
    "inspect",
    "measure",
    "predict",
    "shuffled",
    "timed",
    "warm_up",
]

BLOCK = 10
"""Runs per block while warming up; three blocks in a row within 5 % count as settled."""
LONGEST_WARMUP = 10.0
REPEAT_PAIRS, REPEAT_ATTEMPTS = 16, 4
SLICE_SECONDS, SLICE_RUNS = 0.25, 3
"""Least time and least runs of the model in a slice."""
REWARMING = 2
"""Runs at the start of a slice that are not timed: the engine's threads slept while others had their turn."""
READY = b"ready\n"
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


class Problem(msgspec.Struct):
    """What stands in an answer's place where the bundle cannot do the job."""

    error: str = ""


def inspect(job: Inspect) -> Profile:
    """Let the engine's own profiler watch the golden images."""
    opened = bundles.read(job.bundle)
    engine = engine_for(opened.manifest.format)
    provider = engine.providers[0] if job.provider is None else job.provider
    images = opened.golden().images.astype(opened.manifest.input.dtype)
    profile: Callable[..., Profile] = attribute(engine.profiler)
    return profile(opened.model(), provider, job.threads, images, job.runs)


def predict(job: Predict) -> Answer:
    """Answer all images of the job; the probabilities go to an `.npy` beside the answer."""
    classifier = load(job.bundle, provider=job.provider, threads=job.threads)
    np.save(f"{job.answer}.npy", classifier.predict_each(np.load(job.images, mmap_mode="r")))
    return Answer(classifier.backend.provider, classifier.backend.threads)


def measure(job: Measure, turns: Iterable[None]) -> Answer:
    """One session: load, first inference, warm-up, then slices of timed runs, the model alone and end to end.

    Args:
        job: the bundle and how to time it.
        turns: a slice is timed for each, until there are enough runs; between them another bundle may have its own.
    """
    settings = job.settings
    started = time.perf_counter_ns()
    classifier = load(job.bundle, provider=job.provider, threads=job.threads)
    loaded = time.perf_counter_ns()
    images = shuffled(job, classifier, settings.seed)
    batches = [images[i : i + 1] for i in range(len(images))]
    first = timed(classifier.backend.run, batches[0])
    checked = Checked(classifier.backend, batches)
    warm_up(classifier, batches, settings)
    repeat_ratio = _repeat_ratio(classifier, batches)
    model = Meter(checked.run, settings.min_runs, settings.min_seconds)
    whole = Meter(_end_to_end(classifier, images), max(1, settings.min_runs // 4), settings.min_seconds / 4)
    spans, energy = [], list[Spent | None]()
    for _ in turns:
        before = reading()  # takes long enough for the engine's threads to sleep again, so it comes first
        for at in range(REWARMING):
            classifier.backend.run(batches[at % len(batches)])
        counter = meter()
        model.slice(SLICE_SECONDS)
        energy.append(None if counter is None else counter.spent())
        spans.append((before, reading()))
        steady = steady_rss()
        whole.slice(SLICE_SECONDS / 4)
        if model.enough and whole.enough:
            break
    return Answer(
        provider=classifier.backend.provider,
        threads=classifier.backend.threads,
        load=loaded - started,
        first=first,
        model=model.samples,
        model_slices=model.slices,
        end_to_end=whole.samples,
        end_to_end_slices=whole.slices,
        peak_rss=peak_rss(),
        steady_rss=steady,
        wrong=checked.wrong,
        repeat_ratio=repeat_ratio,
        disturbed=disturbances(spans, usable_cpus()),
        clock_tick=clock_tick(),
        placement=classifier.backend.placement(),
        energy=total(energy),
    )


class Checked:
    """Times a backend's runs on images in turn, and counts the answers that depart from those expected.

    Args:
        backend: who answers.
        batches: the images, each 1 × height × width × channels.
        expected: the answer to each; by default the backend's first ones.
    """

    def __init__(
        self, backend: Backend, batches: list[NDArray[Any]], expected: list[NDArray[np.float32]] | None = None
    ) -> None:
        self._backend, self._batches = backend, batches
        self._expected = [backend.run(batch) for batch in batches] if expected is None else expected
        self.wrong = 0

    def run(self, number: int) -> int:
        """Nanoseconds of a run on image `number`, counted round."""
        at = number % len(self._batches)
        begin = time.perf_counter_ns()
        probabilities = self._backend.run(self._batches[at])
        taken = time.perf_counter_ns() - begin
        self.wrong += changed(probabilities, self._expected[at])
        return taken


def changed(said: NDArray[np.float32], first: NDArray[np.float32]) -> bool:
    """Whether an answer differs from the first to the same images.

    Bytes are compared first: that is quicker, and leaves the CPU's caches to the engine.
    """
    if said.shape != first.shape:
        return True
    return said.tobytes() != first.tobytes() and not np.allclose(said, first, atol=1e-5)


class Meter:
    """Times runs in slices until there are enough."""

    def __init__(self, run: Callable[[int], int], min_runs: int, min_seconds: float) -> None:
        self._run, self._min_runs, self._min_seconds = run, min_runs, min_seconds
        self.samples: list[int] = []
        self.slices: list[int] = []
        """The number of runs in each."""
        self._seconds = 0.0

    @property
    def enough(self) -> bool:
        """Whether the least runs and the least seconds are reached."""
        return len(self.samples) >= self._min_runs and self._seconds >= self._min_seconds

    def slice(self, seconds: float) -> None:
        """Add runs for so long, and at least `SLICE_RUNS`, but none where there are enough."""
        before, sofar, begin = len(self.samples), self._seconds, time.perf_counter()
        while not self.enough and (len(self.samples) - before < SLICE_RUNS or self._seconds - sofar < seconds):
            self.samples.append(self._run(len(self.samples)))
            self._seconds = sofar + time.perf_counter() - begin
        if len(self.samples) > before:
            self.slices.append(len(self.samples) - before)


def shuffled(job: Job, classifier: Classifier, seed: int) -> NDArray[Any]:
    """The bundle's golden images, N × height × width × channels in the contract's dtype, in the order of the seed."""
    golden = bundles.read(job.bundle).golden().images.astype(classifier.contract.dtype)
    order = np.random.default_rng(seed).permutation(len(golden))
    return golden[order]


def warm_up(classifier: Classifier, batches: list[NDArray[Any]], settings: Settings) -> None:
    """Run until the least warm-up is done and three block medians in a row agree within 5 %."""
    started, medians, runs = time.perf_counter(), [], 0
    while True:
        block = [timed(classifier.backend.run, batches[(runs + i) % len(batches)]) for i in range(BLOCK)]
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
            (timed(classifier.backend.run, batch), timed(classifier.backend.run, batch))
            for batch in (batches[(len(ratios) * REPEAT_PAIRS + i) % len(batches)] for i in range(REPEAT_PAIRS))
        ]
        ratios.append(min(again for _, again in pairs) / min(first for first, _ in pairs))
        if ratios[-1] >= KEPT_RATIO:
            break
    return max(ratios)


def _end_to_end(classifier: Classifier, images: NDArray[Any]) -> Callable[[int], int]:
    """What times one run from a PNG's bytes to the label, as an app does it."""
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

    return lambda number: timed(whole, files[number % len(files)])


def timed(call: Callable[[Any], object], argument: Any) -> int:
    """Nanoseconds that a call takes."""
    begin = time.perf_counter_ns()
    call(argument)
    return time.perf_counter_ns() - begin
