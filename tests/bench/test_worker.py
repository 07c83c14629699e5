"""The worker's own parts, in this process: warm-up, outputs that change, and the job's form."""

import sys
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.bench.documents.samples import SessionSamples
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.launcher.process import in_child
from bctoolkit.bench.worker import energy, jobs
from bctoolkit.bench.worker.jobs import Inspect, Measure, Predict
from bctoolkit.contract import InputContract
from bctoolkit.runtime import Classifier
from bctoolkit.runtime.backends import StubBackend


class Counting(StubBackend):
    """Counts its runs, each of which takes a second, and predicts otherwise from some run on."""

    def __init__(self, changes_at: int = 10**9, clock: Any = None) -> None:
        super().__init__([0.25, 0.75])
        self.runs = 0
        self.changes_at, self.clock = changes_at, clock

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.runs += 1
        if self.clock is not None:
            self.clock.sleep(1.0)
        output = super().run(batch)
        return output[:, ::-1] if self.runs > self.changes_at else output


def stub(backend: StubBackend) -> Classifier:
    return Classifier(backend, InputContract(height=32, width=32), ("left", "right"))


def job(bundle: Path, settings: Settings, folder: Path) -> Measure:
    return Measure(str(bundle), 1, None, str(folder / "result"), settings)


@pytest.mark.parametrize("kind", ["measure", "predict", "inspect"])
def test_a_job_survives_the_way_to_the_child(bundle: Path, quick: Settings, tmp_path: Path, kind: str) -> None:
    sent = {
        "measure": job(bundle, quick, tmp_path),
        "predict": Predict(str(bundle), 2, "cpu", "result", "images.npy"),
        "inspect": Inspect(str(bundle), 2, None, "result", 5),
    }[kind]
    content = msgspec.json.encode(sent)
    assert msgspec.json.decode(content)["kind"] == kind
    assert msgspec.json.decode(content, type=Measure | Predict | Inspect) == sent


def test_measuring_in_this_process_gives_whole_samples(bundle: Path, quick: Settings, tmp_path: Path) -> None:
    answer = jobs.measure(job(bundle, quick, tmp_path), repeat(None))
    assert len(answer.model) >= quick.min_runs
    assert answer.mismatches == 0
    assert msgspec.json.decode(msgspec.json.encode(answer), type=SessionSamples) == answer


def test_outputs_that_change_while_timed_are_counted(clock: Any) -> None:
    batches = [np.full((1, 32, 32, 3), value, np.uint8) for value in range(9)]
    timer = jobs.VerifiedTimer(Counting(clock=clock), batches, clock=clock)
    assert {timer.run(number) for number in range(40)} == {1_000_000_000}
    assert timer.mismatches == 0
    fickle = jobs.VerifiedTimer(Counting(changes_at=9 + 25), batches)
    for number in range(40):
        fickle.run(number)
    assert fickle.mismatches == 15


def test_mismatches_reach_the_parent(
    bundle: Path, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Counting()
    monkeypatch.setattr(jobs, "load", lambda *_, **__: stub(backend))
    monkeypatch.setattr(jobs, "SLICE_SECONDS", 0.0)

    def slices() -> Iterator[None]:
        yield
        backend.changes_at = 0
        yield from repeat(None)

    settings = msgspec.structs.replace(quick, min_runs=7, min_seconds=0.0)
    answer = jobs.measure(job(bundle, settings, tmp_path), slices())
    assert (answer.mismatches, answer.model_slices) == (4, [3, 3, 1])


def test_slices_end_where_there_are_enough_runs(
    bundle: Path, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "SLICE_SECONDS", 0.0)
    settings = msgspec.structs.replace(quick, min_runs=8, min_seconds=0.0)
    answer = jobs.measure(job(bundle, settings, tmp_path), repeat(None))
    assert (answer.model_slices, answer.end_to_end_slices) == ([3, 3, 2], [2])


def test_the_warm_up_is_not_among_the_samples(
    bundle: Path, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    """The warm-up alone makes ten times the runs that are timed; the first one is timed apart."""
    backend = Counting(clock=clock)
    monkeypatch.setattr(jobs, "load", lambda *_, **__: stub(backend))
    settings = msgspec.structs.replace(quick, min_runs=8, min_seconds=0.0, warmup_runs=100)
    samples = jobs.measure(job(bundle, settings, tmp_path), repeat(None), clock)
    assert (samples.model, samples.end_to_end) == ([1_000_000_000] * 8, [1_000_000_000] * 2)
    assert (samples.load, samples.first, samples.repeat_ratio) == (0, 1_000_000_000, 1.0)
    assert backend.runs > 100 + 8


@pytest.mark.parametrize(
    ("runs", "seconds", "slices"),
    [
        (1, 0.0, [1]),
        (10, 0.0, [3, 3, 3, 1]),
        (1, 5.0, [3, 2]),  # each run takes a second
        (40, 3.0, [3] * 13 + [1]),
        (4, 0.5, [3, 1]),
    ],
)
def test_slices_end_at_the_least_runs_and_the_least_seconds(
    clock: Any, runs: int, seconds: float, slices: list[int]
) -> None:
    def run(number: int) -> int:
        clock.sleep(1.0)
        return number

    timer = jobs.SliceTimer(run, runs, seconds, clock)
    while not timer.complete:
        timer.slice(0.25)
    assert timer.samples == list(range(sum(slices)))
    assert timer.slices == slices
    timer.slice(0.25)
    assert timer.slices == slices


def test_a_slice_lasts_as_long_as_it_is_to(clock: Any) -> None:
    def run(number: int) -> int:
        clock.sleep(0.01)
        return number

    timer = jobs.SliceTimer(run, 1, 1.0, clock)
    for _ in range(4):
        timer.slice(0.25)
    assert timer.complete
    assert timer.slices == [25, 25, 25, 25]


BATCHES = [np.full((1, 32, 32, 3), value, np.uint8) for value in range(9)]


def test_a_backend_that_caches_outputs_is_detected(clock: Any) -> None:
    """It takes 2 ms for every image it did not predict last, else a tenth of that."""

    class Caching(StubBackend):
        last = b""

        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            clock.sleep(0.0002 if batch.tobytes() == self.last else 0.002)
            self.last = batch.tobytes()
            return super().run(batch)

    assert jobs._repeat_ratio(stub(Caching([0.5, 0.5])), BATCHES, clock) == pytest.approx(0.1)


def test_an_honest_backend_is_as_fast_with_other_images(clock: Any) -> None:
    backend = Counting(clock=clock)
    assert jobs._repeat_ratio(stub(backend), BATCHES, clock) == 1.0
    assert backend.runs == 2 * jobs.REPEAT_PAIRS


def test_a_low_ratio_must_show_in_every_attempt(clock: Any) -> None:
    """Another program slows the first images down; the next attempt clears the backend."""

    class Slowed(StubBackend):
        runs = 0

        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            self.runs += 1
            clock.sleep(0.01 if self.runs % 2 and self.runs <= 2 * jobs.REPEAT_PAIRS else 0.002)
            return super().run(batch)

    assert jobs._repeat_ratio(stub(Slowed([0.5, 0.5])), BATCHES, clock) == 1.0


def test_warm_up_makes_at_least_the_least_runs(quick: Settings, clock: Any) -> None:
    backend = Counting(clock=clock)
    settings = msgspec.structs.replace(quick, warmup_runs=95, warmup_seconds=0.0)
    jobs.warm_up(stub(backend), BATCHES, settings, clock)
    assert backend.runs == 100  # whole blocks


def test_warm_up_lasts_at_least_the_least_time(quick: Settings, clock: Any) -> None:
    backend = Counting(clock=clock)
    settings = msgspec.structs.replace(quick, warmup_runs=1, warmup_seconds=41.0)
    jobs.warm_up(stub(backend), BATCHES, settings, clock)
    assert backend.runs == 50


def test_warm_up_waits_until_three_blocks_agree(quick: Settings, clock: Any) -> None:
    """The third block is half slow; the fourth, fifth and sixth are alike."""

    class Settling(StubBackend):
        runs = 0

        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            clock.sleep(0.01 if self.runs < 2.5 * jobs.BLOCK else 0.001)
            self.runs += 1
            return super().run(batch)

    settling = Settling([0.5, 0.5])
    settings = msgspec.structs.replace(quick, warmup_runs=1, warmup_seconds=0.0)
    jobs.warm_up(stub(settling), BATCHES, settings, clock)
    assert settling.runs == 6 * jobs.BLOCK


def test_warm_up_that_never_settles_ends(quick: Settings, clock: Any) -> None:
    class Restless(StubBackend):
        runs = 0

        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            clock.sleep(0.1 * 2 ** (self.runs // jobs.BLOCK % 2))
            self.runs += 1
            return super().run(batch)

    started = clock()
    jobs.warm_up(stub(Restless([0.5, 0.5])), BATCHES, quick, clock)
    assert clock() - started > jobs.LONGEST_WARMUP * 1e9
    assert clock() - started < 1.5 * jobs.LONGEST_WARMUP * 1e9


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
    use = jobs.measure(job(bundle, settings, tmp_path), repeat(None)).energy
    assert use is not None
    assert use.source == "package"
    assert use.joules == pytest.approx(0.03)


def test_a_child_imports_nothing_from_the_working_folder(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("msgspec", "numpy", "bctoolkit"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('run from the working folder')")
    path, images = bundle.absolute(), tmp_path / "images.npy"
    np.save(images, np.zeros((1, 32, 32, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *(entry for entry in sys.path if entry)])
    result = in_child(Predict(str(path), 1, None, "", str(images)), jobs.Done)
    assert isinstance(result, jobs.Done)


def test_without_pillow_the_way_from_a_picture_is_not_timed(
    bundle: Path, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "is_installed", lambda module: module != "PIL")
    settings = msgspec.structs.replace(quick, min_runs=8, min_seconds=0.0)
    samples = jobs.measure(job(bundle, settings, tmp_path), repeat(None))
    assert len(samples.model) == 8
    assert (samples.end_to_end, samples.end_to_end_slices) == ([], [])
