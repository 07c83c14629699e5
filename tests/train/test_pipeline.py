"""The run folder that training leaves, and continuing a run that was interrupted."""

import csv
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bctoolkit import networks, run
from bctoolkit.contract import InputContract
from bctoolkit.data import load
from bctoolkit.data.split import read as read_split
from bctoolkit.data.split import split
from bctoolkit.errors import DatasetError, RecipeError, WeightsError
from bctoolkit.export.source import load_data, open_source
from bctoolkit.files import in_use, sha256_file, unfinished
from bctoolkit.progress import Silent
from bctoolkit.recipes import Distill, Phase, Split, TrainRecipe, read_train_recipe
from bctoolkit.train import dry_run, preview, resume, train
from tests.support.progress import Interrupted, Recorder

pytestmark = pytest.mark.slow

SMALL = InputContract(height=32, width=32)
ALL = Phase("all", 1, 1e-3, ("*",))
QUICK = TrainRecipe(model="baseline_cnn", precision="float32", batch_size=16, input=SMALL, phases=(ALL,))
TWICE = msgspec.structs.replace(QUICK, phases=(Phase("all", 2, 1e-3, ("*",)),))


@pytest.fixture(scope="session")
def tiny(workspace: Path) -> Path:
    return workspace / "training" / "runs" / "tiny"


def test_a_run_is_whole(tiny: Path) -> None:
    expected = {run.MODEL, run.RECIPE, run.FACTS, run.HISTORY, run.METRICS, run.SPLIT, "history.csv", "tensorboard"}
    assert {path.name for path in tiny.iterdir()} == expected | {"learning_curve.png", "confusion_matrix.png"}
    for name in ("learning_curve.png", "confusion_matrix.png"):
        with Image.open(tiny / name) as picture:
            assert min(picture.size) > 300
    assert [path.name for path in tiny.parent.iterdir()] == ["tiny"]


def test_the_stored_recipe_is_the_resolved_one_and_trains_again(tiny: Path, workspace: Path) -> None:
    assert read_train_recipe(tiny / run.RECIPE) == read_train_recipe(workspace / "tiny.toml")


def test_the_facts_carry_the_hashes_of_the_files_beside_them(tiny: Path, class_folders: Path) -> None:
    facts = run.read(tiny)
    assert (facts.name, facts.model, facts.precision) == ("tiny", "baseline_cnn", "float32")
    assert facts.model_sha256 == sha256_file(tiny / run.MODEL)
    assert facts.recipe_sha256 == sha256_file(tiny / run.RECIPE)
    assert facts.labels == ("left", "right", "up")
    assert facts.weights == "fresh weights"
    assert facts.parameters == networks.load_model(tiny / run.MODEL).count_params()
    assert sum(sum(counts.values()) for counts in facts.data.counts.values()) == 120
    assert Path(facts.data.source) == class_folders.resolve()
    assert facts.data.sha256 == load(str(class_folders), facts.input).sha256
    assert {"bctoolkit", "tensorflow", "keras", "numpy"} <= set(facts.tools)
    assert 0 <= facts.waiting_seconds <= facts.seconds


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
    for row in range(3):
        counts = [int(((dataset.labels[parts.test] == row) & (predicted == column)).sum()) for column in range(3)]
        assert stored["confusion"][row] == counts


def test_the_history_is_there_for_people_for_spreadsheets_and_for_tensorboard(tiny: Path) -> None:
    rows = json.loads((tiny / run.HISTORY).read_text())
    assert [(row["phase"], row["epoch"]) for row in rows] == [("head", 1), ("all", 2)]
    with (tiny / "history.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == [{name: str(value) for name, value in row.items()} for row in rows]
    logged: dict[tuple[int, str], float] = {}
    for path in (tiny / "tensorboard").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                logged[event.step, value.tag] = float(tf.make_ndarray(value.tensor))
    assert logged == {
        (row["epoch"], name): pytest.approx(figure, rel=1e-6)
        for row in rows
        for name, figure in row.items()
        if isinstance(figure, float)
    }


def test_the_saved_model_is_the_bare_network(tiny: Path) -> None:
    model = networks.load_model(tiny / run.MODEL)
    assert [layer.name for layer in model.layers] == [
        layer.name for layer in networks.build("baseline_cnn", 3, (32, 32, 3)).layers
    ]


def test_a_run_that_exists_is_not_overwritten(tiny: Path, class_folders: Path) -> None:
    before = sha256_file(tiny / run.FACTS)
    with pytest.raises(RecipeError, match=r"tiny already exists; choose another --name"):
        train(QUICK, str(class_folders), tiny, Silent())
    assert sha256_file(tiny / run.FACTS) == before


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"phases": (Phase("all", 1, 1e-3, ("nowhere_*",)),)}, RecipeError, "nowhere"),
        ({"distill": Distill("nobody")}, RecipeError, "distill.teacher 'nobody'"),
        ({"weights": "absent.keras"}, WeightsError, "weights 'absent.keras': neither"),
        ({"weights": "imagenet"}, WeightsError, "no pre-trained baseline_cnn; it has convnext_tiny, convnext_small"),
        ({"model": "resnet"}, RecipeError, "unknown model 'resnet'; models: convnext_atto"),
        (
            {"phases": (Phase("all", 1, float("inf"), ("*",)),)},
            RecipeError,
            "loss is nan at phase all, epoch 1, step 2",
        ),
    ],
)
def test_a_run_that_fails_before_its_first_checkpoint_leaves_nothing(
    class_folders: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    wrong = msgspec.structs.replace(QUICK, **changes)
    with pytest.raises(error, match=message) as caught:
        train(wrong, str(class_folders), tmp_path / "training" / "runs" / "x", Silent())
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_architecture_are_refused_with_the_first_layer_that_differs(
    class_folders: Path, tmp_path: Path
) -> None:
    networks.build("convnext_femto", 3, (32, 32, 3)).save(tmp_path / "femto.keras")
    wrong = msgspec.structs.replace(QUICK, model="convnext_atto", weights=str(tmp_path / "femto.keras"))
    with pytest.raises(
        WeightsError,
        match=r"femto\.keras: stem_conv/kernel has shape \(4, 4, 3, 48\), this network needs \(4, 4, 3, 40\)",
    ):
        train(wrong, str(class_folders), tmp_path / "runs" / "x", Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["femto.keras"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"bad\.keras: not a Keras model"),
        (b"no weights", r"bad\.keras: not a Keras model"),
        (b"PK\x03\x04 half a zip", r"bad\.keras: cannot be read as a zip archive"),
    ],
)
def test_unreadable_weights_are_named(class_folders: Path, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad.keras").write_bytes(content)
    wrong = msgspec.structs.replace(QUICK, weights=str(tmp_path / "bad.keras"))
    with pytest.raises(WeightsError, match=message):
        train(wrong, str(class_folders), tmp_path / "runs" / "x", Silent())


def test_images_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere: no such folder or file"):
        train(QUICK, str(tmp_path / "nowhere"), tmp_path / "x", Silent())


def interrupt(images: Path, target: Path, recipe: TrainRecipe = TWICE, epoch: int = 2) -> None:
    """Training that is stopped after three of the five steps of an epoch."""
    with pytest.raises(KeyboardInterrupt):
        train(recipe, str(images), target, Interrupted(f"all {epoch}/2", 3))


def test_ctrl_c_before_the_first_checkpoint_leaves_nothing(class_folders: Path, tmp_path: Path) -> None:
    interrupt(class_folders, tmp_path / "runs" / "x", epoch=1)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_continues_to_the_result_of_an_unbroken_one(class_folders: Path, tmp_path: Path) -> None:
    """Alike up to the order in which threads add up; to the last bit only in deterministic mode, see test_resume.py."""
    target = tmp_path / "runs" / "x"
    interrupt(class_folders, target)
    assert [path.name for path in target.parent.iterdir()] == [".x.unfinished"]
    with pytest.raises(RecipeError, match=r"the run x is unfinished; continue with --resume --name x"):
        train(TWICE, str(class_folders), target, Silent())
    figures = resume(target, Silent())
    assert msgspec.json.decode((target / run.METRICS).read_bytes(), type=run.TestMetrics) == figures
    train(TWICE, str(class_folders), tmp_path / "runs" / "whole", Silent())
    models = [networks.load_model(folder / run.MODEL) for folder in (target, tmp_path / "runs" / "whole")]
    for weight, expected in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(weight, expected, atol=2e-4)
    assert {path.name for path in target.parent.iterdir()} == {"x", "whole"}


def test_images_that_changed_meanwhile_are_refused(class_folders: Path, tmp_path: Path) -> None:
    images = Path(shutil.copytree(class_folders, tmp_path / "images"))
    target = tmp_path / "runs" / "x"
    interrupt(images, target)
    first = next((images / "left").iterdir())
    shutil.copy2(next((images / "right").iterdir()), first)
    with pytest.raises(RecipeError, match=r"--resume: the images in .*images are not those the run was started with"):
        resume(target, Silent())
    shutil.rmtree(images)
    with pytest.raises(DatasetError, match="no such folder or file"):
        resume(target, Silent())
    assert unfinished(target).is_dir()


def test_a_run_that_is_alive_is_neither_continued_nor_to_be_removed(tmp_path: Path) -> None:
    """And a crash leaves no lock behind: a process holds it, not a file."""
    target = tmp_path / "x"
    unfinished(target).mkdir()
    for begin in (partial(train, TWICE, "synthetic", target, Silent()), partial(resume, target, Silent())):
        with (
            in_use(unfinished(target)),
            pytest.raises(RecipeError, match=r"in use: process \d+ works on it") as caught,
        ):
            begin()
        assert "remove" not in str(caught.value)
    with pytest.raises(RecipeError, match=r"the run x is unfinished; continue with --resume"):
        train(TWICE, "synthetic", target, Silent())


def test_a_finished_and_an_unknown_run_cannot_be_resumed(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"--resume: the run tiny is finished"):
        resume(tiny, Silent())
    with pytest.raises(RecipeError, match=r"--resume: the run absent was not started, or was interrupted before"):
        resume(tmp_path / "absent", Silent())


def test_what_a_finished_run_could_not_remove_any_more_is_not_trained_again(tiny: Path, tmp_path: Path) -> None:
    """Killed between putting the run in its place and removing its state."""
    target = Path(shutil.copytree(tiny, tmp_path / "x"))
    unfinished(target).mkdir()
    before = sha256_file(target / run.FACTS)
    with pytest.raises(RecipeError, match=r"--resume: the run x is finished"):
        resume(target, Silent())
    assert sha256_file(target / run.FACTS) == before


@pytest.mark.soak
def test_a_run_killed_before_its_first_checkpoint_begins_with_its_weights_again(
    class_folders: Path, tmp_path: Path
) -> None:
    given = networks.build("baseline_cnn", 3, (32, 32, 3))
    given.save(tmp_path / "given.keras")
    frozen = msgspec.structs.replace(QUICK, weights=str(tmp_path / "given.keras"), phases=(Phase("head", 1, 1e-3),))
    target = tmp_path / "runs" / "x"
    interrupt(class_folders, target, msgspec.structs.replace(frozen, phases=(Phase("all", 2, 1e-3),)))
    (unfinished(target) / "state.npz").unlink()
    keras.utils.set_random_seed(99)
    resume(target, Silent())
    trained = networks.load_model(target / run.MODEL)
    for layer in ("conv_0", "hidden"):
        for weight, expected in zip(
            trained.get_layer(layer).get_weights(), given.get_layer(layer).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(weight, expected)


def test_a_dry_run_says_what_would_be_trained_and_how_long_and_writes_nothing(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    phases = (Phase("head", 2, 1e-3), Phase("all", 3, 1e-3, ("*",)))
    plans = dry_run(msgspec.structs.replace(QUICK, phases=phases), str(class_folders), tmp_path, Silent())
    model = networks.build("baseline_cnn", 3, (32, 32, 3))
    assert [(plan.name, plan.epochs, plan.steps) for plan in plans] == [("head", 2, 5), ("all", 3, 5)]
    assert [plan.trainable for plan in plans] == [129 * 3, model.count_params()]
    assert all(plan.seconds > 0 for plan in plans)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_refuses_what_training_would_refuse(class_folders: Path, tmp_path: Path) -> None:
    wrong = msgspec.structs.replace(QUICK, phases=(Phase("all", 1, 1e-3, ("nowhere_*",)),))
    with pytest.raises(RecipeError, match="nowhere"):
        dry_run(wrong, str(class_folders), tmp_path, Silent())


def test_a_dry_run_needs_the_teacher_that_training_needs(class_folders: Path, tmp_path: Path) -> None:
    distilled = msgspec.structs.replace(QUICK, distill=Distill("nobody"))
    with pytest.raises(RecipeError, match="no finished run of that name"):
        dry_run(distilled, str(class_folders), tmp_path, Silent())


def test_weights_are_stored_with_a_path_that_leads_to_them_from_anywhere(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks.build("baseline_cnn", 3, (32, 32, 3)).save(tmp_path / "given.keras")
    monkeypatch.chdir(tmp_path)
    pretrained = msgspec.structs.replace(QUICK, weights="given.keras")
    train(pretrained, str(class_folders), tmp_path / "runs" / "x", Silent())
    stored = read_train_recipe(tmp_path / "runs" / "x" / run.RECIPE)
    assert stored.weights == str(tmp_path / "given.keras")


def test_the_size_of_the_set_is_shown(class_folders: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    preview(QUICK, str(class_folders), tmp_path / "look.png", recorder)
    assert any("120 real images of 3 classes" in line for line in recorder.lines)


def test_the_picture_shows_each_class_as_it_is_and_in_twelve_ways(class_folders: Path, tmp_path: Path) -> None:
    preview(QUICK, str(class_folders), tmp_path / "look.png", Silent())
    with Image.open(tmp_path / "look.png") as picture:
        pixels = np.asarray(picture)
    side, gap = 32, 4
    assert pixels.shape == (3 * (side + gap), 13 * (side + gap), 3)
    dataset = load(str(class_folders), SMALL)
    cells = pixels.reshape(3, side + gap, 13, side + gap, 3).swapaxes(1, 2)[:, :, :side, :side]
    for row in range(3):
        first = dataset.images[np.flatnonzero(dataset.labels == row)[:1]][0]
        np.testing.assert_array_equal(cells[row, 0], first)
        assert len({cell.tobytes() for cell in cells[row]}) == 13
    preview(QUICK, str(class_folders), tmp_path / "again.png", Silent())
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "look.png").read_bytes()


def test_a_run_says_by_what_its_images_belong_together(class_folders: Path, tmp_path: Path) -> None:
    recipe = msgspec.structs.replace(QUICK, split=Split(group=r"(\d+)\.png$"))
    figures = train(recipe, str(class_folders), tmp_path / "run", Silent())
    assert figures.groups is not None
    assert run.read(tmp_path / "run").data.group == r"(\d+)\.png$"
    exported = load_data(open_source(tmp_path / "run"), None, Silent())
    assert exported is not None
    assert exported.dataset.groups is not None
