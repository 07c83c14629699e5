"""`bctk train`: its options, what it prints, and what it refuses."""

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from bctoolkit.cli import main
from bctoolkit.recipes import TrainRecipe, read_train_recipe

pytestmark = pytest.mark.slow

Bctk = Callable[..., CompletedProcess[str]]
Refuses = Callable[..., str]

RECIPE = """
model = "baseline_cnn"
precision = "auto"
batch_size = 16
input = { height = 32, width = 32 }

[augment]
noise = 0.1

[[augment.one_of]]

[[augment.one_of]]
randaugment = 1
blur = 1.0
hue = 0.1

[[phases]]
name = "head"
epochs = 1
learning_rate = 1e-3

[[phases]]
name = "all"
epochs = 2
learning_rate = 1e-3
unfreeze = ["*"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.toml").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def refuses(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Refuses:
    """Run a command, in this process, that has to end in one line of error and to write nothing. Returns the line."""
    monkeypatch.chdir(folder)

    def run(*arguments: object) -> str:
        before = sorted(folder.rglob("*"))
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        assert end.value.code == 1
        captured = capfd.readouterr()
        *progress, last = captured.err.splitlines()
        assert not any("error" in line.lower() or "Traceback" in line for line in progress), captured.err
        assert last.startswith("error: ")
        assert captured.out == ""
        assert sorted(folder.rglob("*")) == before
        return last

    return run


def test_a_dry_run_prints_a_recipe_that_can_be_used_as_it_is_and_writes_nothing(
    bctk: Bctk, folder: Path, class_folders: Path
) -> None:
    arguments = ("--recipe", "own.toml", "--data", class_folders, "--set", "seed=7", "--deterministic")
    done = bctk("train", *arguments, "--dry-run")
    assert done.returncode == 0, done.stderr
    printed = tomllib.loads(done.stdout)
    recipe = msgspec.convert(printed, TrainRecipe)
    assert recipe == read_train_recipe(folder / "own.toml", ("seed=7", "deterministic=true"))
    comments = [line for line in done.stdout.splitlines() if line.startswith("# ")]
    assert comments[0].startswith("# phase head: 1 epochs of 5 steps, 387 trainable parameters, about ")
    assert comments[1].startswith("# phase all: 2 epochs of 5 steps, ")
    assert comments[2].startswith("# all phases: about ")
    assert comments[2].endswith(" on this machine")
    assert [path.name for path in folder.iterdir()] == ["own.toml"]


def test_a_preview_is_one_picture_and_nothing_else(bctk: Bctk, folder: Path, class_folders: Path) -> None:
    done = bctk("train", "--recipe", "own.toml", "--data", class_folders, "--preview", "look.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("look.png: one row per class")
    assert {path.name for path in folder.iterdir()} == {"own.toml", "look.png"}
    with Image.open(folder / "look.png") as picture:
        assert picture.size == (13 * 36, 3 * 36)


@pytest.mark.parametrize("name", ["look.jpg", "look", "absent/look.png"])
def test_a_picture_that_could_not_be_written_is_refused_before_the_images_are_read(refuses: Refuses, name: str) -> None:
    line = refuses("train", "--recipe", "own.toml", "--data", "absent", "--preview", name)
    assert f"--preview {name}: give a file that ends in .png, in a folder that exists" in line


def test_a_dry_run_with_a_preview_is_refused(refuses: Refuses) -> None:
    line = refuses("train", "--recipe", "own.toml", "--data", "synthetic", "--dry-run", "--preview", "x.png")
    assert "--dry-run and --preview: ask for one at a time" in line


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/a", "../a"])
@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_a_name_that_is_no_plain_word_is_refused(refuses: Refuses, name: str, resume: tuple[str, ...]) -> None:
    line = refuses("train", "--recipe", "own.toml", "--data", "synthetic", "--name", name, *resume)
    assert "a run's name is one plain word" in line


@pytest.mark.parametrize(
    "option",
    [
        ("--recipe", "own.toml"),
        ("--data", "synthetic"),
        ("--weights", "none"),
        ("--set", "seed=1"),
        ("--deterministic",),
        ("--dry-run",),
        ("--preview", "x.png"),
    ],
)
def test_nothing_but_a_name_goes_with_resume(refuses: Refuses, option: tuple[str, ...]) -> None:
    line = refuses("train", "--resume", *option)
    assert f"{option[0]} cannot go with --resume: the run continues as it was started" in line


def test_resume_without_anything_unfinished_is_refused(refuses: Refuses) -> None:
    assert "--resume: no unfinished run in training/runs" in refuses("train", "--resume")


def test_resume_of_an_unknown_run_is_refused(refuses: Refuses) -> None:
    assert "--resume: the run x was not started, or was " in refuses("train", "--resume", "--name", "x")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("augment.flips=true", "unknown key 'flips' in augment; did you mean 'flip'?"),
        ("augment.one_of.1.blurr=1", "unknown key 'blurr' in augment.one_of[1]; did you mean 'blur'?"),
        ("augment.one_of.0.mixup=0.2", "unknown key 'mixup' in augment.one_of[0]; "),
        ("augment.one_of.5.blur=1", "'5' is not a position in a list of 2"),
        ("augment.one_of.1.randaugment=3", "randaugment = 3, but only 2 of the operations it draws from are on"),
        ("augment.one_of.1.hue=1.5", "augment.one_of[1].hue"),
        ("augment.noise=1", "augment.noise"),
        ("augment.rotate=200", "augment.rotate"),
        ("augment.chance=-0.1", "augment.chance"),
        ("augment.mixup=-1", "augment.mixup"),
        ("distill.weight=2", "distill.weight"),
        ("distill.teachers=x", "unknown key 'teachers' in distill; did you mean 'teacher'?"),
        ("phases.0.unfreeze_stages=-1", "phases[0].unfreeze_stages"),
        ("phases.0.schedule=linear", "phases[0].schedule"),
        ("seed=4294967296", "seed"),
        ("ema=1", "ema"),
        ("layer_decay=0", "layer_decay"),
        ("class_weights=even", "class_weights"),
        ("keep=first", "keep"),
    ],
)
def test_a_bad_recipe_is_one_line_that_names_the_key(refuses: Refuses, setting: str, message: str) -> None:
    assert message in refuses("train", "--recipe", "own.toml", "--data", "synthetic", "--set", setting)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--weights", "absent.h5"), "weights 'absent.h5': neither 'imagenet', 'none' nor an existing file"),
        (("--weights", "own.toml"), "own.toml: not a whole HDF5 file"),
        (("--weights", "imagenet"), "weights 'imagenet': Keras has no pre-trained baseline_cnn"),
        (("--set", "model=alexnet"), "unknown model 'alexnet'; models: "),
        (("--set", "distill.teacher=big"), "distill.teacher 'big': no finished run of that name in training/runs"),
        (
            ("--set", 'phases.1.unfreeze=["x_*"]'),
            "unfreeze pattern 'x_*' matches no layer of baseline_cnn, e.g. 'conv_0'",
        ),
        (("--set", "phases.1.unfreeze_stages=1"), "unfreeze_stages = 1, but baseline_cnn has 0 stages"),
        (("--set", "phases.0.learning_rate=1e30"), "the loss is nan at phase head, epoch 1, step "),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_nothing(
    refuses: Refuses, class_folders: Path, arguments: tuple[str, ...], message: str
) -> None:
    line = refuses("train", "--recipe", "own.toml", "--data", class_folders, "--set", "precision=float32", *arguments)
    assert message in line


def test_a_run_can_be_trained_again_from_the_recipe_it_left(
    workspace: Path, class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    stored = workspace / "training" / "runs" / "tiny" / "recipe.toml"
    with pytest.raises(SystemExit) as end:
        main(["train", "--recipe", str(stored), "--data", str(class_folders), "--name", "again"])
    assert end.value.code in (0, None)
    output = capfd.readouterr().out.splitlines()
    again = tmp_path / "training" / "runs" / "again"
    assert read_train_recipe(again / "recipe.toml") == read_train_recipe(stored)
    assert output[0].startswith("training/runs/again: accuracy ")
    assert output[1] == "next: bctk export again --format onnx"
    with np.load(again / "split.npz") as split, np.load(stored.parent / "split.npz") as expected:
        np.testing.assert_array_equal(split["hashes"], expected["hashes"])


REFUSED = """
import sys
from bctoolkit.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert end.code == 1, end.code
assert "bctoolkit.train" in sys.modules
assert not {"tensorflow", "keras"} & sys.modules.keys()
"""


@pytest.mark.parametrize(
    "options",
    [("--data", "nowhere"), ("--data", "{images}", "--name", "tiny"), ("--data", "{images}", "--set", "model=alexnet")],
    ids=["no such images", "the name is taken", "no such network"],
)
def test_what_needs_no_tensorflow_is_refused_before_it_starts(
    workspace: Path, class_folders: Path, options: tuple[str, ...]
) -> None:
    arguments = [option.format(images=class_folders) for option in options]
    command = [sys.executable, "-c", REFUSED, "train", "--recipe", "smoke", *arguments]
    done = subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("error: ")
