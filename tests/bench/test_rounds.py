"""Scenarios within a whole benchmark: their rounds, what the report has of them, interruption and bundles that fail."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bctoolkit.bench import rounds
from bctoolkit.bench.documents.report import Report
from bctoolkit.bench.documents.samples import StreamsSamples
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.documents.stored import read
from bctoolkit.bench.launcher import process
from bctoolkit.bench.pipeline import bench, resume
from bctoolkit.bench.worker.jobs import Job
from bctoolkit.errors import BackendError, RecipeError
from bctoolkit.files import in_use, unfinished
from bctoolkit.progress import Silent

pytestmark = pytest.mark.usefixtures("local_children", "without_plots")


@pytest.fixture(scope="module")
def fastest(quick: Settings) -> Settings:
    return msgspec.structs.replace(quick, min_runs=8, min_seconds=0.0, batches=(1, 4), streams=2, sustain_minutes=0.002)


@pytest.fixture(scope="module")
def two(four_bundles: list[Path]) -> list[Path]:
    return [four_bundles[0], four_bundles[3]]


@pytest.fixture(scope="module")
def whole(two: list[Path], fastest: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    target = tmp_path_factory.mktemp("reports") / "whole"
    return bench(two, fastest, target, Silent()), target


def test_every_scenario_is_in_the_report(whole: tuple[Report, Path]) -> None:
    report, target = whole
    assert read(target).report == report
    for result in report.results:
        assert result.offline is not None
        assert result.multi_stream is not None
        assert result.sustained is not None
        assert (result.multi_stream.streams, result.multi_stream.threads) == (2, 1)
        assert result.multi_stream.ci95_ratio is not None
        assert len(result.sustained.windows) == 1
    free, fixed = (result.offline for result in report.results)
    assert free is not None
    assert fixed is not None
    assert ([batch.batch for batch in free.batches], free.fixed_batch) == ([1, 4], None)
    assert ([batch.batch for batch in fixed.batches], fixed.fixed_batch) == ([1], 1)


def test_every_figure_follows_from_the_raw_samples(whole: tuple[Report, Path], fastest: Settings) -> None:
    report, target = whole
    raw: dict[str, Any] = json.loads((target / "scenarios.json").read_bytes())
    assert list(raw) == [result.bundle for result in report.results]
    for result in report.results:
        kept = raw[result.target]
        assert [len(kept[name]) for name in ("offline", "streams", "sustained")] == [fastest.sessions] * 2 + [1]
        assert result.offline is not None
        assert result.multi_stream is not None
        assert result.sustained is not None
        for number, batch in enumerate(result.offline.batches):
            assert batch.samples == sum(len(session["batches"][number]["runs"]) for session in kept["offline"])
        assert result.multi_stream.latency_ms.samples == sum(
            len(runs) for each in kept["streams"] for runs in each["runs"]
        )
        assert result.sustained.samples == len(kept["sustained"][0]["runs"])


def test_they_are_read_by_people_and_by_spreadsheets(whole: tuple[Report, Path]) -> None:
    _, target = whole
    for file in ("report.md", "report.html"):
        text = (target / file).read_text(encoding="utf-8")
        assert all(heading in text for heading in ("Offline", "Multi-stream", "Sustained"))
        assert "graph takes 1 image at a time" in text
    first = (target / "report.csv").read_text(encoding="utf-8").splitlines()[0]
    assert all(name in first for name in ("offline_knee", "streams_p99_ms", "slow_down", "energy_mj"))


def test_without_them_the_report_is_what_it_was(bundle: Path, quick: Settings, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(quick, sessions=1, min_runs=8, min_seconds=0.0)
    [result] = bench([bundle], settings, tmp_path / "x", Silent()).results
    assert (result.offline, result.multi_stream, result.sustained) == (None, None, None)
    assert not (tmp_path / "x" / "scenarios.json").exists()
    assert "Offline" not in (tmp_path / "x" / "report.md").read_text(encoding="utf-8")


def test_a_sweep_has_them_with_its_first_number(bundle: Path, fastest: Settings, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(
        fastest, sessions=1, threads=2, sweep=(2, 1), batches=(2,), streams=None, sustain_minutes=None
    )
    first, second = bench([bundle], settings, tmp_path / "x", Silent()).results
    assert (first.threads, second.threads) == (2, 1)
    assert first.offline is not None
    assert second.offline is None


def test_the_first_round_determines_the_sizes_and_the_others_repeat_them(
    bundle: Path, fastest: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, ...]] = []
    usual = process.in_child

    def in_child(job: Any, kind: Any, *on_line: Any) -> Any:
        sizes.append(job.batches)
        return usual(msgspec.structs.replace(job, batches=job.batches or (1, 2)), kind, *on_line)

    monkeypatch.setattr(rounds, "in_child", in_child)
    settings = msgspec.structs.replace(fastest, sessions=3, batches=(), streams=None, sustain_minutes=None)
    [result] = bench([bundle], settings, tmp_path / "x", Silent()).results
    assert sizes == [(), (1, 2), (1, 2)]
    assert result.offline is not None
    assert [batch.samples for batch in result.offline.batches] == [15, 15]


@pytest.mark.parametrize(
    ("label", "at", "kept"), [("offline", 1, 1), ("streams", 0, 2), ("sustain", 1, 2), ("sustain", 2, 3)]
)
def test_interrupted_scenarios_keep_what_is_finished(
    two: list[Path], fastest: Settings, tmp_path: Path, recorder: Any, label: str, at: int, kept: int, interrupted: Any
) -> None:
    """One session of two bundles, so two parts of each scenario. A window is reported before `sustain` is kept."""
    settings = msgspec.structs.replace(fastest, sessions=1, streams=2 if label == "streams" else None)
    with pytest.raises(KeyboardInterrupt):
        bench(two, settings, tmp_path / "x", interrupted(label, at))
    folder = unfinished(tmp_path / "x")
    finished = {path.name: path.read_bytes() for path in folder.glob("*-*.json") if not path.match("session-*")}
    assert len(finished) == kept
    report = resume(tmp_path / "x", recorder)
    assert all(result.offline and result.sustained for result in report.results)
    measured = {(step[0], step[1]) for step in recorder.steps}
    assert ("offline", 0) not in measured, "it was measured before"
    raw = json.loads((tmp_path / "x" / "scenarios.json").read_bytes())
    for name, content in finished.items():
        scenario, key = name.removesuffix(".json").split("-", 1)
        assert raw[key.removeprefix("0-")][scenario][0] == json.loads(content)


def test_progress_is_reported_by_window(bundle: Path, fastest: Settings, tmp_path: Path, recorder: Any) -> None:
    settings = msgspec.structs.replace(fastest, sessions=1, batches=None, streams=None)
    bench([bundle], settings, tmp_path / "x", recorder)
    windows = [step for step in recorder.steps if step[0] == "sustain"]
    assert windows == [("sustain", 0, 1, bundle.name), ("sustain", 1, 1, bundle.name)]


@pytest.mark.parametrize("kind", ["differs", "dies"])
def test_a_bundle_that_fails_in_a_scenario_is_named_and_the_others_go_on(
    two: list[Path], fastest: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    usual = process.in_child

    def in_child(job: Job, answer: Any, *on_line: Any) -> Any:
        if Path(job.bundle) != two[0] or answer is not StreamsSamples:
            return usual(job, answer, *on_line)
        if kind == "dies":
            raise BackendError(f"{two[0].name}: its process ended with SIGKILL")
        return msgspec.structs.replace(usual(job, answer, *on_line), mismatches=3)

    monkeypatch.setattr(rounds, "in_child", in_child)
    report = bench(two, msgspec.structs.replace(fastest, sessions=1, batches=None), tmp_path / "x", Silent())
    assert [result.bundle for result in report.results] == [two[1].name]
    [failure] = report.failures
    words = {
        "differs": "3 outputs differed from the first pass (non-deterministic)",
        "dies": "its process ended with SIGKILL",
    }[kind]
    assert failure.message == f"{two[0].name}: {words}"


def test_a_benchmark_that_is_alive_is_not_to_be_removed(two: list[Path], fastest: Settings, tmp_path: Path) -> None:
    unfinished(tmp_path / "x").mkdir()
    with in_use(unfinished(tmp_path / "x")), pytest.raises(RecipeError, match=r"in use: process \d+ works") as caught:
        bench(two, fastest, tmp_path / "x", Silent())
    assert "remove" not in str(caught.value)
