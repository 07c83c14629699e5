"""A sweep over providers, and profiles: each is told apart, kept, and named where it fails."""

import json
from pathlib import Path

import msgspec
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.bench.checkpoint import Checkpoint, Request
from bctoolkit.bench.configurations import BenchRun, slug
from bctoolkit.bench.documents.measurements import Profile
from bctoolkit.bench.documents.report import Report
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.launcher import sessions
from bctoolkit.bench.pipeline import bench, resume
from bctoolkit.bench.worker.machine import fingerprint
from bctoolkit.errors import BackendError
from bctoolkit.files import unfinished
from bctoolkit.progress import Silent

pytestmark = pytest.mark.usefixtures("local_children", "without_plots")


@pytest.fixture(scope="module")
def settings(quick: Settings) -> Settings:
    """The least of everything, on two providers, with profiles."""
    return msgspec.structs.replace(
        quick, sessions=1, min_runs=8, min_seconds=0.0, providers=("cpu", "builtin"), profile_runs=5
    )


@pytest.fixture(scope="module")
def swept(
    four_bundles: list[Path], settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Report, Path]:
    """An ONNX bundle, which has no such provider, and a TFLite bundle, which has."""
    target = tmp_path_factory.mktemp("reports") / "swept"
    return bench([four_bundles[0], four_bundles[2]], settings, target, Silent()), target


def test_a_key_for_each_provider_and_number_of_threads(bundle: Path, quick: Settings, tmp_path: Path) -> None:
    def keys(settings: Settings) -> list[list[str]]:
        request = Request(
            bundles=(), manifests=(), settings=settings, data=None, budget=None, machine=fingerprint(), created="now"
        )
        run = BenchRun([bundles.read(bundle)], request, Checkpoint(tmp_path), Silent())
        return [[target.key for target in run.targets], [each.key for each in run.configurations]]

    name, threads = bundle.name, msgspec.structs.replace(quick, sweep=(1, 2))
    assert keys(quick) == keys(msgspec.structs.replace(quick, providers=("cpu",))) == [[name], [name]]
    assert keys(threads) == [[name], [f"{name}@1", f"{name}@2"]]
    assert keys(msgspec.structs.replace(threads, providers=("cpu", "cuda"))) == [
        [f"{name}@cpu", f"{name}@cuda"],
        [f"{name}@cpu@1", f"{name}@cpu@2", f"{name}@cuda@1", f"{name}@cuda@2"],
    ]


@pytest.mark.parametrize("name", ["../cells", "a/b", "cells: new", "läßt"])
def test_a_key_is_a_file_s_name(name: str) -> None:
    key = slug(name)
    assert Path(key).name == key
    assert slug(key) == key


def test_what_a_bundle_cannot_run_on_is_named_and_the_rest_goes_on(swept: tuple[Report, Path]) -> None:
    report, target = swept
    assert [(result.bundle, result.provider) for result in report.results] == [
        ("tiny-onnx-fp32", "cpu"),
        ("tiny-tflite-fp32", "cpu"),
        ("tiny-tflite-fp32", "builtin"),
    ]
    [failure] = report.failures
    assert (failure.bundle, failure.provider) == ("tiny-onnx-fp32", "builtin")
    assert failure.message.startswith("tiny-onnx-fp32 on builtin: unknown provider 'builtin'; providers: cpu, cuda")
    assert "tiny-onnx-fp32, builtin" in (target / "junit.xml").read_text(encoding="utf-8")
    assert "tiny-onnx-fp32, builtin: <span" in (target / "report.html").read_text(encoding="utf-8")


def test_samples_predictions_and_headings_tell_the_providers_apart(swept: tuple[Report, Path]) -> None:
    _, target = swept
    names = ["tiny-onnx-fp32@cpu", "tiny-tflite-fp32@cpu", "tiny-tflite-fp32@builtin"]
    assert list(json.loads((target / "samples.json").read_bytes())) == names
    assert {path.stem for path in (target / "predictions").iterdir()} == set(names)
    text = (target / "report.md").read_text(encoding="utf-8")
    assert "## tiny-tflite-fp32, builtin" in text
    assert "operators by xnnpack, 1 partition of the delegate)" in text


def test_what_ran_is_read_back(swept: tuple[Report, Path]) -> None:
    onnx, delegated, builtin = (result.placement for result in swept[0].results)
    assert onnx is not None
    assert list(onnx.operators) == ["cpu"]
    assert delegated is not None
    assert builtin is not None
    assert (list(delegated.operators), delegated.partitions) == (["xnnpack"], 1)
    assert (list(builtin.operators), builtin.partitions) == (["builtin"], 0)


def test_every_result_has_its_profile(swept: tuple[Report, Path]) -> None:
    report, target = swept
    profiles = [result.profile for result in report.results]
    assert [list(profile.nodes) for profile in profiles if profile is not None] == [["cpu"], ["xnnpack"], ["builtin"]]
    page = (target / "report.html").read_text(encoding="utf-8")
    assert page.count("<h2>Operator profile</h2>") == 1
    assert page.count("of warm-up: ") == 3
    assert (target / "report.md").read_text(encoding="utf-8").count("| operator | share |") == 3


def test_without_profiles_nothing_is_said_of_them(bundle: Path, settings: Settings, tmp_path: Path) -> None:
    plain = msgspec.structs.replace(settings, providers=(), profile_runs=0)
    report = bench([bundle], plain, tmp_path / "x", Silent())
    assert report.results[0].profile is None
    assert "Operator profile" not in (tmp_path / "x" / "report.html").read_text(encoding="utf-8")
    assert "profiler" not in (tmp_path / "x" / "report.md").read_text(encoding="utf-8")


def test_profiles_are_kept_when_interrupted_and_not_taken_again(
    bundle: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = msgspec.structs.replace(settings, providers=("cpu",))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(sessions, "sessions", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bench([bundle], one, tmp_path / "x", Silent())
    kept = msgspec.json.decode((unfinished(tmp_path / "x") / f"profile-{bundle.name}.json").read_bytes(), type=Profile)
    monkeypatch.setattr(sessions, "profile", interrupted)
    assert resume(tmp_path / "x", Silent()).results[0].profile == kept


def test_a_bundle_that_dies_while_profiled_is_named_and_the_others_go_on(
    four_bundles: list[Path], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = four_bundles[0], four_bundles[2]
    profile = sessions.profile

    def dying(bundle: Path, threads: int, provider: str | None, runs: int, engine: str | None) -> Profile:
        if bundle == first:
            raise BackendError(f"{bundle.name}: its process ended with signal 11")
        return profile(bundle, threads, provider, runs, engine)

    monkeypatch.setattr(sessions, "profile", dying)
    report = bench([first, second], msgspec.structs.replace(settings, providers=()), tmp_path / "x", Silent())
    assert [failure.message for failure in report.failures] == ["tiny-onnx-fp32: its process ended with signal 11"]
    assert [result.bundle for result in report.results] == [second.name]
