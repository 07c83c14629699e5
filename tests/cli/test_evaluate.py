"""`bctk evaluate`: what it prints, and what it answers to wrong input."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bctoolkit.data.corruptions.suite import CORRUPTIONS
from tests.support.cli import Bctk

Refused = Callable[..., str]


@pytest.fixture
def tiny(workspace: Path) -> Path:
    return workspace / "training" / "runs" / "tiny"


def test_json_is_one_object_with_the_names_that_are_contract(bctk: Bctk, tiny: Path, class_folders: Path) -> None:
    done = bctk("evaluate", tiny, "--data", class_folders, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    evaluation = json.loads(done.stdout)
    stored = json.loads((tiny / "metrics.json").read_text())
    assert {name: evaluation[name] for name in ("accuracy", "count", "accuracy_ci95", "recall")} == {
        name: stored[name] for name in ("accuracy", "count", "accuracy_ci95", "recall")
    }
    assert evaluation["ece"] == pytest.approx(stored["ece"], abs=1e-5)
    expected = {"precision", "f1", "macro_f1", "confusion", "labels", "part", "corruptions", "corruption_mean"}
    assert expected <= set(evaluation)


def test_tables_page_and_a_note_where_the_images_come_from(
    bctk: Bctk, bundle: Path, class_folders: Path, tmp_path: Path
) -> None:
    done = bctk("evaluate", bundle, "--data", class_folders, "--corruptions", "--limit", 4, "--out", "report")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[1].startswith("images: the bundle's test part; 4 of these ")
    assert all(any(line.startswith(name.replace("_", " ")) for line in lines) for name in CORRUPTIONS)
    assert "worst at middle severity: " in done.stdout
    assert lines[-1] == "page: report/evaluation.html"
    assert (tmp_path / "report" / "evaluation.html").is_file()


def test_without_out_nothing_is_written(bctk: Bctk, bundle: Path, class_folders: Path, tmp_path: Path) -> None:
    assert bctk("evaluate", bundle, "--data", class_folders, "--limit", 2).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_names_of_the_workspace_are_enough(bctk: Bctk, workspace: Path, class_folders: Path) -> None:
    done = bctk("evaluate", "tiny-tflite-fp32", "--data", class_folders, "--limit", 2, cwd=workspace)
    assert done.stdout.startswith("tiny-tflite-fp32: a bundle on 2 real images of ")


def test_a_name_that_is_neither_run_nor_bundle(refused: Refused) -> None:
    assert refused("evaluate", "atto", "--data", "x") == (
        "error: atto: neither a finished run (it would hold model.keras and run.json) nor a bundle (manifest.json); "
        "runs in training/runs: none; bundles in exports/bundles: none"
    )


def test_data_that_is_not_there(refused: Refused, bundle: Path) -> None:
    line = refused("evaluate", bundle, "--data", "nowhere", "--out", "report")
    assert line.startswith("error: nowhere: no such folder or file")


def test_classes_that_do_not_fit(refused: Refused, bundle: Path) -> None:
    line = refused("evaluate", bundle, "--data", "synthetic", "--out", "report")
    assert line == "error: synthetic: class 'synthetic_basophil' is not one of left, right, up"


def test_a_part_that_a_bundle_cannot_know(refused: Refused, bundle: Path, class_folders: Path) -> None:
    assert "--part all" in refused("evaluate", bundle, "--data", class_folders, "--part", "validation")


@pytest.mark.parametrize(
    "arguments", [("x",), ("x", "--data", "y", "--part", "tests"), ("x", "--data", "y", "--limit", "0")]
)
def test_wrong_usage_is_exit_code_2(bctk: Bctk, arguments: tuple[str, ...]) -> None:
    assert bctk("evaluate", *arguments).returncode == 2
