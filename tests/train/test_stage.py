"""The run folder that training leaves."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from bctoolkit import networks, run
from bctoolkit.data import load
from bctoolkit.data.split import read as read_split
from bctoolkit.data.split import split
from bctoolkit.errors import DatasetError, RecipeError
from bctoolkit.files import sha256_file
from bctoolkit.progress import Silent
from bctoolkit.recipes import Phase, Split, TrainRecipe, read_train_recipe
from bctoolkit.train import train

QUICK = TrainRecipe(model="baseline_cnn", phases=(Phase("all", 1, 1e-3, ("*",)),))


@pytest.fixture(scope="session")
def tiny(workspace: Path) -> Path:
    return workspace / "training" / "runs" / "tiny"


def test_a_run_is_whole(tiny: Path) -> None:
    expected = {run.MODEL, run.RECIPE, run.FACTS, run.HISTORY, run.METRICS, run.SPLIT}
    assert {path.name for path in tiny.iterdir()} == expected | {"learning_curve.png", "confusion_matrix.png"}
    for name in ("learning_curve.png", "confusion_matrix.png"):
        with Image.open(tiny / name) as picture:
            assert min(picture.size) > 300


def test_the_stored_recipe_is_the_resolved_one_and_trains_again(tiny: Path, workspace: Path) -> None:
    assert read_train_recipe(tiny / run.RECIPE) == read_train_recipe(workspace / "tiny.toml")


def test_the_facts_carry_the_hashes_of_the_files_beside_them(tiny: Path) -> None:
    facts = run.read(tiny)
    assert facts.model_sha256 == sha256_file(tiny / run.MODEL)
    assert facts.recipe_sha256 == sha256_file(tiny / run.RECIPE)
    assert facts.labels == ("left", "right", "up")
    assert sum(sum(counts.values()) for counts in facts.data.counts.values()) == 120


def test_the_stored_split_is_the_one_that_content_decides(tiny: Path, class_folders: Path) -> None:
    dataset = load(str(class_folders), run.read(tiny).input)
    stored, decided = read_split(tiny / run.SPLIT, dataset), split(dataset, Split())
    for part in ("train", "validation", "test"):
        assert set(getattr(stored, part)) == set(getattr(decided, part))


def test_the_test_figures_can_be_recomputed_from_the_model_and_the_split(tiny: Path, class_folders: Path) -> None:
    dataset = load(str(class_folders), run.read(tiny).input)
    parts = read_split(tiny / run.SPLIT, dataset)
    model = networks.load_model(tiny / run.MODEL)
    predicted = np.asarray(model(dataset.images[parts.test].astype(np.float32))).argmax(1)
    stored = json.loads((tiny / run.METRICS).read_text())
    assert stored["count"] == len(parts.test)
    assert stored["accuracy"] == pytest.approx((predicted == dataset.labels[parts.test]).mean())
    assert stored["accuracy_ci95"][0] <= stored["accuracy"] <= stored["accuracy_ci95"][1]
    assert np.sum(stored["confusion"]) == stored["count"]


def test_a_run_that_exists_is_not_overwritten(tiny: Path, class_folders: Path) -> None:
    with pytest.raises(RecipeError, match=r"tiny already exists; choose another --name"):
        train(QUICK, str(class_folders), tiny, Silent())


def test_a_run_that_fails_leaves_nothing(class_folders: Path, tmp_path: Path) -> None:
    wrong = TrainRecipe(model="baseline_cnn", phases=(Phase("all", 1, 1e-3, ("nowhere_*",)),))
    with pytest.raises(RecipeError, match="nowhere"):
        train(wrong, str(class_folders), tmp_path / "runs" / "x", Silent())
    assert not (tmp_path / "runs").exists()


def test_ctrl_c_while_training_leaves_nothing(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.Model, "fit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(QUICK, str(class_folders), tmp_path / "runs" / "x", Silent())
    assert not (tmp_path / "runs").exists()


def test_images_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere: no such folder or file"):
        train(QUICK, str(tmp_path / "nowhere"), tmp_path / "x", Silent())
