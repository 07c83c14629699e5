"""Learning from a larger run."""

from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import pytest

from bctoolkit import networks, run
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, Parts
from bctoolkit.documents import to_json
from bctoolkit.errors import RecipeError
from bctoolkit.progress import Silent
from bctoolkit.recipes import Augment, Distill, Phase, TrainRecipe
from bctoolkit.train import train
from bctoolkit.train.checkpoint import RunStart, TrainingCheckpoint
from bctoolkit.train.distill import load_teacher
from bctoolkit.train.fit import Training, fit

pytestmark = pytest.mark.slow

INPUT = InputContract(height=32, width=32)
CLASSES = ("dark", "light")


def recipe(teacher: str, **values: Any) -> TrainRecipe:
    fields: dict[str, Any] = {"phases": (Phase("all", 1, 1e-3, ("*",)),), "input": INPUT} | values
    return TrainRecipe(model="baseline_cnn", precision="float32", distill=Distill(teacher), **fields)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs with one called `big`, as far as a teacher needs it."""
    folder = tmp_path / "runs" / "big"
    folder.mkdir(parents=True)
    networks.build("baseline_cnn", 2, INPUT.shape).save(folder / run.MODEL)
    facts = run.RunFacts(
        name="big",
        model="baseline_cnn",
        parameters=1,
        labels=CLASSES,
        input=INPUT,
        precision="float32",
        weights="fresh weights",
        data=run.DataFacts("shades", "real", "0", {}),
        seconds=1.0,
        model_sha256="0",
        recipe_sha256="0",
        created="2026-01-01T00:00:00Z",
    )
    (folder / run.FACTS).write_bytes(to_json(facts))
    return folder.parent


def test_without_a_name_there_is_no_teacher(runs: Path) -> None:
    assert load_teacher(recipe(""), runs, CLASSES) is None


def test_a_teacher_is_found_by_name_and_by_path_and_cannot_move(runs: Path, tmp_path: Path) -> None:
    for name, shelf in (("big", runs), (str(runs / "big"), tmp_path / "elsewhere")):
        teacher = load_teacher(recipe(name), shelf, CLASSES)
        assert teacher is not None
        assert teacher.trainable_variables == []


def test_a_run_that_is_not_there_is_named_with_the_shelf(runs: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"distill\.teacher 'huge': no finished run of that name in .*runs, nor a path"
    ):
        load_teacher(recipe("huge"), runs, CLASSES)


def test_a_teacher_that_takes_one_size_is_refused_where_a_phase_shrinks_its_images(runs: Path) -> None:
    phases = (Phase("small", 1, 1e-3, ("*",), scale=0.5),)
    student = TrainRecipe(
        model="convnext_atto", distill=Distill("big"), phases=phases, input=InputContract(height=64, width=64)
    )
    facts = msgspec.structs.replace(run.read(runs / "big"), input=student.input)
    (runs / "big" / run.FACTS).write_bytes(to_json(facts))
    with pytest.raises(RecipeError, match="'big' is a baseline_cnn, which takes images of one size"):
        load_teacher(student, runs, CLASSES)


def test_a_teacher_of_other_classes_is_refused_with_both_lists(runs: Path) -> None:
    with pytest.raises(RecipeError, match=r"'big' knows the classes dark, light; the images have light, dark"):
        load_teacher(recipe("big"), runs, ("light", "dark"))


def test_a_teacher_of_another_input_is_refused(runs: Path) -> None:
    other = recipe("big", input=InputContract(height=64, width=64))
    with pytest.raises(RecipeError, match=r"'big' was trained on .*; give the recipe the same input") as caught:
        load_teacher(other, runs, CLASSES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["weight", "temperature"])
def test_shares_and_temperatures_that_make_no_sense_are_refused(part: str) -> None:
    values = {"weight": 1.5} if part == "weight" else {"temperature": 0}
    with pytest.raises(msgspec.ValidationError, match=part):
        msgspec.convert({"teacher": "x", **values}, Distill)


def knowing(dataset: Dataset) -> Any:
    """A teacher that tells light from dark without an error, by the mean of the image."""
    keras.utils.set_random_seed(0)
    teacher = networks.build("baseline_cnn", 2, INPUT.shape)
    weighted = [layer for layer in teacher.layers if layer.weights]
    for layer in weighted[:-1]:
        kernel, bias = layer.get_weights()
        layer.set_weights([np.full_like(kernel, 1.0 / np.prod(kernel.shape[:-1])), np.zeros_like(bias)])
    probe = keras.Model(teacher.input, teacher.get_layer("hidden").output)
    level = np.asarray(probe(dataset.images[:].astype(np.float32)))[:, 0]
    low, high = level[dataset.labels == 0].max(), level[dataset.labels == 1].min()
    assert low < high
    slope = 6 / (high - low)
    kernel = np.zeros((128, 2), np.float32)
    kernel[0] = (-slope, slope)
    weighted[-1].set_weights([kernel, np.array([slope, -slope], np.float32) * (low + high) / 2])
    teacher.trainable = False
    return teacher


def test_a_student_of_a_perfect_teacher_learns_without_a_single_right_label(
    shades: Dataset, shade_parts: Parts, tmp_path: Path
) -> None:
    labels = shades.labels.copy()
    labels[shade_parts.train] = 1 - labels[shade_parts.train]
    lying = Dataset(shades.images, labels, shades.classes, shades.hashes, "lies")
    keras.utils.set_random_seed(1)
    model = networks.build("baseline_cnn", 2, INPUT.shape)
    taught = msgspec.structs.replace(
        recipe("big"),
        distill=Distill("big", weight=1.0),
        batch_size=4,
        phases=(Phase("all", 8, 1e-3, ("*",)),),
        augment=Augment(brightness=0, contrast=0, saturation=0),
    )
    with TrainingCheckpoint(tmp_path / ".x.unfinished").begin(taught, RunStart("lies", "0", "")) as checkpoint:
        history = fit(Training(model, lying, shade_parts, taught, Silent(), checkpoint, knowing(shades)))
    assert history[-1].val_accuracy == 1.0
    assert history[-1].accuracy < 0.3


def test_a_run_learns_from_another_by_its_name(workspace: Path, class_folders: Path, tmp_path: Path) -> None:
    runs = workspace / "training" / "runs"
    taught = msgspec.structs.replace(recipe(str(runs / "tiny")), batch_size=16)
    figures = train(taught, str(class_folders), tmp_path / "student", Silent())
    assert figures.count > 0
    stored = msgspec.toml.decode((tmp_path / "student" / run.RECIPE).read_bytes(), type=TrainRecipe)
    assert stored.distill.teacher == str(runs / "tiny")
