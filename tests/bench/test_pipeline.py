"""`bench`: the report folder is whole, its figures follow from the raw samples, and nothing is left of a failure."""

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.bench.documents.report import Report
from bctoolkit.bench.documents.samples import SessionSamples
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.launcher import sessions
from bctoolkit.bench.pipeline import bench, resume
from bctoolkit.bench.report.markdown import markdown
from bctoolkit.documents import Outcome, parse
from bctoolkit.errors import BackendError, BctkError, BundleCorrupt, BundleError, DatasetError, RecipeError
from bctoolkit.files import unfinished
from bctoolkit.progress import Silent
from bctoolkit.recipes import Budget

pytestmark = pytest.mark.usefixtures("local_children", "without_plots")

BUDGET = Budget(device="test", max_size_mb=1000.0, min_top1_agreement=0.5, max_load_ms=1e-6)


@pytest.fixture(scope="module")
def whole(
    four_bundles: list[Path], quick: Settings, class_folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Report, Path]:
    """The four bundles measured in child processes, with labelled images and a budget: the report and its folder."""
    target = tmp_path_factory.mktemp("reports") / "whole"
    report = bench(four_bundles, quick, target, Silent(), data=str(class_folders), budget=BUDGET)
    return report, target


@pytest.fixture(scope="module")
def fastest(quick: Settings) -> Settings:
    return msgspec.structs.replace(quick, sessions=1, min_runs=8, min_seconds=0.0)


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_is_whole_and_nothing_stands_beside_it(whole: tuple[Report, Path]) -> None:
    _, target = whole
    files = ["junit.xml", "predictions", "report.csv", "report.html", "report.json", "report.md", "samples.json"]
    assert left_behind(target) == files
    assert left_behind(target.parent) == ["whole"]


def test_the_stored_report_is_the_returned_one(whole: tuple[Report, Path]) -> None:
    report, target = whole
    stored = parse(Report, json.loads((target / "report.json").read_bytes()), "report.json", BackendError)
    assert stored == report
    assert (target / "report.md").read_text(encoding="utf-8") == markdown(report)


def test_results_come_in_the_order_of_the_bundles_with_their_facts(
    whole: tuple[Report, Path], four_bundles: list[Path], quick: Settings
) -> None:
    report, _ = whole
    assert report.settings == quick
    for result, path in zip(report.results, four_bundles, strict=True):
        manifest = bundles.read(path).manifest
        assert (result.bundle, result.format, result.quantization) == (
            path.name,
            manifest.format,
            manifest.quantization,
        )
        assert result.size_bytes == (path / manifest.model.file).stat().st_size
        assert (result.provider, result.threads) == ("cpu", quick.threads)


def test_every_figure_follows_from_the_raw_samples(whole: tuple[Report, Path], quick: Settings) -> None:
    report, target = whole
    raw: dict[str, Any] = json.loads((target / "samples.json").read_bytes())
    assert list(raw) == [result.bundle for result in report.results]
    for result in report.results:
        kept = raw[result.key]
        assert len(kept) == quick.sessions
        for key, latency in (("model", result.latency_ms), ("end_to_end", result.end_to_end_ms)):
            assert latency is not None
            samples = np.concatenate([session[key] for session in kept]) / 1e6
            assert latency.samples == len(samples)
            assert latency.p50 == pytest.approx(np.median(samples))
            assert latency.p90 == pytest.approx(np.percentile(samples, 90))
            assert latency.mean == pytest.approx(samples.mean())
            assert (latency.min, latency.max) == pytest.approx((samples.min(), samples.max()))
            medians = [float(np.median(session[key])) for session in kept]
            assert latency.spread == pytest.approx((max(medians) - min(medians)) / np.median(medians))
        assert result.load_ms == pytest.approx(np.median([session["load"] for session in kept]) / 1e6)
        assert result.first_ms == pytest.approx(np.median([session["first"] for session in kept]) / 1e6)
        assert result.peak_rss_bytes == max(session["peak_rss"] for session in kept)
        assert [session.p50_ms for session in result.sessions] == pytest.approx(
            [float(np.median(session["model"])) / 1e6 for session in kept]
        )
        assert result.throughput_per_s == pytest.approx(1000 / result.latency_ms.mean)


def test_labelled_parity_is_that_of_the_test_part(whole: tuple[Report, Path], workspace: Path) -> None:
    report, _ = whole
    trained = json.loads((workspace / "training" / "runs" / "tiny" / "metrics.json").read_bytes())
    for result in report.results:
        labelled = result.parity.labelled
        assert labelled is not None
        assert labelled.split == "test part"
        assert labelled.count == trained["count"]
        assert labelled.reference_accuracy == pytest.approx(trained["accuracy"])


def test_float32_artifacts_lose_nothing(whole: tuple[Report, Path]) -> None:
    report, _ = whole
    exact = [result.parity for result in report.results if result.quantization == "fp32"]
    assert len(exact) == 2
    for parity in exact:
        assert parity.labelled is not None
        assert parity.labelled.accuracy_drop == 0
        assert parity.golden.max_abs_diff < 1e-4
        assert parity.golden.top1_agreement == 1.0


def test_each_bundle_is_held_against_the_budget(whole: tuple[Report, Path]) -> None:
    report, _ = whole
    for result in report.results:
        assert result.verdict is not None
        assert not result.verdict.passed
        assert {check.name: check.passed for check in result.verdict.checks} == {
            "max_size_mb": True,
            "min_top1_agreement": True,
            "max_load_ms": False,
        }
        assert result.verdict.outcome is Outcome.FAILED


def test_without_data_and_budget_there_is_neither_labelled_parity_nor_verdict(
    bundle: Path, fastest: Settings, tmp_path: Path
) -> None:
    (result,) = bench([bundle], fastest, tmp_path / "report", Silent()).results
    assert result.parity.labelled is None
    assert result.verdict is None
    assert result.latency_ms.p99 is None


def test_images_of_another_set_are_judged_without_pairing(
    bundle: Path, fastest: Settings, tmp_path: Path, foreign_folders: Path
) -> None:
    (result,) = bench([bundle], fastest, tmp_path / "report", Silent(), data=str(foreign_folders)).results
    labelled = result.parity.labelled
    assert labelled is not None
    assert (labelled.split, labelled.count) == ("all images", 15)
    assert labelled.accuracy_drop is None
    assert labelled.change is None
    assert labelled.mcnemar_p is None
    assert "no comparison possible" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


def test_an_earlier_report_is_replaced(bundle: Path, fastest: Settings, tmp_path: Path) -> None:
    first = bench([bundle], fastest, tmp_path / "report", Silent())
    second = bench([bundle], fastest, tmp_path / "report", Silent())
    assert first != second
    stored = (tmp_path / "report" / "report.json").read_bytes()
    assert parse(Report, json.loads(stored), "report.json", BackendError) == second


def test_a_folder_that_is_no_report_is_never_overwritten(bundle: Path, fastest: Settings, tmp_path: Path) -> None:
    """A user's `--out .` must not cost them their files."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(BctkError, match="mine"):
        bench([bundle], fastest, tmp_path / "mine", Silent())
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_two_bundles_of_one_name_are_refused(bundle: Path, fastest: Settings, tmp_path: Path, recorder: Any) -> None:
    shutil.copytree(bundle, tmp_path / "elsewhere" / bundle.name)
    with pytest.raises(BundleError, match="two bundles are called 'tiny-onnx-fp32'"):
        bench([bundle, tmp_path / "elsewhere" / bundle.name], fastest, tmp_path / "report", recorder)
    assert recorder.steps == []
    assert not (tmp_path / "report").exists()


def test_an_old_and_a_new_bundle_of_one_name_go_by_their_folders(
    bundle: Path, fastest: Settings, tmp_path: Path
) -> None:
    """As a pull request is measured beside what it changes."""
    for name in ("old", "new"):
        shutil.copytree(bundle, tmp_path / name)
    report = bench([tmp_path / "old", tmp_path / "new"], fastest, tmp_path / "report", Silent())
    assert [result.bundle for result in report.results] == ["old", "new"]
    assert left_behind(tmp_path / "report" / "predictions") == ["new.npz", "old.npz"]


def test_no_bundle_is_refused(fastest: Settings, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        bench([], fastest, tmp_path / "report", Silent())
    assert left_behind(tmp_path) == []


def test_a_folder_that_is_no_bundle_is_refused(bundle: Path, fastest: Settings, tmp_path: Path, recorder: Any) -> None:
    with pytest.raises(BundleError, match="nowhere: no such folder"):
        bench([bundle, tmp_path / "nowhere"], fastest, tmp_path / "report", recorder)
    assert recorder.steps == []


@pytest.mark.parametrize("file", ["model.onnx", "golden.npz", "reference.npz", "manifest.json"])
def test_a_damaged_bundle_is_refused_before_any_timing(
    bundle: Path, fastest: Settings, tmp_path: Path, class_folders: Path, recorder: Any, file: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    content = bytearray((copy / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / file).write_bytes(content)
    with pytest.raises((BundleCorrupt, BackendError), match=file):
        bench([copy], fastest, tmp_path / "report", recorder, data=str(class_folders))
    assert "timing" not in {label for label, *_ in recorder.steps}
    assert left_behind(tmp_path) == ["copy"]


def test_missing_images_are_refused_before_any_timing(
    bundle: Path, fastest: Settings, tmp_path: Path, recorder: Any
) -> None:
    with pytest.raises(DatasetError, match="nowhere"):
        bench([bundle], fastest, tmp_path / "report", recorder, data=str(tmp_path / "nowhere"))
    assert recorder.steps == []
    assert left_behind(tmp_path) == []


def test_a_bench_interrupted_before_anything_is_finished_leaves_nothing(
    bundle: Path, fastest: Settings, tmp_path: Path, interrupted: Any
) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench([bundle], fastest, tmp_path / "reports" / "x", interrupted("parity", 0))
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(("label", "at"), [("parity", 1), ("timing", 0), ("timing", 100), ("timing", 200)])
def test_an_interrupted_bench_keeps_what_is_finished_and_goes_on(
    four_bundles: list[Path], fastest: Settings, tmp_path: Path, recorder: Any, label: str, at: int, interrupted: Any
) -> None:
    """Two bundles in two rounds: sessions are kept when a round is over."""
    settings, two = msgspec.structs.replace(fastest, sessions=2), four_bundles[:2]
    with pytest.raises(KeyboardInterrupt):
        bench(two, settings, tmp_path / "x", interrupted(label, at), budget=BUDGET)
    folder = unfinished(tmp_path / "x")
    assert left_behind(tmp_path) == [folder.name]
    kept = {path.name: path.read_bytes() for path in folder.glob("session-*")}
    assert len(kept) == (2 * at // 100 if label == "timing" else 0)
    report = resume(tmp_path / "x", recorder)
    assert left_behind(tmp_path) == ["x"]
    loaded = [note for label, _, _, note in recorder.steps if label == "timing" and note]
    names = [path.name for path in two]
    assert loaded == [*names, *names[::-1]][len(kept) :]
    assert [result.bundle for result in report.results] == [path.name for path in two]
    assert all(len(result.sessions) == 2 and result.verdict is not None for result in report.results)
    raw: dict[str, Any] = json.loads((tmp_path / "x" / "samples.json").read_bytes())
    for name, content in kept.items():
        _, round_, key = name.removesuffix(".json").split("-", 2)
        assert raw[key][int(round_)] == json.loads(content)


def test_an_unfinished_bench_is_not_begun_again(
    bundle: Path, fastest: Settings, tmp_path: Path, interrupted: Any
) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench([bundle], fastest, tmp_path / "x", interrupted("timing", 0))
    with pytest.raises(RecipeError, match=r"\.x\.unfinished holds an unfinished report; continue with --resume"):
        bench([bundle], fastest, tmp_path / "x", Silent())


def test_without_an_unfinished_bench_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="x has no unfinished report beside it"):
        resume(tmp_path / "x", Silent())


def test_a_bundle_that_has_changed_is_not_resumed(
    bundle: Path, fastest: Settings, tmp_path: Path, interrupted: Any
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    with pytest.raises(KeyboardInterrupt):
        bench([copy], fastest, tmp_path / "x", interrupted("timing", 0))
    path = unfinished(tmp_path / "x") / "request.json"
    request = json.loads(path.read_bytes())
    path.write_text(json.dumps(request | {"manifests": ["0" * 64]}))
    with pytest.raises(RecipeError, match=r"copy has changed since; remove .*\.x\.unfinished and measure anew"):
        resume(tmp_path / "x", Silent())


def test_another_machine_does_not_go_on(bundle: Path, fastest: Settings, tmp_path: Path, interrupted: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench([bundle], fastest, tmp_path / "x", interrupted("timing", 0))
    path = unfinished(tmp_path / "x") / "request.json"
    request = json.loads(path.read_bytes())
    request["machine"]["cpu"] = "Abacus 2000"
    path.write_text(json.dumps(request))
    with pytest.raises(RecipeError, match="begun on Abacus 2000"):
        resume(tmp_path / "x", Silent())


def test_a_damaged_checkpoint_says_so(bundle: Path, fastest: Settings, tmp_path: Path) -> None:
    unfinished(tmp_path / "x").mkdir()
    with pytest.raises(RecipeError, match=r"request\.json: .*; remove"):
        resume(tmp_path / "x", Silent())


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch, four_bundles: list[Path]) -> Path:
    """One of the four bundles, whose process is killed as where memory runs out."""
    path = four_bundles[1]
    measure = sessions.sessions

    def dying(requests: list[sessions.SessionRequest], on_progress: Any) -> list[SessionSamples | BackendError]:
        death = BackendError(f"{path.name}: its process ended with SIGKILL")
        return [death if each.bundle.name == path.name else measure([each], on_progress)[0] for each in requests]

    monkeypatch.setattr(sessions, "sessions", dying)
    return path


def test_a_bundle_whose_process_dies_is_named_and_the_others_go_on(
    four_bundles: list[Path], dying: Path, fastest: Settings, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(fastest, sessions=2)
    report = bench(four_bundles[:3], settings, tmp_path / "report", Silent(), budget=BUDGET)
    assert [result.bundle for result in report.results] == [four_bundles[0].name, four_bundles[2].name]
    assert all(len(result.sessions) == 2 for result in report.results)
    [failure] = report.failures
    assert (failure.bundle, failure.format) == (dying.name, "onnx")
    assert failure.message == f"{dying.name}: its process ended with SIGKILL"
    assert failure.message in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    suites = ElementTree.parse(tmp_path / "report" / "junit.xml").getroot()
    errors = [case.get("classname") for case in suites.iter("testcase") if case.find("error") is not None]
    assert errors == [dying.name]


def test_a_bundle_that_dies_while_answering_is_named_too(
    four_bundles: list[Path], damaged_model: Path, fastest: Settings, tmp_path: Path
) -> None:
    report = bench([damaged_model, four_bundles[0]], fastest, tmp_path / "report", Silent())
    assert [failure.bundle for failure in report.failures] == ["copy"]
    assert [result.bundle for result in report.results] == [four_bundles[0].name]


@pytest.fixture
def damaged_model(bundle: Path, tmp_path: Path) -> Path:
    """A bundle whose model has one byte flipped, under another name."""
    opened = bundles.read(bundle)
    manifest = opened.manifest
    bundles.write(
        tmp_path / "copy",
        bundles.BundleContent(
            format=manifest.format,
            quantization=manifest.quantization,
            model=b"not a model",
            input=manifest.input,
            labels=manifest.labels,
            golden=opened.golden(),
            reference=None,
            source=manifest.source,
            tools={},
            parity=manifest.parity,
            created=manifest.created,
        ),
    )
    return tmp_path / "copy"


def test_where_no_bundle_can_be_measured_nothing_is_left(bundle: Path, tmp_path: Path, fastest: Settings) -> None:
    settings = msgspec.structs.replace(fastest, providers=("abacus",))
    with pytest.raises(BackendError, match="unknown provider 'abacus'"):
        bench([bundle], settings, tmp_path / "reports" / "x", Silent())
    assert left_behind(tmp_path) == []


def test_numbers_of_threads_are_swept(bundle: Path, fastest: Settings, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(fastest, sweep=(1, 2))
    report = bench([bundle], settings, tmp_path / "report", Silent())
    assert [(result.bundle, result.threads) for result in report.results] == [(bundle.name, 1), (bundle.name, 2)]
    raw = json.loads((tmp_path / "report" / "samples.json").read_bytes())
    assert list(raw) == [f"{bundle.name}@1", f"{bundle.name}@2"]
    assert f"{bundle.name}, threads 2" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


def test_an_interrupted_bench_keeps_the_earlier_report(
    bundle: Path, fastest: Settings, tmp_path: Path, interrupted: Any
) -> None:
    earlier = bench([bundle], fastest, tmp_path / "report", Silent())
    with pytest.raises(KeyboardInterrupt):
        bench([bundle], fastest, tmp_path / "report", interrupted("timing", 100))
    stored = (tmp_path / "report" / "report.json").read_bytes()
    assert parse(Report, json.loads(stored), "report.json", BackendError) == earlier
    assert left_behind(tmp_path) == [unfinished(tmp_path / "report").name, "report"]
