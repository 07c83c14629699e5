"""The child's side of the scenarios: what is timed, when it ends, and that outputs are verified meanwhile."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit.bench.documents.measurements import TimingWarning
from bctoolkit.bench.documents.samples import BatchRuns, EnergyUse, OfflineSamples, StreamsSamples, SustainedSamples
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.worker import machine, scenarios
from bctoolkit.bench.worker.__main__ import AnyJob
from bctoolkit.bench.worker.energy import EnergyMeter
from bctoolkit.bench.worker.machine import Reading
from bctoolkit.bench.worker.scenarios import Offline, Streams, Sustain, offline, streams, sustain
from bctoolkit.contract import InputContract
from bctoolkit.errors import BackendError
from bctoolkit.runtime import Classifier, load
from bctoolkit.runtime.backends import StubBackend

THREE = [0.5, 0.25, 0.25]


class Fickle(StubBackend):
    """Takes a millisecond, predicts otherwise from some run on, and remembers the sizes of its batches."""

    def __init__(self, clock: Any, changes_at: int = 10**9) -> None:
        super().__init__(THREE)
        self.sizes: list[int] = []
        self.clock, self.changes_at = clock, changes_at

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.sizes.append(len(batch))
        self.clock.sleep(0.001)
        output = super().run(batch)
        return output[:, ::-1] if len(self.sizes) > self.changes_at else output


Put = Callable[[StubBackend], StubBackend]


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Put:
    """Let a stub take the place of the bundle's engine, without warm-up."""

    def put(backend: StubBackend) -> StubBackend:
        classifier = Classifier(backend, InputContract(height=32, width=32), ("left", "right", "up"))
        monkeypatch.setattr(scenarios, "open_classifier", lambda *_: classifier)
        monkeypatch.setattr(scenarios, "warm_up", lambda *_: None)
        return backend

    return put


@pytest.fixture
def fast(quick: Settings) -> Settings:
    return msgspec.structs.replace(quick, min_seconds=0.0)


Clock = Callable[[], int]


def batches_of(
    bundle: Path, settings: Settings, *sizes: int, threads: int = 1, clock: Clock = time.perf_counter_ns
) -> OfflineSamples:
    return offline(Offline(str(bundle), threads, None, "", settings, sizes), clock)


def streams_of(
    bundle: Path, settings: Settings, count: int, threads: int = 1, clock: Clock = time.perf_counter_ns
) -> StreamsSamples:
    return streams(Streams(str(bundle), threads, None, "", settings, count), clock)


def long_run(
    bundle: Path,
    settings: Settings,
    seconds: float,
    on_window: Callable[[], object] = lambda: None,
    clock: Clock = time.perf_counter_ns,
) -> SustainedSamples:
    return sustain(Sustain(str(bundle), 1, None, "", settings, seconds), on_window, clock)


def test_jobs_survive_the_way_to_the_child(quick: Settings) -> None:
    for job in (
        Offline("b", 1, None, "a", quick, (1, 8)),
        Streams("b", 2, "cpu", "a", quick, 4),
        Sustain("b", 1, None, "a", quick, 1.5),
    ):
        assert msgspec.json.decode(msgspec.json.encode(job), type=AnyJob) == job


def test_exactly_the_batches_of_the_settings_are_timed(bundle: Path, fast: Settings) -> None:
    answer = batches_of(bundle, fast, 8, 3, 70)
    assert [runs.batch for runs in answer.batches] == [8, 3, 70]
    assert [len(runs.runs) for runs in answer.batches] == [scenarios.LEAST_BATCHES] * 3
    assert all(min(runs.runs) > 0 and runs.peak_rss > 0 for runs in answer.batches)
    assert [(runs.top1_agreement, runs.violations) for runs in answer.batches] == [(1.0, [])] * 3
    assert (answer.mismatches, answer.stop_reason, answer.provider) == (0, "", "cpu")


def test_a_graph_of_one_image_is_given_one_at_a_time(four_bundles: list[Path], fast: Settings) -> None:
    for sizes in ((), (8, 32)):
        answer = batches_of(four_bundles[2], fast, *sizes)
        assert ([runs.batch for runs in answer.batches], answer.stop_reason) == ([1], "")


def test_each_size_has_its_share_of_the_time(bundle: Path, quick: Settings, put: Put, clock: Any) -> None:
    """A quarter of a session's 0.4 s, at a millisecond for each batch."""
    put(Fickle(clock))
    settings = msgspec.structs.replace(quick, min_seconds=0.4)
    for runs in batches_of(bundle, settings, 2, 8, clock=clock).batches:
        assert runs.runs == [1_000_000] * 100


def test_no_two_batches_in_a_row_are_alike() -> None:
    for count, size in ((7, 1), (8, 8), (8, 16), (64, 256), (10, 3)):
        rows = scenarios._rows(count, size)
        before = next(rows)
        for _ in range(5):
            after = next(rows)
            assert len(after) == size
            assert set(after) <= set(range(count))
            assert not np.array_equal(before, after)
            before = after


def runs_at(rates: list[float], peak: int = 0) -> list[BatchRuns]:
    """Sizes 1, 2, 4, … at so many images per second."""
    return [BatchRuns(2**step, [int(1e9 * 2**step / rate)], peak, 1.0, []) for step, rate in enumerate(rates)]


@pytest.mark.parametrize(
    ("rates", "reason"),
    [
        ([100.0], ""),
        ([100.0, 101.0], ""),
        ([100.0, 101.0, 102.0], "two doublings in a row gained less than 5 %"),
        ([100.0, 101.0, 120.0, 121.0], ""),
        ([100.0, 150.0, 149.0, 120.0], "two doublings in a row gained less than 5 %"),
        ([100.0 * 1.2**step for step in range(9)], "256 is the largest"),
    ],
)
def test_the_doubling_ends_where_nothing_more_is_gained(rates: list[float], reason: str) -> None:
    assert scenarios._stop_reason(runs_at(rates), 0) == reason


def test_the_doubling_ends_before_memory_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenarios, "available_memory", lambda: 1_000)
    assert scenarios._stop_reason(runs_at([1.0, 2.0], 1_500), 1_000) == ""
    assert scenarios._stop_reason(runs_at([1.0, 2.0], 1_501), 1_000) == "memory would run out"


def test_doubling_begins_at_one(bundle: Path, fast: Settings, put: Put, clock: Any) -> None:
    """An engine whose time grows with the batch gains nothing by it."""

    class Linear(StubBackend):
        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            clock.sleep(0.004 * len(batch))
            return super().run(batch)

    put(Linear(THREE))
    answer = batches_of(bundle, fast, clock=clock)
    assert [runs.batch for runs in answer.batches] == [1, 2, 4]
    assert answer.stop_reason == "two doublings in a row gained less than 5 %"


def test_batches_predicted_otherwise_than_their_images_alone_are_violations(
    bundle: Path, fast: Settings, put: Put
) -> None:
    """As by an engine that computes the first image only."""

    class Lazy(StubBackend):
        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            answer = np.full((len(batch), 3), 0.1, np.float32)
            answer[:, int(batch[0].sum()) % 3] = 0.8
            return answer

    put(Lazy(THREE))
    one, eight = batches_of(bundle, fast, 1, 8).batches
    assert (one.top1_agreement, one.violations) == (1.0, [])
    assert eight.top1_agreement < 0.9
    assert any("top-1 agreement" in violation for violation in eight.violations)


def test_an_output_of_another_shape_fails_the_bundle(bundle: Path, fast: Settings, put: Put) -> None:
    class Short(StubBackend):
        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            return super().run(batch[:1])

    put(Short(THREE))
    with pytest.raises(BackendError, match="batches of 4 images give outputs of shape"):
        batches_of(bundle, fast, 4)


def test_outputs_of_a_batch_that_change_are_counted(bundle: Path, quick: Settings, put: Put, clock: Any) -> None:
    """All images alone, then the untimed batches and 200 timed ones, of which the last ten differ."""
    count = len(bundles.read(bundle).golden().images)
    put(Fickle(clock, changes_at=count + scenarios.UNTIMED + 190))
    settings = msgspec.structs.replace(quick, min_seconds=0.001 * 4 * 200)
    assert batches_of(bundle, settings, 1, clock=clock).mismatches == 10


def test_streams_share_the_threads_and_each_has_enough(bundle: Path, quick: Settings) -> None:
    answer = streams_of(bundle, quick, 2, threads=4)
    assert (len(answer.runs), answer.threads, answer.mismatches) == (2, 2, 0)
    assert min(map(len, answer.runs)) >= quick.min_runs // 2
    assert max(map(sum, answer.runs)) <= answer.wall
    assert answer.wall >= quick.min_seconds * 1e9
    assert msgspec.json.decode(msgspec.json.encode(answer), type=StreamsSamples) == answer


def test_more_streams_than_threads_have_one_each(four_bundles: list[Path], quick: Settings) -> None:
    answer = streams_of(four_bundles[3], quick, 3, threads=2)
    assert (len(answer.runs), answer.threads) == (3, 1)


def test_streams_really_run_at_once(bundle: Path, fast: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three that wait for each other in their first timed run: one after the other none would go on."""
    contract, meeting = InputContract(height=32, width=32), threading.Barrier(3)
    count = len(bundles.read(bundle).golden().images)
    backends: list[StubBackend] = []

    class Waiting(StubBackend):
        def __init__(self, untimed: int) -> None:
            super().__init__(THREE)
            self.untimed = untimed

        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            if self.untimed == 0:
                meeting.wait(timeout=60)
            self.untimed -= 1
            return super().run(batch)

    def load_one(*_: object, **__: object) -> Classifier:
        backends.append(Waiting(0 if backends else count))  # the first predicts what is expected
        return Classifier(backends[-1], contract, ("left", "right", "up"))

    monkeypatch.setattr(scenarios, "open_classifier", load_one)
    monkeypatch.setattr(scenarios, "warm_up", lambda *_: None)
    answer = streams_of(bundle, fast, 3)
    assert len(backends) == len(answer.runs) == 3
    assert meeting.n_waiting == 0


def test_a_stream_that_fails_does_not_leave_the_others_running(
    bundle: Path, quick: Settings, put: Put, clock: Any
) -> None:
    count = len(bundles.read(bundle).golden().images)

    class Breaking(Fickle):
        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            if len(self.sizes) > count + 3:
                raise BackendError("the engine is lost")
            return super().run(batch)

    put(Breaking(clock))
    with pytest.raises(BackendError, match="the engine is lost"):
        streams_of(bundle, quick, 3)


def test_outputs_of_a_stream_that_change_are_counted(bundle: Path, fast: Settings, put: Put, clock: Any) -> None:
    count = len(bundles.read(bundle).golden().images)
    put(Fickle(clock, changes_at=count + 10))
    assert streams_of(bundle, fast, 2).mismatches >= fast.min_runs - 10


def test_a_sustained_run_lasts_as_long_as_it_is_to(bundle: Path, quick: Settings, put: Put, clock: Any) -> None:
    put(Fickle(clock))
    ends: list[None] = []
    answer = long_run(bundle, quick, 2.5, lambda: ends.append(None), clock)
    assert answer.runs == [1_000_000] * 2500
    assert [(window.runs, window.seconds) for window in answer.windows] == [(1250, 1.25), (2500, 2.5)]
    assert len(ends) == 2


def test_a_real_engine_runs_without_pause(bundle: Path, quick: Settings) -> None:
    answer = long_run(bundle, quick, 0.1)
    [window] = answer.windows
    assert window.runs == len(answer.runs)
    assert window.seconds >= 0.1
    assert sum(answer.runs) <= window.seconds * 1e9
    assert msgspec.json.decode(msgspec.json.encode(answer), type=SustainedSamples) == answer


def test_windows_are_sixtieths_of_at_least_a_second() -> None:
    assert scenarios._window_ends(0.5) == [0.5]
    assert scenarios._window_ends(2.5) == [1.25, 2.5]
    ends = scenarios._window_ends(600.0)
    assert (len(ends), ends[0], ends[-1]) == (60, 10.0, 600.0)


def test_outputs_of_a_sustained_run_that_change_are_counted(
    bundle: Path, quick: Settings, put: Put, clock: Any
) -> None:
    count = len(bundles.read(bundle).golden().images)
    put(Fickle(clock, changes_at=count + 10))
    answer = long_run(bundle, quick, 0.1, clock=clock)
    assert answer.mismatches == len(answer.runs) - 10 == 90


def test_a_window_that_was_throttled_counts_though_the_end_was_not(
    bundle: Path, quick: Settings, put: Put, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    """The CPU's clock has fallen between 1 and 2 s."""
    put(Fickle(clock))
    usual, begin = machine.reading, clock()

    def reading() -> Reading:
        return usual()._replace(mhz=1000.0 if 1e9 < clock() - begin < 2e9 else 2000.0, celsius=50.0)

    monkeypatch.setattr(scenarios, "reading", reading)
    answer = long_run(bundle, quick, 2.5, clock=clock)
    assert [(window.mhz, window.celsius) for window in answer.windows] == [(1000.0, 50.0), (2000.0, 50.0)]
    assert TimingWarning.THROTTLING in answer.interference


def test_energy_is_that_of_the_sustained_runs(
    bundle: Path, quick: Settings, put: Put, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    """A counter that grows by a joule with each reading: one window's end and the run's."""

    class Joules(EnergyMeter):
        source = "package"

        def _since_last(self) -> float:
            return 1.0

    put(Fickle(clock))
    monkeypatch.setattr(scenarios, "energy_meter", Joules)
    assert long_run(bundle, quick, 0.02, clock=clock).energy == EnergyUse("package", 2.0)


@pytest.mark.parametrize("position", [0, 3])
def test_real_engines_predict_batches_as_they_predict_images(
    four_bundles: list[Path], fast: Settings, position: int
) -> None:
    [runs] = batches_of(four_bundles[position], fast, 4).batches
    assert runs.top1_agreement == 1.0
    assert json.loads(msgspec.json.encode(runs))["violations"] == []
    assert load(four_bundles[position], threads=1).backend.threads == 1
