"""What a child process does with a bundle: a session of measurement, a profile, or predictions."""

import io
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle
from bctoolkit.bench.documents.measurements import Profile
from bctoolkit.bench.documents.samples import EnergyUse, SessionSamples
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.worker.energy import energy_meter, total
from bctoolkit.bench.worker.machine import clock_tick, detect_interference, reading
from bctoolkit.contract import COLOURS, pillow_image, prepare
from bctoolkit.documents.formats import engine_for
from bctoolkit.lazy import attribute, is_installed, require
from bctoolkit.runtime import Backend, Classifier, load
from bctoolkit.runtime.model_files.identity import model_file
from bctoolkit.supervision.time_limit import time_limit
from bctoolkit.system import usable_cpus
from bctoolkit.system.counters import peak_rss, steady_rss

__all__ = [
    "CACHED_RATIO",
    "READY",
    "SLICE_SECONDS",
    "Clock",
    "Done",
    "Inspect",
    "Job",
    "Measure",
    "Predict",
    "Problem",
    "SliceTimer",
    "VerifiedTimer",
    "inspect",
    "measure",
    "open_classifier",
    "outputs_differ",
    "predict",
    "shuffled",
    "warm_up",
]

Clock = Callable[[], int]
"""Nanoseconds since some moment."""

BLOCK = 10
"""Runs per block while warming up; three blocks in a row within 5 % count as settled."""
LONGEST_WARMUP = 10.0
"""Seconds."""
REPEAT_PAIRS, REPEAT_ATTEMPTS = 16, 4
SLICE_SECONDS, SLICE_RUNS = 0.25, 3
"""Least time and least runs of the model in a slice."""
REWARMING = 2
"""Runs at the start of a slice that are not timed: the engine's threads slept while others were timed."""
READY = b"ready\n"
CACHED_RATIO = 0.9
"""An image repeated may be so much faster."""


class Limited(msgspec.Struct, kw_only=True):
    """What is to end even where a model does not."""

    first_answer_seconds: int = 300
    """The longest that opening the model and its first answer may take; some providers compile it first."""


class OnEngine(Limited, kw_only=True):
    """What may run in another engine than a format's first."""

    engine: str | None = None


class Job(OnEngine, tag_field="kind", tag=str.lower):
    """What the child is to do with a bundle."""

    bundle: str
    threads: int
    provider: str | None
    output: str
    """File to write the result to."""


class Measure(Job):
    """Time the bundle."""

    settings: Settings


class Predict(Job):
    """Predict images: `.npy`, N × height × width × channels uint8."""

    images: str


class Inspect(Job):
    """Profile the bundle's operators."""

    runs: int


class Problem(msgspec.Struct):
    """What stands in a result's place where the bundle cannot do the job."""

    error: str = ""


class Done(msgspec.Struct):
    """That a job without figures is done."""


def inspect(job: Inspect) -> Profile:
    """Let the engine's own profiler watch the golden images."""
    opened = bundle.read(job.bundle)
    engine = engine_for(opened.manifest.format, job.engine)
    provider = engine.providers[0] if job.provider is None else job.provider
    images = opened.golden().images.astype(opened.manifest.input.dtype)
    model, profile = model_file(opened), attribute(engine.profiler)
    with time_limit(job.first_answer_seconds * job.runs):
        measured: Profile = profile(model, provider, job.threads, images, job.runs)
    return measured


def predict(job: Predict) -> Done:
    """Predict all images of the job; the probabilities go to an `.npy` beside the result."""
    classifier = open_classifier(job, job.threads)
    np.save(f"{job.output}.npy", classifier.predict_each(np.load(job.images, mmap_mode="r")))
    return Done()


def open_classifier(job: Job, threads: int) -> Classifier:
    """Open the job's bundle, and wait for its first answer no longer than the job allows."""
    with time_limit(job.first_answer_seconds):
        classifier = load(job.bundle, engine=job.engine, provider=job.provider, threads=threads, self_test="never")
        classifier.warm_up(1)
    return classifier


def measure(job: Measure, slices: Iterable[None], clock: Clock = time.perf_counter_ns) -> SessionSamples:
    """One session: load, first inference, warm-up, then slices of timed runs, the model alone and end to end.

    Args:
        job: the bundle and how to time it.
        slices: one is timed for each, until there are enough runs; between them another bundle may be timed.
        clock: what times.
    """
    settings = job.settings
    with time_limit(job.first_answer_seconds):
        started = clock()
        classifier = load(job.bundle, engine=job.engine, provider=job.provider, threads=job.threads, self_test="never")
        loaded = clock()
        images = shuffled(job, classifier)
        batches = [images[i : i + 1] for i in range(len(images))]
        first = _time(classifier.backend.run, batches[0], clock)
    timer = VerifiedTimer(classifier.backend, batches, clock=clock)
    warm_up(classifier, batches, settings, clock)
    repeat_ratio = _repeat_ratio(classifier, batches, clock)
    model = SliceTimer(timer.run, settings.min_runs, settings.min_seconds, clock)
    end_to_end = _end_to_end(classifier, images, clock) if is_installed("PIL") else None
    whole_runs = max(1, settings.min_runs // 4)
    whole = SliceTimer(end_to_end, whole_runs, settings.min_seconds / 4, clock) if end_to_end else None
    spans, energy = [], list[EnergyUse | None]()
    for _ in slices:
        before = reading()  # takes long enough for the engine's threads to sleep again, so it comes first
        for number in range(REWARMING):
            classifier.backend.run(batches[number % len(batches)])
        counter = energy_meter()
        model.slice(SLICE_SECONDS)
        energy.append(None if counter is None else counter.used())
        spans.append((before, reading()))
        steady = steady_rss()
        if whole is not None:
            whole.slice(SLICE_SECONDS / 4)
        if model.complete and (whole is None or whole.complete):
            break
    info = classifier.info()
    return SessionSamples(
        engine=info.engine,
        provider=classifier.backend.provider,
        threads=classifier.backend.threads,
        load=loaded - started,
        first=first,
        model=model.samples,
        model_slices=model.slices,
        end_to_end=whole.samples if whole else [],
        end_to_end_slices=whole.slices if whole else [],
        peak_rss=peak_rss(),
        steady_rss=steady,
        mismatches=timer.mismatches,
        repeat_ratio=repeat_ratio,
        interference=detect_interference(spans, usable_cpus()),
        clock_tick=clock_tick(),
        placement=classifier.backend.placement(),
        energy=total(energy),
    )


class VerifiedTimer:
    """Times a backend's runs on images one after the other, and counts the outputs that differ from those expected.

    Args:
        backend: what runs.
        batches: the images, each 1 × height × width × channels.
        expected: the output for each; by default the backend's first ones.
        clock: what times.
    """

    def __init__(
        self,
        backend: Backend,
        batches: list[NDArray[Any]],
        expected: list[NDArray[np.float32]] | None = None,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        self._backend, self._batches, self._clock = backend, batches, clock
        self._expected = [backend.run(batch) for batch in batches] if expected is None else expected
        self.mismatches = 0

    def run(self, number: int) -> int:
        """Nanoseconds of a run on image `number`, counted round."""
        index = number % len(self._batches)
        begin = self._clock()
        output = self._backend.run(self._batches[index])
        elapsed = self._clock() - begin
        self.mismatches += outputs_differ(output, self._expected[index])
        return elapsed


def outputs_differ(output: NDArray[np.float32], first: NDArray[np.float32]) -> bool:
    """Whether an output differs from the first for the same images.

    Bytes are compared first: that is quicker, and leaves the CPU's caches to the engine.
    """
    if output.shape != first.shape:
        return True
    return output.tobytes() != first.tobytes() and not np.allclose(output, first, atol=1e-5)


class SliceTimer:
    """Times runs in slices until there are enough."""

    def __init__(
        self, run: Callable[[int], int], min_runs: int, min_seconds: float, clock: Clock = time.perf_counter_ns
    ) -> None:
        self._run, self._min_runs, self._min_nanoseconds, self._clock = run, min_runs, min_seconds * 1e9, clock
        self.samples: list[int] = []
        self.slices: list[int] = []
        """The number of runs in each."""
        self._nanoseconds = 0

    @property
    def complete(self) -> bool:
        """Whether the least runs and the least seconds are reached."""
        return len(self.samples) >= self._min_runs and self._nanoseconds >= self._min_nanoseconds

    def slice(self, seconds: float) -> None:
        """Add runs for so long, and at least `SLICE_RUNS`, but none where there are enough."""
        before, earlier, begin = len(self.samples), self._nanoseconds, self._clock()
        end = earlier + seconds * 1e9
        while not self.complete and (len(self.samples) - before < SLICE_RUNS or self._nanoseconds < end):
            self.samples.append(self._run(len(self.samples)))
            self._nanoseconds = earlier + self._clock() - begin
        if len(self.samples) > before:
            self.slices.append(len(self.samples) - before)


def shuffled(job: Job, classifier: Classifier) -> NDArray[Any]:
    """The bundle's golden images, N × height × width × channels in the contract's dtype, always in the same order."""
    golden = bundle.read(job.bundle).golden().images.astype(classifier.contract.dtype)
    order = np.random.default_rng(0).permutation(len(golden))
    return golden[order]


def warm_up(
    classifier: Classifier, batches: list[NDArray[Any]], settings: Settings, clock: Clock = time.perf_counter_ns
) -> None:
    """Run until the least warm-up is done and three block medians in a row agree within 5 %."""
    started, medians, runs = clock(), [], 0
    while True:
        block = [_time(classifier.backend.run, batches[(runs + i) % len(batches)], clock) for i in range(BLOCK)]
        runs += BLOCK
        medians.append(float(np.median(block)))
        recent, elapsed = medians[-3:], (clock() - started) / 1e9
        settled = len(recent) == 3 and max(recent) <= 1.05 * min(recent)
        warm = runs >= settings.warmup_runs and elapsed >= settings.warmup_seconds
        if warm and (settled or elapsed > LONGEST_WARMUP):
            return


def _repeat_ratio(classifier: Classifier, batches: list[NDArray[Any]], clock: Clock = time.perf_counter_ns) -> float:
    """How much faster an image is the second time in a row: far below 1 where outputs are cached.

    Images come as A A B B C C. The fastest of each kind are compared, for other programs only slow a run down; and a
    low ratio must show in each of several attempts.
    """
    ratios: list[float] = []
    while len(ratios) < REPEAT_ATTEMPTS:
        pairs = [
            (_time(classifier.backend.run, batch, clock), _time(classifier.backend.run, batch, clock))
            for batch in (batches[(len(ratios) * REPEAT_PAIRS + i) % len(batches)] for i in range(REPEAT_PAIRS))
        ]
        ratios.append(min(again for _, again in pairs) / min(first for first, _ in pairs))
        if ratios[-1] >= CACHED_RATIO:
            break
    return max(ratios)


def _end_to_end(
    classifier: Classifier, images: NDArray[Any], clock: Clock = time.perf_counter_ns
) -> Callable[[int], int]:
    """What times one run from a PNG's bytes to the label, as an app does it; from an array where no PNG can hold it."""
    contract, pixels = classifier.contract, images.astype(np.uint8)
    pillow = require("PIL.Image", "images")

    def encoded(image: NDArray[np.uint8]) -> bytes:
        buffer = io.BytesIO()
        pillow_image(image).save(buffer, "PNG")
        return buffer.getvalue()

    def decoded(file: bytes) -> Any:
        picture = pillow.open(io.BytesIO(file))
        picture.load()
        return picture

    as_files = contract.channels in COLOURS
    files: list[Any] = [encoded(image) if as_files else image for image in pixels]

    def whole(file: Any) -> str:
        picture = decoded(file) if as_files else file
        return classifier.predict(prepare(picture, contract)[None]).labels[0]

    return lambda number: _time(whole, files[number % len(files)], clock)


def _time(call: Callable[[Any], object], argument: Any, clock: Clock) -> int:
    """Nanoseconds that a call takes."""
    begin = clock()
    call(argument)
    return clock() - begin
