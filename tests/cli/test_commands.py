"""The way a user goes: train → export → bench → predict → verify, through the command line."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import bctoolkit
from bctoolkit import bundle as bundles
from bctoolkit import run as runs
from bctoolkit.bench.documents.report import Report
from bctoolkit.bundle import Golden
from bctoolkit.documents.formats import FORMATS
from bctoolkit.files import sha256_file
from bctoolkit.manifest import Processor
from bctoolkit.recipes import read_train_recipe
from bctoolkit.workspace import SHELVES
from tests.support.cli import Bctk


@pytest.fixture
def run_folder(workspace: Path) -> Path:
    return workspace / "training" / "runs" / "tiny"


@pytest.fixture
def image(class_folders: Path) -> Path:
    return class_folders / "right" / "000.png"


def test_version_is_the_package_s(bctk: Bctk) -> None:
    assert bctk("--version").stdout == f"bctk, version {bctoolkit.__version__}\n"


def test_a_report_of_a_fault_says_what_it_ran_on(bctk: Bctk) -> None:
    done = bctk("--version", "--verbose")
    first, python, cpu, packages, missing = done.stdout.splitlines()
    assert first == f"bctk, version {bctoolkit.__version__}"
    assert python.startswith(f"Python {platform.python_version()} on ")
    assert re.fullmatch(r"\d+ CPUs: .+ \(.+\)", cpu)
    assert f"numpy {np.__version__}" in packages
    assert missing.startswith("without: ")
    assert str(Path.home()) not in done.stdout
    assert bctk("--verbose").returncode == 2
    assert bctk().returncode == 2


@pytest.mark.parametrize(
    ("shell", "beginning"), [("bash", "_bctk_completion"), ("zsh", "#compdef bctk"), ("fish", "function")]
)
def test_shells_can_complete(tmp_path: Path, shell: str, beginning: str) -> None:
    """As docs/reference.md says: the script is printed, and what it asks for comes back."""
    command = [sys.executable, "-c", "from bctoolkit.cli import cli; cli(prog_name='bctk')"]
    told = subprocess.run(
        command, env={**os.environ, "_BCTK_COMPLETE": f"{shell}_source"}, capture_output=True, text=True, check=False
    )
    assert beginning in told.stdout
    asked = {
        "_BCTK_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "bctk ev",
        "COMP_CWORD": "1" if shell != "fish" else "ev",
    }
    answered = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert "evaluate" in answered.stdout


def test_train_leaves_a_whole_run(run_folder: Path) -> None:
    names = (
        "model.keras recipe.toml run.json history.json metrics.json split.npz learning_curve.png confusion_matrix.png "
        "history.csv tensorboard"
    )
    assert {path.name for path in run_folder.iterdir()} == set(names.split())
    assert [path.name for path in run_folder.parent.iterdir()] == ["tiny"]


def test_a_run_knows_what_it_was_made_of(run_folder: Path, class_folders: Path) -> None:
    facts = runs.read(run_folder)
    assert facts.labels == ("left", "right", "up")
    assert facts.model_sha256 == sha256_file(run_folder / "model.keras")
    assert facts.recipe_sha256 == sha256_file(run_folder / "recipe.toml")
    assert Path(facts.data.source) == class_folders.resolve()
    assert sum(sum(counts.values()) for counts in facts.data.counts.values()) == 120
    assert facts.data.kind == "real"


def test_the_resolved_recipe_of_a_run_can_be_trained_again(run_folder: Path, workspace: Path) -> None:
    assert read_train_recipe(run_folder / "recipe.toml") == read_train_recipe(workspace / "tiny.toml")


def test_the_test_figures_of_a_run_agree_with_their_confusion_matrix(run_folder: Path) -> None:
    figures = msgspec.json.decode((run_folder / "metrics.json").read_bytes(), type=runs.TestMetrics)
    counts = np.array(figures.confusion)
    assert counts.sum() == figures.count == sum(runs.read(run_folder).data.counts["test"].values())
    assert figures.accuracy == pytest.approx(np.trace(counts) / counts.sum())
    assert figures.accuracy_ci95[0] <= figures.accuracy <= figures.accuracy_ci95[1]


def test_export_makes_one_bundle_of_every_format_and_quantization(workspace: Path) -> None:
    wanted = {f"tiny-{name}-{kind}" for name, row in FORMATS.items() for kind in row.quantizations}
    assert {path.name for path in (workspace / "exports" / "bundles").iterdir()} == wanted


def test_a_bundle_knows_the_run_it_comes_from(bundle: Path, run_folder: Path) -> None:
    manifest, facts = bundles.read(bundle).manifest, runs.read(run_folder)
    assert manifest.source.run == "tiny"
    assert manifest.source.model_sha256 == facts.model_sha256
    assert manifest.source.dataset_sha256 == facts.data.sha256
    assert manifest.source.recipe_sha256 == facts.recipe_sha256
    assert manifest.labels == facts.labels
    assert manifest.input == facts.input


def test_a_bundle_carries_the_whole_test_part_s_reference_and_nothing_trained_on(
    bundle: Path, run_folder: Path
) -> None:
    reference = bundles.read(bundle).reference()
    assert reference is not None
    with np.load(run_folder / "split.npz") as stored:
        test_part = {bytes(row) for row in stored["hashes"][stored["part"] == 2]}
    assert {bytes(row) for row in reference.hashes} == test_part


@pytest.mark.parametrize("name", [f"tiny-{name}-{kind}" for name, row in FORMATS.items() for kind in row.quantizations])
def test_every_exported_bundle_is_verified(bctk: Bctk, workspace: Path, name: str) -> None:
    done = bctk("verify", workspace / "exports" / "bundles" / name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "verified"
    assert done.stderr == ""
    told = re.search(r"golden images: .*max (\S+) (\S+) \(sealed with (\S+)\), mean (\S+) (\S+) \((\S+)\)", done.stdout)
    assert told is not None
    assert told[2] == told[3]  # asked one at a time, as when it was sealed
    assert told[5] == told[6]


def test_a_bundle_stays_whole_wherever_it_is_copied(bctk: Bctk, bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "Gerät 1" / "model")
    assert bctk("verify", Path("Gerät 1") / "model").returncode == 0


def resealed(bundle: Path, target: Path, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
    """The bundle with other answers of the reference."""
    opened = bundles.read(bundle)
    golden, manifest = opened.golden(), opened.manifest
    bundles.write(
        target,
        bundles.BundleContent(
            format=manifest.format,
            quantization=manifest.quantization,
            model=opened.model(),
            input=manifest.input,
            labels=manifest.labels,
            golden=Golden(golden.images, change(golden.probabilities), golden.labels),
            reference=None,
            source=manifest.source,
            tools={},
            cpu=Processor("A CPU", ("avx2", "fma")),
            parity=manifest.parity,
            created=manifest.created,
        ),
    )


def test_a_model_that_answers_otherwise_than_the_reference_is_exit_code_3(
    bctk: Bctk, bundle: Path, tmp_path: Path
) -> None:
    resealed(bundle, tmp_path / "swapped", lambda answers: np.ascontiguousarray(answers[:, ::-1]))
    done = bctk("verify", "swapped")
    assert done.returncode == 3
    assert done.stderr.startswith("FAILED: max |Δp| ")
    assert done.stderr.count("\n") == 1
    assert "verified" not in done.stdout


def test_a_machine_that_answers_otherwise_than_the_one_that_sealed_is_told(
    bctk: Bctk, bundle: Path, tmp_path: Path
) -> None:
    """Within the limits, and still further from the reference than it was."""
    shift = np.array([5e-5, -5e-5, 0], np.float32)
    resealed(bundle, tmp_path / "moved", lambda answers: np.concatenate([answers[:1] + shift, answers[1:]]))
    done = bctk("verify", "moved")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: outputs deviate more from the reference here than where the bundle was ")
    assert "sealed: A CPU (avx2, fma); this is " in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout.splitlines()[-1] == "verified"


def test_predict_prints_the_label_and_every_class_from_the_likeliest_down(
    bctk: Bctk, bundle: Path, image: Path
) -> None:
    done = bctk("predict", bundle, image)
    assert done.returncode == 0
    name, label, *rest = done.stdout.split()
    assert name == f"{image}:"
    assert {label, *rest[0::2]} == {"left", "right", "up"}
    values = [float(value) for value in rest[1::2]]
    assert rest[0] == label
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1, abs=2e-4)


@pytest.mark.parametrize("name", FORMATS)
def test_predict_prints_one_json_object_per_image(bctk: Bctk, workspace: Path, class_folders: Path, name: str) -> None:
    images = [class_folders / label / "001.png" for label in ("left", "up")]
    done = bctk("predict", workspace / "exports" / "bundles" / f"tiny-{name}-fp32", *images, "--json")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["image"] for answer in answers] == [str(path) for path in images]
    for answer in answers:
        assert list(answer) == ["image", "label", "accepted", "probabilities"]
        assert list(answer["probabilities"]) == ["left", "right", "up"]
        assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert done.stderr == ""


def test_predict_answers_alike_with_every_format(bctk: Bctk, workspace: Path, image: Path) -> None:
    folder = workspace / "exports" / "bundles"
    lines = [bctk("predict", folder / f"tiny-{name}-fp32", image, "--json").stdout for name in FORMATS]
    answers = np.array([list(json.loads(line)["probabilities"].values()) for line in lines])
    assert np.abs(answers - answers[0]).max() < 1e-4


def test_a_budget_that_is_not_kept_is_exit_code_3(failed_bench: tuple[CompletedProcess[str], Path]) -> None:
    done, _ = failed_bench
    assert done.returncode == 3, done.stderr
    assert "tiny-onnx-fp32: verdict FAILED" in done.stdout
    assert "max_size_mb 0.001: " in done.stdout
    assert done.stderr == ""


def test_a_failed_verdict_still_leaves_its_report(failed_bench: tuple[CompletedProcess[str], Path]) -> None:
    _, root = failed_bench
    assert {path.name for path in root.iterdir()} == {"future.toml", "report"}
    report = msgspec.json.decode((root / "report" / "report.json").read_bytes(), type=Report)
    [result] = report.results
    assert result.verdict is not None
    assert {check.name: check.passed for check in result.verdict.checks}["max_size_mb"] is False
    assert {check.name for check in result.verdict.checks} == {"max_size_mb", "max_p50_ms", "min_top1_agreement"}


def test_a_benchmark_pairs_the_test_part_with_the_reference(
    failed_bench: tuple[CompletedProcess[str], Path], run_folder: Path
) -> None:
    _, root = failed_bench
    [result] = msgspec.json.decode((root / "report" / "report.json").read_bytes(), type=Report).results
    labelled = result.parity.labelled
    assert labelled is not None
    figures = msgspec.json.decode((run_folder / "metrics.json").read_bytes(), type=runs.TestMetrics)
    assert (labelled.split, labelled.count) == ("test part", figures.count)
    assert labelled.accuracy_drop == 0
    assert labelled.reference_accuracy == pytest.approx(figures.accuracy)


def test_bench_measures_the_newest_bundles_and_writes_on_the_shelf(bctk: Bctk, workspace: Path, tmp_path: Path) -> None:
    shelf = tmp_path / "exports" / "bundles"
    for name in ("tiny-onnx-fp32", "tiny-tflite-int8-dynamic"):
        shutil.copytree(workspace / "exports" / "bundles" / name, shelf / name)
    (tmp_path / "benchmarks" / "budgets").mkdir(parents=True)
    (tmp_path / "benchmarks" / "budgets" / "easy.toml").write_text('device = "any"\nmax_size_mb = 100\n')
    done = bctk("bench", "--quick", "--budget", "easy")
    assert done.returncode == 0, done.stderr
    [folder] = (tmp_path / "benchmarks" / "reports").iterdir()
    report = msgspec.json.decode((folder / "report.json").read_bytes(), type=Report)
    assert [result.bundle for result in report.results] == ["tiny-onnx-fp32", "tiny-tflite-int8-dynamic"]
    assert f"report: {(folder / 'report.html').relative_to(tmp_path)}" in done.stdout
    assert done.stdout.count("verdict passed") == 2


def test_train_without_images_in_an_empty_folder_writes_nothing(bctk: Bctk, tmp_path: Path) -> None:
    done = bctk("train")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no images: training/data holds neither class folders nor one .npz")
    assert list(tmp_path.iterdir()) == []


def test_a_run_s_name_is_used_once(bctk: Bctk, workspace: Path, class_folders: Path) -> None:
    done = bctk("train", "--recipe", "tiny.toml", "--data", class_folders, "--name", "tiny", cwd=workspace)
    assert done.returncode == 1
    assert done.stderr == "error: the run training/runs/tiny already exists; choose another --name\n"


def test_init_makes_a_workspace_in_which_commands_work(bctk: Bctk, tmp_path: Path) -> None:
    done = bctk("init", "mine")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "mine").iterdir()} == set(SHELVES)
    assert done.stdout.splitlines()[-1].startswith("next: bctk train")
    refused = bctk("export", cwd=tmp_path / "mine")
    assert refused.stderr.startswith("error: no finished run in training/runs")


def test_init_in_the_folder_one_is_in(bctk: Bctk, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine\n")
    assert bctk("init").returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {*SHELVES, "notes.txt"}


def whole_pictures(crops: Path, root: Path) -> Path:
    """The pictures that crops of 40 pixels were cut out of: 72×75, with other things around."""
    rng = np.random.default_rng(5)
    for path in crops.glob("*/*.png"):
        whole = rng.integers(0, 256, (75, 72, 3), np.uint8)
        with Image.open(path) as crop:
            whole[17:57, 16:56] = np.asarray(crop)
        target = root / path.relative_to(crops)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(whole).save(target)
    return root


def test_a_network_of_crops_knows_the_pictures_they_were_cut_from(
    workspace: Path, class_folders: Path, bctk: Bctk, tmp_path: Path
) -> None:
    """Crops and whole pictures give one answer, from the exported Keras file on; pictures of another scale none."""
    model = workspace / "training" / "runs" / "tiny" / "model.keras"
    made = (
        "--prepared",
        "centre 40 of 72",
        "--labels",
        "left,right,up",
        "--golden",
        "synthetic",
        "--data",
        class_folders,
    )
    assert bctk("export", model, *made, "--format", "onnx", "--out", "out").returncode == 0
    whole = whole_pictures(class_folders, tmp_path / "whole")
    of_crops, of_wholes = (
        bctk("predict", "out/model-onnx-fp32", *sorted(folder.glob("*/00*.png")), "--json").stdout.splitlines()
        for folder in (class_folders, whole)
    )
    answers = [[json.loads(line)["probabilities"] for line in lines] for lines in (of_crops, of_wholes)]
    assert len(answers[0]) == 30
    assert answers[0] == answers[1]
    Image.new("RGB", (200, 200)).save(tmp_path / "field.png")
    other = bctk("predict", "out/model-onnx-fp32", "field.png")
    assert other.returncode == 1
    assert "field.png has 200×200 pixels; the network knows the centre 40×40 of pictures of about 72" in other.stderr


def test_training_tells_devices_how_its_crops_were_made(workspace: Path, class_folders: Path, bctk: Bctk) -> None:
    given = ("train", "--recipe", workspace / "tiny.toml", "--data", class_folders, "--dry-run")
    silent, told = bctk(*given), bctk(*given, "--prepared", "centre 40 of 72")
    assert "picture = 72" in told.stdout
    hint = "the images have 40×40 pixels; if they were cut out of larger pictures, say how"
    assert hint in silent.stderr
    assert hint not in told.stderr
