"""The worker's own parts, in this process: warm-up, answers that change, and the job's form."""

import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.bench.documents.samples import EnergyUse, SessionSamples
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.worker import energy, jobs
from bctoolkit.bench.worker.jobs import Inspect, Measure, Predict
from bctoolkit.contract import InputContract
from bctoolkit.runtime import Classifier
from bctoolkit.runtime.backends import StubBackend


class Counting(StubBackend):
    """Counts its runs, and answers otherwise from a given run on."""

    def __init__(self, changes_at: int = 10**9) -> None:
        super().__init__([0.25, 0.75])
        self.runs = 0
        self.changes_at = changes_at

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.runs += 1
        answer = super().run(batch)
        return answer[:, ::-1] if self.runs > self.changes_at else answer


def stub(backend: StubBackend) -> Classifier:
    return Classifier(backend, InputContract(height=32, width=32), ("left", "right"))


def job(bundle: Path, settings: Settings, folder: Path) -> Measure:
    return Measure(str(bundle), 1, None, str(folder / "answer"), settings)


@pytest.mark.parametrize("kind", ["measure", "predict", "inspect"])
def test_a_job_survives_the_way_to_the_child(bundle: Path, quick: Settings, tmp_path: Path, kind: str) -> None:
    sent = {
        "measure": job(bundle, quick, tmp_path),
        "predict": Predict(str(bundle), 2, "cpu", "answer", "images.npy"),
        "inspect": Inspect(str(bundle), 2, None, "answer", 5),
    }[kind]
    content = msgspec.json.encode(sent)
    assert msgspec.json.decode(content)["kind"] == kind
    assert msgspec.json.decode(content, type=Measure | Predict | Inspect) == sent


def test_measuring_in_this_process_gives_a_whole_answer(bundle: Path, quick: Settings, tmp_path: Path) -> None:
    answer = jobs.measure(job(bundle, quick, tmp_path), repeat(None))
    assert len(answer.model) >= quick.min_runs
    assert answer.wrong == 0
    assert msgspec.json.decode(msgspec.json.encode(answer), type=SessionSamples) == answer


def test_answers_that_change_while_timed_are_counted() -> None:
    batches = [np.full((1, 32, 32, 3), value, np.uint8) for value in range(9)]
    checked = jobs.Checked(Counting(), batches)
    assert min(checked.run(number) for number in range(40)) > 0
    assert checked.wrong == 0
    fickle = jobs.Checked(Counting(changes_at=9 + 25), batches)
    for number in range(40):
        fickle.run(number)
    assert fickle.wrong == 15


def test_wrong_answers_reach_the_parent(
    bundle: Path, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Counting()
    monkeypatch.setattr(jobs, "load", lambda *_, **__: stub(backend))
    monkeypatch.setattr(jobs, "SLICE_SECONDS", 0.0)

    def turns() -> Iterator[None]:
        yield
        backend.changes_at = 0
        yield from repeat(None)

    settings = msgspec.structs.replace(quick, min_runs=7, min_seconds=0.0)
    answer = jobs.measure(job(bundle, settings, tmp_path), turns())
    assert (answer.wrong, answer.model_slices) == (4, [3, 3, 1])


def test_slices_end_where_there_are_enough_runs(
    bundle: Path, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "SLICE_SECONDS", 0.0)
    settings = msgspec.structs.replace(quick, min_runs=8, min_seconds=0.0)
    answer = jobs.measure(job(bundle, settings, tmp_path), repeat(None))
    assert (answer.model_slices, answer.end_to_end_slices) == ([3, 3, 2], [2])


@pytest.mark.parametrize(("runs", "seconds"), [(1, 0.0), (10, 0.0), (1, 0.05), (40, 0.03)])
def test_a_meter_stops_at_the_least_runs_and_the_least_seconds(runs: int, seconds: float) -> None:
    def run(number: int) -> int:
        time.sleep(0.001)
        return number

    meter, slices = jobs.Meter(run, runs, seconds), 0
    while not meter.enough:
        meter.slice(0.01)
        slices += 1
    assert meter.samples == list(range(len(meter.samples)))
    assert len(meter.samples) >= runs
    assert (sum(meter.slices), len(meter.slices)) == (len(meter.samples), slices)
    assert min(meter.slices[:-1], default=3) >= 3
    before = list(meter.slices)
    meter.slice(0.01)
    assert meter.slices == before


def test_a_backend_that_keeps_answers_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sleeps for every image it did not answer last."""

    class Keeping(StubBackend):
        kept = b""

        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            if batch.tobytes() != self.kept:
                time.sleep(0.002)
                self.kept = batch.tobytes()
            return super().run(batch)

    batches = [np.full((1, 32, 32, 3), value, np.uint8) for value in range(9)]
    assert jobs._repeat_ratio(stub(Keeping([0.5, 0.5])), batches) < 0.5


def test_an_honest_backend_is_as_fast_with_other_images() -> None:
    class Honest(StubBackend):
        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            time.sleep(0.002)
            return super().run(batch)

    batches = [np.full((1, 32, 32, 3), value, np.uint8) for value in range(9)]
    assert jobs._repeat_ratio(stub(Honest([0.5, 0.5])), batches) > jobs.KEPT_RATIO


def test_warm_up_makes_at_least_the_runs_asked_for(quick: Settings) -> None:
    backend = Counting()
    settings = msgspec.structs.replace(quick, warmup_runs=95, warmup_seconds=0.0)
    jobs.warm_up(stub(backend), [np.zeros((1, 32, 32, 3), np.uint8)], settings)
    assert backend.runs >= 95


def test_warm_up_lasts_at_least_the_time_asked_for(quick: Settings) -> None:
    settings = msgspec.structs.replace(quick, warmup_runs=1, warmup_seconds=0.2)
    started = time.perf_counter()
    jobs.warm_up(stub(Counting()), [np.zeros((1, 32, 32, 3), np.uint8)], settings)
    assert time.perf_counter() - started >= 0.2


def test_warm_up_that_never_settles_ends(quick: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    durations = iter(range(1, 10**9))
    monkeypatch.setattr(jobs, "LONGEST_WARMUP", 0.1)
    monkeypatch.setattr(jobs, "timed", lambda *_: 10 * 2 ** (next(durations) // jobs.BLOCK % 2))
    started = time.perf_counter()
    jobs.warm_up(stub(Counting()), [np.zeros((1, 32, 32, 3), np.uint8)], quick)
    assert time.perf_counter() - started >= 0.1


def test_end_to_end_starts_from_a_file_and_ends_with_a_label() -> None:
    """The backend is asked with images as they were before they became PNG files."""
    seen: list[NDArray[Any]] = []

    class Remembering(StubBackend):
        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            seen.append(batch.copy())
            return super().run(batch)

    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    run = jobs._end_to_end(stub(Remembering([0.5, 0.5])), images)
    assert min(run(number) for number in range(6)) > 0
    np.testing.assert_array_equal(np.concatenate(seen), np.concatenate([images, images]))


def test_the_energy_of_the_timed_runs_is_told_where_the_system_counts_it(
    bundle: Path, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that takes a millijoule for each run, on a system whose counter says so."""
    zone = tmp_path / "class" / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, content in (("name", "package-0"), ("energy_uj", "0"), ("max_energy_range_uj", "262143328850")):
        (zone / name).write_text(content)

    class Hungry(Counting):
        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            answer = super().run(batch)
            (zone / "energy_uj").write_text(str(1000 * self.runs))
            return answer

    monkeypatch.setattr(jobs, "load", lambda *_, **__: stub(Hungry()))
    settings = msgspec.structs.replace(quick, min_runs=30, min_seconds=0.0, warmup_seconds=0.0)
    monkeypatch.setattr(energy, "SYS", tmp_path / "nowhere")
    assert jobs.measure(job(bundle, settings, tmp_path), repeat(None)).energy is None
    monkeypatch.setattr(energy, "SYS", tmp_path)
    assert jobs.measure(job(bundle, settings, tmp_path), repeat(None)).energy == EnergyUse(
        "package", pytest.approx(0.03)
    )
