"""Sets as a microscope or a publisher leaves them go the whole way: trained, exported, measured, predicted."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import InputContract, prepare
from tests.support.cli import Bctk

RECIPE = """
model = "baseline_cnn"
precision = "float32"
batch_size = 32
input = { height = 32, width = 32, white = 4095 }

[[phases]]
name = "all"
epochs = 12
learning_rate = 2e-3
unfreeze = ["*"]
"""


def discs(per_class: int, side: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Grey pictures of 0–1 of three classes, which differ in the brightness of a disc."""
    rng = np.random.default_rng(7)
    labels = np.arange(3 * per_class) % 3
    y, x = np.mgrid[:side, :side]
    inside = (y - side / 2) ** 2 + (x - side / 2) ** 2 < (side / 3) ** 2
    images = 0.2 + 0.1 * rng.random((len(labels), side, side))
    images[:, inside] += 0.3 * labels[:, None]
    images[0, 0, 0] = 1
    return images, labels


def medmnist(root: Path) -> tuple[Path, Path]:
    """An `.npz` of 28×28 grey pictures in three parts, and what of it is to be predicted."""
    images, labels = discs(60, 28)
    eight = np.rint(images * 255).astype(np.uint8)
    arrays: dict[str, Any] = {}
    for part, rows in (("train", slice(0, 120)), ("val", slice(120, 150)), ("test", slice(150, 180))):
        arrays |= {f"{part}_images": eight[rows], f"{part}_labels": labels[rows, None].astype(np.uint8)}
    np.savez_compressed(root / "discmnist.npz", **arrays)
    np.save(root / "new.npy", images[:6])
    return root / "discmnist.npz", root / "new.npy"


def keras(root: Path) -> tuple[Path, Path]:
    """`x_train` and so on of fractions, channels first, with one-hot labels."""
    images, labels = discs(60, 32)
    first, hot = images.astype(np.float32)[:, None], np.eye(3)[labels]
    arrays: dict[str, Any] = {}
    for part, rows in (("train", slice(0, 120)), ("val", slice(120, 150)), ("test", slice(150, 180))):
        arrays |= {f"x_{part}": first[rows], f"y_{part}": hot[rows]}
    np.savez(root / "k.npz", **arrays)
    np.savez(root / "new.npz", first[:6])
    return root / "k.npz", root / "new.npz"


def deep_tiffs(root: Path) -> tuple[Path, Path]:
    """Class folders of 16-bit grey TIFF from a camera of 12 bits, on a slide each."""
    images, labels = discs(60, 40)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = root / "set" / f"class_{label}" / f"slide_{index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(image * 4095).astype(np.uint16)).save(folder / f"{index}.tif")
    (root / "new").mkdir()
    for path in sorted((root / "set").rglob("*.tif"), key=lambda path: int(path.stem))[:6]:
        shutil.copy(path, root / "new")
    return root / "set", root / "new"


def goes_the_whole_way(bctk: Bctk, tmp_path: Path, make: Callable[[Path], tuple[Path, Path]], form: str) -> None:
    def run(*arguments: object) -> str:
        done = bctk(*arguments)
        assert done.returncode == 0, done.stderr
        assert "NOT READ" not in done.stderr
        return done.stdout

    data, new = make(tmp_path)
    (tmp_path / "own.toml").write_text(RECIPE)
    run("train", "--recipe", "own.toml", "--data", data, "--name", "own")
    run("export", "own", "--format", form, "--quantize", "fp32")
    bundle = f"exports/bundles/own-{form}-fp32"
    run("bench", bundle, "--quick", "--data", data, "--out", "report")
    (result,) = json.loads((tmp_path / "report" / "report.json").read_text())["results"]
    assert result["parity"]["labelled"]["top1_agreement"] == 1
    evaluation = json.loads(run("evaluate", bundle, "--data", data, "--json"))
    assert evaluation["count"] == result["parity"]["labelled"]["count"]
    assert evaluation["unreadable"] == {}
    assert evaluation["accuracy"] > 0.6  # chance is a third
    answers = [json.loads(line) for line in run("predict", bundle, new, "--json").splitlines()]
    assert len(answers) == 6
    assert {answer["label"] for answer in answers} <= {"class_0", "class_1", "class_2"}


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("make", [medmnist, keras, deep_tiffs], ids=lambda make: make.__name__)
@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_sets_of_any_kind(bctk: Bctk, tmp_path: Path, make: Callable[[Path], tuple[Path, Path]], form: str) -> None:
    goes_the_whole_way(bctk, tmp_path, make, form)


@pytest.mark.slow
def test_the_same_pictures_are_answered_alike_in_every_layout(bctk: Bctk, bundle: Path, tmp_path: Path) -> None:
    """Files, and arrays of every scale, axes and name, through `predict` and `evaluate`."""
    pixels = np.random.default_rng(2).integers(0, 256, (6, 40, 40, 3), dtype=np.uint8)
    labels = np.array(["left", "right", "up"] * 2)
    for index, image in enumerate(pixels):
        (tmp_path / "files" / labels[index]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "files" / labels[index] / f"{index}.png")
    np.savez(tmp_path / "keras.npz", x_test=pixels / 255, y_test=labels)
    np.savez(tmp_path / "torch.npz", data=pixels.transpose(0, 3, 1, 2) / np.float32(127.5) - 1, targets=labels)
    np.save(tmp_path / "X.npy", pixels.astype(np.int64))
    np.save(tmp_path / "y.npy", labels)
    expected: dict[str, Any] = {}
    for source in ("files", "keras.npz", "torch.npz", "X.npy"):
        evaluation = json.loads(bctk("evaluate", bundle, "--data", source, "--part", "all", "--json").stdout)
        done = bctk("predict", bundle, source, "--json")
        assert done.returncode == 0, done.stderr
        answers = sorted(json.dumps(json.loads(line)["probabilities"]) for line in done.stdout.splitlines())
        found = {"answers": answers, "confusion": evaluation["confusion"]}
        assert found == (expected or found), source
        expected = found


def test_an_array_that_is_in_doubt_is_refused_by_predict_too(bctk: Bctk, bundle: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "new.npy", np.random.default_rng(0).normal(size=(2, 32, 32, 3)))
    done = bctk("predict", bundle, "new.npy")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: new.npy: its images are float64 from -")
    assert "new = np.rint((new + " in line


def test_a_bad_image_in_an_array_is_told_and_the_others_go_on(bctk: Bctk, bundle: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    pixels[1] = 0
    pixels[1, :16] = 1
    np.save(tmp_path / "new.npy", pixels)
    done = bctk("predict", bundle, "new.npy", "--json")
    assert done.returncode == 1
    assert ["error" in json.loads(line) for line in done.stdout.splitlines()] == [False, True, False]
    assert "holds 0 and 1 alone" in done.stderr


@pytest.mark.slow
def test_names_that_are_no_utf_8_are_inspected_cleaned_and_evaluated(
    bctk: Bctk, bundle: Path, class_folders: Path, tmp_path: Path
) -> None:
    """A file whose name a system wrote in latin-1, good and broken."""
    root = Path(shutil.copytree(class_folders, tmp_path / "set"))
    first = next((root / "left").iterdir())
    first.rename(root / "left" / os.fsdecode(b"caf\xe9.png"))
    (root / "up" / os.fsdecode(b"\xff.png")).write_bytes(b"no image")
    for arguments in (
        ("data", "inspect", "set", "--json"),
        ("data", "clean", "set", "--out", "cleaned"),
        ("evaluate", bundle, "--data", "set", "--part", "all", "--out", "report"),
    ):
        done = bctk(*arguments)
        assert done.returncode == 0, done.stderr
    assert os.fsencode(next((tmp_path / "cleaned" / "left").glob("caf*")).name) == b"caf\xe9.png"
    contract = InputContract(height=32, width=32)
    for path in (tmp_path / "cleaned" / "left").glob("caf*"):
        assert np.array_equal(prepare(path, contract), prepare(root / "left" / path.name, contract))
