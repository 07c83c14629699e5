"""The program answers as Python does: pictures value by value, probabilities, and which answers it relies on."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bctoolkit import vectors
from bctoolkit.bundle import Bundle
from bctoolkit.contract import InputContract
from bctoolkit.data.sources.folders import open_class_folders
from bctoolkit.data.sources.synthetic import draw
from bctoolkit.runtime import load
from tests.app.cpp.bundles import mean_colour_bundle
from tests.app.cpp.machine import ROOT, ZOO, App

pytestmark = pytest.mark.slow

CLOSE = 1e-5
"""Largest |Δp|: the same engine on the same machine; only what is calibrated is computed in other steps."""

CONTRACTS = {
    "bicubic": InputContract(height=40, width=56, crop="none", resize="bicubic"),
    "bilinear of a crop": InputContract(height=28, width=28, crop=50, resize="bilinear", white=4095),
    "nearest, float32": InputContract(height=45, width=33, dtype="float32", resize="nearest"),
    "of pictures of one scale": InputContract(height=48, width=48, crop=60, picture=100),
    "16 bits, grey": InputContract(height=64, width=48, channels=1, white=4095),
    "wider, lower": InputContract(height=16, width=200, crop="none", white=65_535),
}

Answers = tuple[list[str], NDArray[np.float64], list[bool | None]]


def answers(app: App, files: list[Path]) -> Answers:
    done = app.run(app.bundle, *files, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["image"] for line in lines] == list(map(str, files))
    probabilities = np.array([list(line["probabilities"].values()) for line in lines])
    return [line["label"] for line in lines], probabilities, [line["accepted"] for line in lines]


def require_same(app: App, files: list[Path]) -> None:
    with load(app.bundle, self_test="never") as classifier:
        predictions = [classifier.predict(file) for file in files]
    labels, probabilities, accepted = answers(app, files)
    assert labels == [prediction.labels[0] for prediction in predictions]
    assert np.abs(probabilities - np.concatenate([each.probabilities for each in predictions])).max() <= CLOSE
    assert accepted == [bool(each.accepted[0]) for each in predictions if each.accepted is not None]


def write_vectors(opened: Bundle, folder: Path) -> vectors.Vectors:
    with load(opened.path, self_test="never") as classifier, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of damaged Exif, of which there is some
        return vectors.write([(opened, classifier)], folder)


def test_vectors_hold(app: App) -> None:
    done = app.run(app.bundle, "--vectors", ZOO / "vectors")
    assert (done.returncode, done.stderr) == (0, "")
    stored, _ = vectors.read_vectors(ZOO / "vectors")
    assert f"{len(stored.cases)} cases: {stored.count} prepared to the same values" in done.stdout
    assert f"{stored.count} answers: labels equal in {stored.count}" in done.stdout


@pytest.mark.soak
@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS.keys())
def test_vectors_of_other_contracts_hold(contract: InputContract, onnx_app: App, tmp_path: Path) -> None:
    opened = mean_colour_bundle(tmp_path / "means", contract)
    written = write_vectors(opened, tmp_path / "vectors")
    done = onnx_app.run(opened.path, "--vectors", tmp_path / "vectors")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{written.count} prepared to the same values" in done.stdout


def test_a_wrong_value_an_answer_and_a_picture_that_is_taken_are_each_told(onnx_app: App, tmp_path: Path) -> None:
    opened = mean_colour_bundle(tmp_path / "means", InputContract(height=20, width=20))
    write_vectors(opened, tmp_path / "vectors")
    document = tmp_path / "vectors" / "vectors.json"
    raw = json.loads(document.read_bytes())
    raw["cases"][0]["array"], raw["cases"][1]["array"] = 1, 0
    answered = next(iter(raw["bundles"].values()))["answers"]
    answered[3] = [1 - each for each in answered[3]]
    document.write_text(json.dumps(raw))
    done = onnx_app.run(opened.path, "--vectors", tmp_path / "vectors")
    assert done.returncode == 3
    told = done.stderr.splitlines()
    assert [line.rpartition("; ")[2] for line in told][:2] == ["is prepared otherwise"] * 2
    assert len(told) == 3
    assert "the answer differs by" in told[2]


def test_all_golden_images_are_as_sealed(app: App) -> None:
    done = app.run(app.bundle, "--self-test")
    assert (done.returncode, done.stderr) == (0, "")
    assert "parity on 40 golden images: top-1 agreement 100.00%" in done.stdout


def test_drawn_pictures_are_answered_as_in_python(app: App, tmp_path: Path) -> None:
    for number, pixels in enumerate(draw(per_class=1, seed=3, size=130)[0]):
        Image.fromarray(pixels).save(tmp_path / f"{number}.{'png' if number % 2 else 'jpg'}")
    require_same(app, sorted(tmp_path.iterdir()))


@pytest.mark.real
def test_real_pictures_are_answered_as_in_python(app: App, real_images: Path) -> None:
    files = open_class_folders(real_images).images
    photographs = sorted((ROOT.parent / "shared" / "data" / "pbc_raw_sample").rglob("*.jpg"))
    require_same(app, [*files[:: len(files) // 12][:12], *photographs[:: max(1, len(photographs) // 12)][:12]])


def test_a_line_is_for_people(onnx_app: App, tmp_path: Path) -> None:
    file = tmp_path / "cell\n\x1b[31m.png"
    Image.fromarray(np.full((360, 363, 3), 200, np.uint8)).save(file)
    done = onnx_app.run(onnx_app.bundle, file, "--threads", 1)
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    assert "\x1b" not in line
    assert ": NOT ACCEPTED, would be " in line
    assert line.endswith(")")
