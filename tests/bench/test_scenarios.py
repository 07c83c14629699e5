"""The child's side of the scenarios: what is timed, when it ends, and that answers are checked meanwhile."""

import json
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
from bctoolkit.bench.documents.samples import BatchRuns, OfflineSamples, StreamsSamples, SustainedSamples
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.worker import scenarios
from bctoolkit.bench.worker.__main__ import AnyJob
from bctoolkit.bench.worker.energy import Meter
from bctoolkit.bench.worker.scenarios import Offline, Streams, Sustain, offline, streams, sustain
from bctoolkit.contract import InputContract
from bctoolkit.errors import BackendError
from bctoolkit.runtime import Classifier, load
from bctoolkit.runtime.backends import StubBackend

THREE = [0.5, 0.25, 0.25]


class Fickle(StubBackend):
    """Answers otherwise from a given run on, and remembers the sizes of its batches."""

    def __init__(self, changes_at: int = 10**9, step: float = 0.0) -> None:
        super().__init__(THREE)
        self.sizes: list[int] = []
        self.changes_at, self.step = changes_at, step

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.sizes.append(len(batch))
        time.sleep(self.step)
        answer = super().run(batch)
        return answer[:, ::-1] if len(self.sizes) > self.changes_at else answer


Put = Callable[[StubBackend], StubBackend]


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Put:
    """Let a stub take the place of the bundle's engine, without warm-up."""

    def put(backend: StubBackend) -> StubBackend:
        classifier = Classifier(backend, InputContract(height=32, width=32), ("left", "right", "up"))
        monkeypatch.setattr(scenarios, "load", lambda *_, **__: classifier)
        monkeypatch.setattr(scenarios, "warm_up", lambda *_: None)
        return backend

    return put


@pytest.fixture
def fast(quick: Settings) -> Settings:
    return msgspec.structs.replace(quick, min_seconds=0.0)


def batches_of(bundle: Path, settings: Settings, *sizes: int, threads: int = 1) -> OfflineSamples:
    return offline(Offline(str(bundle), threads, None, "", settings, sizes))


def streams_of(bundle: Path, settings: Settings, count: int, threads: int = 1) -> StreamsSamples:
    return streams(Streams(str(bundle), threads, None, "", settings, count))


def long_run(
    bundle: Path, settings: Settings, seconds: float, told: Callable[[], object] = lambda: None
) -> SustainedSamples:
    return sustain(Sustain(str(bundle), 1, None, "", settings, seconds), told)


def test_jobs_survive_the_way_to_the_child(quick: Settings) -> None:
    for job in (
        Offline("b", 1, None, "a", quick, (1, 8)),
        Streams("b", 2, "cpu", "a", quick, 4),
        Sustain("b", 1, None, "a", quick, 1.5),
    ):
        assert msgspec.json.decode(msgspec.json.encode(job), type=AnyJob) == job


def test_exactly_the_batches_asked_for_are_timed(bundle: Path, fast: Settings) -> None:
    answer = batches_of(bundle, fast, 8, 3, 70)
    assert [runs.batch for runs in answer.batches] == [8, 3, 70]
    assert [len(runs.runs) for runs in answer.batches] == [scenarios.LEAST_BATCHES] * 3
    assert all(min(runs.runs) > 0 and runs.peak_rss > 0 for runs in answer.batches)
    assert [(runs.top1_agreement, runs.broken) for runs in answer.batches] == [(1.0, [])] * 3
    assert (answer.wrong, answer.ended, answer.provider) == (0, "", "cpu")


def test_a_graph_of_one_image_is_given_one_at_a_time(four_bundles: list[Path], fast: Settings) -> None:
    for sizes in ((), (8, 32)):
        answer = batches_of(four_bundles[2], fast, *sizes)
        assert ([runs.batch for runs in answer.batches], answer.ended) == ([1], "")


def test_each_size_has_its_share_of_the_time(bundle: Path, quick: Settings, put: Put) -> None:
    put(Fickle(step=0.002))
    [runs] = batches_of(bundle, msgspec.structs.replace(quick, min_seconds=0.4), 2).batches
    assert sum(runs.runs) < 0.2e9
    assert len(runs.runs) > scenarios.LEAST_BATCHES


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
    return [BatchRuns(2**place, [int(1e9 * 2**place / rate)], peak, 1.0, []) for place, rate in enumerate(rates)]


@pytest.mark.parametrize(
    ("rates", "ended"),
    [
        ([100.0], ""),
        ([100.0, 101.0], ""),
        ([100.0, 101.0, 102.0], "two doublings in a row gained less than 5 %"),
        ([100.0, 101.0, 120.0, 121.0], ""),
        ([100.0, 150.0, 149.0, 120.0], "two doublings in a row gained less than 5 %"),
        ([100.0 * 1.2**place for place in range(9)], "256 is the largest"),
    ],
)
def test_the_doubling_ends_where_nothing_more_is_gained(rates: list[float], ended: str) -> None:
    assert scenarios._end(runs_at(rates), 0) == ended


def test_the_doubling_ends_before_memory_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenarios, "available_memory", lambda: 1_000)
    assert scenarios._end(runs_at([1.0, 2.0], 1_500), 1_000) == ""
    assert scenarios._end(runs_at([1.0, 2.0], 1_501), 1_000) == "memory would run out"


def test_doubling_begins_at_one(bundle: Path, fast: Settings, put: Put) -> None:
    """An engine whose time grows with the batch gains nothing by it."""

    class Linear(StubBackend):
        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            time.sleep(0.004 * len(batch))
            return super().run(batch)

    put(Linear(THREE))
    answer = batches_of(bundle, fast)
    assert [runs.batch for runs in answer.batches][:3] == [1, 2, 4]
    assert answer.ended


def test_batches_answered_otherwise_than_their_images_alone_are_told(bundle: Path, fast: Settings, put: Put) -> None:
    """As by an engine that computes the first image only."""

    class Lazy(StubBackend):
        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            answer = np.full((len(batch), 3), 0.1, np.float32)
            answer[:, int(batch[0].sum()) % 3] = 0.8
            return answer

    put(Lazy(THREE))
    one, eight = batches_of(bundle, fast, 1, 8).batches
    assert (one.top1_agreement, one.broken) == (1.0, [])
    assert eight.top1_agreement < 0.9
    assert any("top-1 agreement" in words for words in eight.broken)


def test_an_answer_of_another_shape_fails_the_bundle(bundle: Path, fast: Settings, put: Put) -> None:
    class Short(StubBackend):
        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            return super().run(batch[:1])

    put(Short(THREE))
    with pytest.raises(BackendError, match="batches of 4 images are answered with shape"):
        batches_of(bundle, fast, 4)


def test_answers_to_a_batch_that_change_are_counted(bundle: Path, quick: Settings, put: Put) -> None:
    count = len(bundles.read(bundle).golden().images)
    put(Fickle(changes_at=count + 2 * count + 5, step=0.001))
    settings = msgspec.structs.replace(quick, min_seconds=0.001 * 4 * 4 * count)
    assert batches_of(bundle, settings, 1).wrong > 0


def test_streams_share_the_threads_and_each_has_enough(bundle: Path, quick: Settings) -> None:
    answer = streams_of(bundle, quick, 2, threads=4)
    assert (len(answer.runs), answer.threads, answer.wrong) == (2, 2, 0)
    assert min(map(len, answer.runs)) >= quick.min_runs // 2
    assert max(map(sum, answer.runs)) <= answer.wall
    assert answer.wall >= quick.min_seconds * 1e9
    assert msgspec.json.decode(msgspec.json.encode(answer), type=StreamsSamples) == answer


def test_more_streams_than_threads_have_one_each(four_bundles: list[Path], quick: Settings) -> None:
    answer = streams_of(four_bundles[3], quick, 3, threads=2)
    assert (len(answer.runs), answer.threads) == (3, 1)


def test_streams_really_run_at_once(bundle: Path, quick: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three that wait 10 ms for each answer take together as long as one."""
    contract = InputContract(height=32, width=32)
    made: list[Fickle] = []

    def opened(*_: object, **__: object) -> Classifier:
        made.append(Fickle(step=0.01))
        return Classifier(made[-1], contract, ("left", "right", "up"))

    monkeypatch.setattr(scenarios, "load", opened)
    monkeypatch.setattr(scenarios, "warm_up", lambda *_: None)
    answer = streams_of(bundle, msgspec.structs.replace(quick, min_seconds=0.2), 3)
    assert len(made) == 3
    assert sum(map(sum, answer.runs)) > 1.5 * answer.wall


def test_a_stream_that_fails_does_not_leave_the_others_running(bundle: Path, quick: Settings, put: Put) -> None:
    count = len(bundles.read(bundle).golden().images)

    class Breaking(Fickle):
        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            if len(self.sizes) > count + 3:
                raise BackendError("the engine is lost")
            return super().run(batch)

    put(Breaking())
    with pytest.raises(BackendError, match="the engine is lost"):
        streams_of(bundle, quick, 3)


def test_answers_of_a_stream_that_change_are_counted(bundle: Path, fast: Settings, put: Put) -> None:
    count = len(bundles.read(bundle).golden().images)
    put(Fickle(changes_at=count + 10))
    assert streams_of(bundle, fast, 2).wrong >= fast.min_runs - 10


def test_a_sustained_run_lasts_as_long_as_it_is_asked_to(bundle: Path, quick: Settings) -> None:
    told: list[None] = []
    answer = long_run(bundle, quick, 0.3, lambda: told.append(None))
    [window] = answer.windows
    assert window.runs == len(answer.runs) > 10
    assert window.seconds >= 0.3
    assert sum(answer.runs) <= window.seconds * 1e9
    assert len(told) == 1
    assert msgspec.json.decode(msgspec.json.encode(answer), type=SustainedSamples) == answer


def test_windows_are_sixtieths_of_at_least_a_second() -> None:
    assert scenarios._window_ends(0.5) == [0.5]
    assert scenarios._window_ends(2.5) == [1.25, 2.5]
    ends = scenarios._window_ends(600.0)
    assert (len(ends), ends[0], ends[-1]) == (60, 10.0, 600.0)


def test_answers_of_a_sustained_run_that_change_are_counted(bundle: Path, quick: Settings, put: Put) -> None:
    count = len(bundles.read(bundle).golden().images)
    put(Fickle(changes_at=count + 10, step=0.001))
    answer = long_run(bundle, quick, 0.1)
    assert answer.wrong == len(answer.runs) - 10


def test_a_window_that_was_throttled_is_told_though_the_end_was_not(
    bundle: Path, quick: Settings, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(Fickle(step=0.01))
    usual = scenarios.reading
    clocks = iter((2000.0, 1000.0, 2000.0, 2000.0))
    monkeypatch.setattr(scenarios, "reading", lambda: usual()._replace(mhz=next(clocks), celsius=50.0))
    monkeypatch.setattr(scenarios, "_window_ends", lambda seconds: [0.05, 0.1])
    answer = long_run(bundle, quick, 0.1)
    assert [(window.mhz, window.celsius) for window in answer.windows] == [(1000.0, 50.0), (2000.0, 50.0)]
    assert TimingWarning.THROTTLING in answer.disturbed


def test_energy_is_that_of_the_sustained_runs(
    bundle: Path, quick: Settings, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counter that grows by a joule with each reading: one window's end and the run's."""

    class Joules(Meter):
        source = "package"

        def _since_last(self) -> float:
            return 1.0

    put(Fickle(step=0.001))
    monkeypatch.setattr(scenarios, "meter", Joules)
    spent = long_run(bundle, quick, 0.02).energy
    assert spent is not None
    assert (spent.source, spent.joules) == ("package", 2.0)


@pytest.mark.parametrize("place", [0, 3])
def test_real_engines_answer_batches_as_they_answer_images(
    four_bundles: list[Path], fast: Settings, place: int
) -> None:
    [runs] = batches_of(four_bundles[place], fast, 4).batches
    assert runs.top1_agreement == 1.0
    assert json.loads(msgspec.json.encode(runs))["broken"] == []
    assert load(four_bundles[place], threads=1).backend.threads == 1
