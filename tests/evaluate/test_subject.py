"""Finding and opening a run or bundle, and what that needs to have installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bctoolkit.data.corruptions.suite import CORRUPTIONS
from bctoolkit.errors import RecipeError
from bctoolkit.evaluate.subject import is_run, locate, open_subject
from bctoolkit.workspace import Workspace

BLOCKER = """
import sys
class Blocker:
    '''Let training frameworks look as if they were not installed.'''
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('tensorflow', 'keras', 'onnx', 'tf2onnx', 'click'):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Blocker())
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("name", "place"), [("tiny", "training/runs/tiny"), ("tiny-onnx-fp32", "exports/bundles/tiny-onnx-fp32")]
)
def test_runs_and_bundles_are_found_by_name_and_by_path(workspace: Path, name: str, place: str) -> None:
    assert locate(Workspace(workspace), name) == workspace / place
    assert locate(Workspace(), str(workspace / place)) == workspace / place
    assert is_run(workspace / place) == place.startswith("training")


def test_a_name_that_is_neither_is_answered_with_what_exists(workspace: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        locate(Workspace(workspace), "tinny")
    message = str(refused.value)
    assert message.startswith("tinny: neither a finished run (it would hold model.keras and run.json) nor a bundle ")
    assert "runs: tiny;" in message
    assert all(name in message for name in ("tiny-onnx-fp32", "tiny-onnx-int8-dynamic"))


def test_an_empty_workspace_says_that_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"runs: none; bundles in .*bundles: none$"):
        locate(Workspace(tmp_path), "atto")


def test_an_unfinished_run_is_none(tmp_path: Path) -> None:
    (tmp_path / "training" / "runs" / "half").mkdir(parents=True)
    (tmp_path / "training" / "runs" / "half" / "run.json").write_text("{}")
    with pytest.raises(RecipeError, match="neither a finished run"):
        locate(Workspace(tmp_path), "half")


@pytest.mark.parametrize("place", ["training/runs/tiny", "exports/bundles/tiny-tflite-int8-dynamic"])
def test_an_opened_subject_answers_with_probabilities(workspace: Path, place: str) -> None:
    subject = open_subject(workspace / place)
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    answer = subject.predict(images)
    assert answer.shape == (5, len(subject.labels))
    assert answer.sum(1) == pytest.approx(1, abs=1e-3)
    assert subject.predict(images[2:3]) == pytest.approx(answer[2:3], abs=1e-5)


def test_a_bundle_is_evaluated_without_a_training_framework(workspace: Path, class_folders: Path) -> None:
    bundle = workspace / "exports" / "bundles" / "tiny-onnx-fp32"
    script = (
        f"{BLOCKER}\nfrom pathlib import Path\nfrom bctoolkit.evaluate import evaluate\n"
        "from bctoolkit.progress import Silent\n"
        f"found = evaluate(Path({str(bundle)!r}), {str(class_folders)!r}, Silent(), corruptions=True, limit=2)\n"
        "print(len(found.corruptions), found.count)"
    )
    done = run(script)
    assert done.stdout == f"{len(CORRUPTIONS)} 2\n", done.stderr


def test_a_run_without_tensorflow_says_what_to_install(workspace: Path) -> None:
    script = (
        f"{BLOCKER}\nfrom pathlib import Path\nfrom bctoolkit.errors import MissingExtra\n"
        "from bctoolkit.evaluate.subject import open_subject\n"
        f"try: open_subject(Path({str(workspace / 'training' / 'runs' / 'tiny')!r}))\n"
        "except MissingExtra as missing: print(missing)"
    )
    assert "pip install 'bctoolkit[train]'" in run(script).stdout
