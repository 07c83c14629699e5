"""What a child process does for the scenarios beside single-stream: batches, several streams at once, a long run.

The names are those of MLPerf Inference (Reddi et al. 2020, ISCA). As in a session, the images are real, warm-up is not
timed, and every output is compared with the first for the same images.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle
from bctoolkit.bench.documents.measurements import TimingWarning
from bctoolkit.bench.documents.samples import BatchRuns, OfflineSamples, StreamsSamples, SustainedSamples, WindowEnd
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.worker.energy import energy_meter
from bctoolkit.bench.worker.jobs import Clock, Job, VerifiedTimer, open_classifier, outputs_differ, shuffled, warm_up
from bctoolkit.bench.worker.machine import clock_tick, detect_interference, reading
from bctoolkit.documents.formats import FORMATS, Tolerance
from bctoolkit.errors import BackendError
from bctoolkit.runtime import Classifier
from bctoolkit.statistics.metrics import Probabilities, limit_violations, parity
from bctoolkit.system import usable_cpus
from bctoolkit.system.counters import available_memory, peak_rss, steady_rss

__all__ = ["WINDOW", "Offline", "Streams", "Sustain", "offline", "streams", "sustain", "windows_in"]

LARGEST = 256
GAIN = 1.05
"""A doubling that gains less is one of the two that end the sweep."""
UNTIMED, LEAST_BATCHES, SHARE = 2, 5, 0.25
"""Of each batch size: batches that warm up, fewest timed ones, and its share of a session's least seconds."""
WINDOWS, SHORTEST_WINDOW = 60, 1.0
WINDOW = b"window\n"
"""What a child writes when a window of a sustained run is over."""


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


def offline(job: Offline, clock: Clock = time.perf_counter_ns) -> OfflineSamples:
    """One session of batches: each size warms up and has a quarter of a session's least seconds."""
    classifier = open_classifier(job, job.threads)
    manifest = bundle.read(job.bundle).manifest
    images = shuffled(job, classifier)
    alone = classifier.predict_each(images)
    warm_up(classifier, [images[i : i + 1] for i in range(len(images))], job.settings, clock)
    tolerance, seconds = manifest.tolerance, SHARE * job.settings.min_seconds
    before, resident, mismatches, measured = reading(), steady_rss(), 0, list[BatchRuns]()
    fixed = FORMATS[manifest.format].batch
    stop_reason = ""
    for size in _sizes((fixed,) if fixed else job.batches):
        runs, differing = _batches(classifier, images, alone, size, seconds, tolerance, clock)
        mismatches += differing
        measured.append(runs)
        if not (fixed or job.batches) and (stop_reason := _stop_reason(measured, resident)):
            break
    return OfflineSamples(
        provider=classifier.backend.provider,
        threads=classifier.backend.threads,
        batches=measured,
        mismatches=mismatches,
        stop_reason=stop_reason,
        interference=detect_interference([(before, reading())], usable_cpus()),
    )


def _sizes(fixed: tuple[int, ...]) -> Iterator[int]:
    """The fixed ones if there are some, else ever doubled ones."""
    yield from fixed
    size = 1
    while not fixed:
        yield size
        size *= 2


def _stop_reason(measured: list[BatchRuns], resident: int) -> str:
    """Why the next doubling is not tried; empty where it is."""
    rates = [runs.batch / float(np.median(runs.runs)) for runs in measured]
    if len(rates) > 2 and rates[-1] < GAIN * rates[-2] and rates[-2] < GAIN * rates[-3]:
        return "two doublings in a row gained less than 5 %"
    if measured[-1].batch >= LARGEST:
        return f"{LARGEST} is the largest"
    if 2 * (measured[-1].peak_rss - resident) > available_memory():
        return "memory would run out"
    return ""


def _batches(
    classifier: Classifier,
    images: NDArray[Any],
    alone: Probabilities,
    size: int,
    seconds: float,
    tolerance: Tolerance,
    clock: Clock,
) -> tuple[BatchRuns, int]:
    """Time batches of one size; also how many outputs differ from the first for the same batch."""
    first: dict[int, Probabilities] = {}
    runs, mismatches, started = list[int](), 0, 0
    for number, rows in enumerate(_rows(len(images), size)):
        if number == UNTIMED:
            started = clock()
        batch = images[rows]
        begin = clock()
        output = classifier.backend.run(batch)
        elapsed = clock() - begin
        mismatches += outputs_differ(output, first.setdefault(int(rows[0]), output))
        if number >= UNTIMED:
            runs.append(elapsed)
            if len(runs) >= LEAST_BATCHES and clock() - started >= seconds * 1e9:
                break
    observed = np.concatenate(list(first.values()))
    expected = alone[np.concatenate([(start + np.arange(size)) % len(images) for start in first])]
    if observed.shape != expected.shape:
        raise BackendError(f"batches of {size} images give outputs of shape {observed.shape}, not {expected.shape}")
    agreement = parity(expected, observed).top1_agreement
    return BatchRuns(size, runs, peak_rss(), agreement, limit_violations(expected, observed, tolerance)), mismatches


def _rows(count: int, size: int) -> Iterator[NDArray[np.intp]]:
    """Which of `count` images make up each batch, in a circle; two in a row differ."""
    step = size if size % count else 1
    start = 0
    while True:
        yield (start + np.arange(size)) % count
        start = (start + step) % count


def streams(job: Streams, clock: Clock = time.perf_counter_ns) -> StreamsSamples:
    """One session of several streams at once, each with a classifier and a part of the threads of its own."""
    share = max(1, job.threads // job.streams)
    classifiers = [open_classifier(job, share) for _ in range(job.streams)]
    images = shuffled(job, classifiers[0])
    batches = [images[i : i + 1] for i in range(len(images))]
    expected = [classifiers[0].backend.run(batch) for batch in batches]
    together = _Together(job.streams, job.settings, clock)

    def stream(number: int) -> tuple[list[int], int]:
        shift = number * len(batches) // job.streams
        timer = VerifiedTimer(classifiers[number].backend, _rotated(batches, shift), _rotated(expected, shift), clock)
        return together.run(number, timer), timer.mismatches

    with ThreadPoolExecutor(job.streams) as pool:
        list(pool.map(lambda classifier: warm_up(classifier, batches, job.settings, clock), classifiers))
        before = reading()
        finished = list(pool.map(stream, range(job.streams)))
        interference = detect_interference([(before, reading())], usable_cpus())
    return StreamsSamples(
        provider=classifiers[0].backend.provider,
        threads=classifiers[0].backend.threads,
        runs=[runs for runs, _ in finished],
        wall=together.wall(),
        mismatches=sum(mismatches for _, mismatches in finished),
        peak_rss=peak_rss(),
        interference=interference,
        clock_tick=clock_tick(),
    )


class _Together:
    """Streams that begin together, and end together once each has enough: none is ever timed beside an idle one."""

    def __init__(self, count: int, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        self._gate = threading.Barrier(count)
        self._over = threading.Event()
        self._counts = [0] * count
        self._least = -(-settings.min_runs // count)
        self._nanoseconds = settings.min_seconds * 1e9
        self._begins: list[int] = []
        self._ends: list[int] = []

    def run(self, number: int, timer: VerifiedTimer) -> list[int]:
        """A stream's runs in nanoseconds."""
        runs = list[int]()
        self._gate.wait()
        begin = self._clock()
        self._begins.append(begin)
        try:
            while not self._over.is_set():
                runs.append(timer.run(len(runs)))
                self._counts[number] = len(runs)
                if self._clock() - begin >= self._nanoseconds and min(self._counts) >= self._least:
                    break
        finally:
            self._over.set()  # also where this one fails, so that the others do not wait for it
            self._ends.append(self._clock())
        return runs

    def wall(self) -> int:
        """Nanoseconds from the first begin to the last end."""
        return max(self._ends) - min(self._begins)


def sustain(
    job: Sustain, on_window: Callable[[], object] = lambda: None, clock: Clock = time.perf_counter_ns
) -> SustainedSamples:
    """Run without pause for so many seconds after the warm-up; the machine's state is read after each window.

    Args:
        job: the bundle, and how long.
        on_window: called at the end of each window.
        clock: what times.
    """
    classifier = open_classifier(job, job.threads)
    images = shuffled(job, classifier)
    batches = [images[i : i + 1] for i in range(len(images))]
    timer = VerifiedTimer(classifier.backend, batches, clock=clock)
    warm_up(classifier, batches, job.settings, clock)
    runs, windows, throttled = list[int](), list[WindowEnd](), False
    before, counter, started = reading(), energy_meter(), clock()
    for until in _window_ends(job.seconds):
        while True:  # at least one run
            runs.append(timer.run(len(runs)))
            if clock() - started >= until * 1e9:
                break
        now = reading()
        windows.append(WindowEnd(len(runs), (clock() - started) / 1e9, now.mhz, now.celsius))
        throttled = throttled or TimingWarning.THROTTLING in detect_interference([(before, now)], usable_cpus())
        if counter is not None:
            counter.tick()
        on_window()
    interference = {*detect_interference([(before, reading())], usable_cpus())}
    if throttled:
        interference.add(TimingWarning.THROTTLING)
    return SustainedSamples(
        provider=classifier.backend.provider,
        threads=classifier.backend.threads,
        runs=runs,
        windows=windows,
        mismatches=timer.mismatches,
        interference=[reason for reason in TimingWarning if reason in interference],
        energy=None if counter is None else counter.used(),
    )


def windows_in(seconds: float) -> int:
    """How many windows a sustained run of so many seconds has."""
    return max(1, min(WINDOWS, int(seconds / SHORTEST_WINDOW)))


def _window_ends(seconds: float) -> list[float]:
    """Seconds since the start."""
    count = windows_in(seconds)
    return [seconds * (number + 1) / count for number in range(count)]


def _rotated(items: list[Any], shift: int) -> list[Any]:
    return items[shift:] + items[:shift]
