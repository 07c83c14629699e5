"""What a child process does for the scenarios beside single-stream: batches, several streams at once, a long run.

The names are those of MLPerf Inference (Reddi et al. 2020, ISCA). As in a session, real images are answered, warm-up is
not timed, and every output is compared with the first to the same images.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit.bench.documents.report import Settings, Unstable
from bctoolkit.bench.documents.samples import BatchRuns, OfflineAnswer, StreamsAnswer, SustainAnswer, WindowEnd
from bctoolkit.bench.worker.energy import meter
from bctoolkit.bench.worker.jobs import Checked, Job, changed, shuffled, warm_up
from bctoolkit.bench.worker.machine import available_memory, clock_tick, disturbances, peak_rss, reading, steady_rss
from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS, Tolerance
from bctoolkit.errors import BackendError
from bctoolkit.runtime import Classifier, load
from bctoolkit.statistics.metrics import broken_limits, parity
from bctoolkit.tools import usable_cpus

__all__ = ["WINDOW", "Offline", "Streams", "Sustain", "offline", "streams", "sustain", "windows_in"]

LARGEST = 256
GAIN = 1.05
"""A doubling that gains less is one of the two that end the sweep."""
UNTIMED, LEAST_BATCHES, SHARE = 2, 5, 0.25
"""Of each batch size: batches that warm up, fewest timed ones, and its share of a session's least seconds."""
WINDOWS, SHORTEST_WINDOW = 60, 1.0
WINDOW = b"window\n"
"""What a child tells when a window of a sustained run is over."""

Probabilities = NDArray[np.float32]


class Offline(Job):
    """Time batches."""

    settings: Settings
    batches: tuple[int, ...]
    """Exactly these sizes; empty: 1, 2, 4, … until the throughput no longer grows."""


class Streams(Job):
    """Time several streams at once."""

    settings: Settings
    streams: int


class Sustain(Job):
    """Run without pause."""

    settings: Settings
    seconds: float


def offline(job: Offline) -> OfflineAnswer:
    """One session of batches: each size warms up and has a quarter of a session's least seconds."""
    classifier = load(job.bundle, provider=job.provider, threads=job.threads)
    manifest = bundles.read(job.bundle).manifest
    images = shuffled(job, classifier, job.settings.seed)
    alone = classifier.predict_each(images)
    warm_up(classifier, [images[i : i + 1] for i in range(len(images))], job.settings)
    tolerance, seconds = QUANTIZATIONS[manifest.quantization].tolerance, SHARE * job.settings.min_seconds
    before, resident, wrong, found = reading(), steady_rss(), 0, list[BatchRuns]()
    fixed = FORMATS[manifest.format].batch
    ended = ""
    for size in _sizes((fixed,) if fixed else job.batches):
        runs, departed = _batches(classifier, images, alone, size, seconds, tolerance)
        wrong += departed
        found.append(runs)
        if not (fixed or job.batches) and (ended := _end(found, resident)):
            break
    disturbed = disturbances([(before, reading())], usable_cpus())
    return OfflineAnswer(classifier.backend.provider, classifier.backend.threads, found, wrong, ended, disturbed)


def _sizes(given: tuple[int, ...]) -> Iterator[int]:
    """Those given, else ever doubled ones."""
    yield from given
    size = 1
    while not given:
        yield size
        size *= 2


def _end(found: list[BatchRuns], resident: int) -> str:
    """Why the next doubling is not tried; empty where it is."""
    rates = [runs.batch / float(np.median(runs.runs)) for runs in found]
    if len(rates) > 2 and rates[-1] < GAIN * rates[-2] and rates[-2] < GAIN * rates[-3]:
        return "two doublings in a row gained less than 5 %"
    if found[-1].batch >= LARGEST:
        return f"{LARGEST} is the largest"
    if 2 * (found[-1].peak_rss - resident) > available_memory():
        return "memory would run out"
    return ""


def _batches(
    classifier: Classifier, images: NDArray[Any], alone: Probabilities, size: int, seconds: float, tolerance: Tolerance
) -> tuple[BatchRuns, int]:
    """Time batches of one size; also how many answers differ from the first to the same batch."""
    first: dict[int, Probabilities] = {}
    runs, wrong, started = list[int](), 0, 0.0
    for number, rows in enumerate(_rows(len(images), size)):
        if number == UNTIMED:
            started = time.perf_counter()
        batch = images[rows]
        begin = time.perf_counter_ns()
        said = classifier.backend.run(batch)
        spent = time.perf_counter_ns() - begin
        wrong += changed(said, first.setdefault(int(rows[0]), said))
        if number >= UNTIMED:
            runs.append(spent)
            if len(runs) >= LEAST_BATCHES and time.perf_counter() - started >= seconds:
                break
    said = np.concatenate(list(first.values()))
    expected = alone[np.concatenate([(start + np.arange(size)) % len(images) for start in first])]
    if said.shape != expected.shape:
        raise BackendError(f"batches of {size} images are answered with shape {said.shape}, not {expected.shape}")
    agreement = parity(expected, said).top1_agreement
    return BatchRuns(size, runs, peak_rss(), agreement, broken_limits(expected, said, tolerance)), wrong


def _rows(count: int, size: int) -> Iterator[NDArray[np.intp]]:
    """Which of `count` images make up each batch, in a circle; two in a row differ."""
    step = size if size % count else 1
    start = 0
    while True:
        yield (start + np.arange(size)) % count
        start = (start + step) % count


def streams(job: Streams) -> StreamsAnswer:
    """One session of several streams at once, each with a classifier and a part of the threads of its own."""
    share = max(1, job.threads // job.streams)
    classifiers = [load(job.bundle, provider=job.provider, threads=share) for _ in range(job.streams)]
    images = shuffled(job, classifiers[0], job.settings.seed)
    batches = [images[i : i + 1] for i in range(len(images))]
    expected = [classifiers[0].backend.run(batch) for batch in batches]
    together = _Together(job.streams, job.settings)

    def one(number: int) -> tuple[list[int], int]:
        shift = number * len(batches) // job.streams
        checked = Checked(classifiers[number].backend, _turned(batches, shift), _turned(expected, shift))
        return together.run(number, checked), checked.wrong

    with ThreadPoolExecutor(job.streams) as pool:
        list(pool.map(lambda classifier: warm_up(classifier, batches, job.settings), classifiers))
        before = reading()
        done = list(pool.map(one, range(job.streams)))
        disturbed = disturbances([(before, reading())], usable_cpus())
    return StreamsAnswer(
        provider=classifiers[0].backend.provider,
        threads=classifiers[0].backend.threads,
        runs=[runs for runs, _ in done],
        wall=together.wall(),
        wrong=sum(wrong for _, wrong in done),
        peak_rss=peak_rss(),
        disturbed=disturbed,
        clock_tick=clock_tick(),
    )


class _Together:
    """Streams that begin together, and end together once each has enough: none is ever timed beside an idle one."""

    def __init__(self, count: int, settings: Settings) -> None:
        self._gate = threading.Barrier(count)
        self._over = threading.Event()
        self._counts = [0] * count
        self._least = -(-settings.min_runs // count)
        self._seconds = settings.min_seconds
        self._begins: list[int] = []
        self._ends: list[int] = []

    def run(self, number: int, checked: Checked) -> list[int]:
        """A stream's runs in nanoseconds."""
        runs = list[int]()
        self._gate.wait()
        self._begins.append(time.perf_counter_ns())
        deadline = time.perf_counter() + self._seconds
        try:
            while not self._over.is_set():
                runs.append(checked.run(len(runs)))
                self._counts[number] = len(runs)
                if time.perf_counter() >= deadline and min(self._counts) >= self._least:
                    break
        finally:
            self._over.set()  # also where this one fails, so that the others do not wait for it
            self._ends.append(time.perf_counter_ns())
        return runs

    def wall(self) -> int:
        """Nanoseconds from the first begin to the last end."""
        return max(self._ends) - min(self._begins)


def sustain(job: Sustain, told: Callable[[], object] = lambda: None) -> SustainAnswer:
    """Run without pause for so many seconds after the warm-up; the machine's state is read after each window.

    Args:
        job: the bundle, and how long.
        told: called at the end of each window.
    """
    classifier = load(job.bundle, provider=job.provider, threads=job.threads)
    images = shuffled(job, classifier, job.settings.seed)
    batches = [images[i : i + 1] for i in range(len(images))]
    checked = Checked(classifier.backend, batches)
    warm_up(classifier, batches, job.settings)
    runs, windows, throttled = list[int](), list[WindowEnd](), False
    before, counter = reading(), meter()
    for until in _window_ends(job.seconds):
        _run_until(before.wall + until, checked, runs)
        now = reading()
        windows.append(WindowEnd(len(runs), now.wall - before.wall, now.mhz, now.celsius))
        throttled = throttled or Unstable.THROTTLING in disturbances([(before, now)], usable_cpus())
        if counter is not None:
            counter.tick()
        told()
    found = {*disturbances([(before, reading())], usable_cpus()), *([Unstable.THROTTLING] if throttled else [])}
    return SustainAnswer(
        provider=classifier.backend.provider,
        threads=classifier.backend.threads,
        runs=runs,
        windows=windows,
        wrong=checked.wrong,
        disturbed=[reason for reason in Unstable if reason in found],
        energy=None if counter is None else counter.spent(),
    )


def _run_until(moment: float, checked: Checked, runs: list[int]) -> None:
    """Add at least one run to `runs`, up to a moment of `perf_counter`."""
    while True:
        runs.append(checked.run(len(runs)))
        if time.perf_counter() >= moment:
            return


def windows_in(seconds: float) -> int:
    """How many windows a sustained run of so many seconds has."""
    return max(1, min(WINDOWS, int(seconds / SHORTEST_WINDOW)))


def _window_ends(seconds: float) -> list[float]:
    """Seconds since the start."""
    count = windows_in(seconds)
    return [seconds * (place + 1) / count for place in range(count)]


def _turned(items: list[Any], shift: int) -> list[Any]:
    return items[shift:] + items[:shift]
