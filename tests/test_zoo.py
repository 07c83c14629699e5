"""The model in the box: whole, small, true to its card."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset
from bctoolkit.data.sources.synthetic import draw
from bctoolkit.runtime import load
from tests.support.cli import Bctk

ZOO = Path(__file__).resolve().parents[1] / "exports" / "zoo"
RAW = ZOO.parents[2] / "shared" / "data" / "pbc_raw_sample"
NAMES = ("atto-onnx-int8-dynamic", "atto-tflite-int8-dynamic")


@cache
def synthetic_images() -> set[bytes]:
    return {image.tobytes() for image in draw(per_class=7, seed=0, size=96)[0]}


def figures(name: str) -> dict[str, Any]:
    return json.loads((ZOO / f"{name}.json").read_text())


def size(*folders: Path) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def test_the_zoo_is_small_enough_for_git() -> None:
    assert size(*(ZOO / name for name in NAMES)) <= 10e6
    assert size(ZOO) <= 12e6


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_of_the_zoo_verifies_where_it_stands(name: str, bctk: Bctk) -> None:
    done = bctk("verify", ZOO / name, "--trusted", ZOO / "zoo.pub.pem")
    assert done.returncode == 0, done.stderr
    assert "signature: by the trusted key" in done.stdout
    assert "verified" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_no_image_of_the_set_is_in_the_box(name: str) -> None:
    golden = bundles.read(ZOO / name).golden()
    assert golden.kind == "synthetic"
    assert {image.tobytes() for image in golden.images} <= synthetic_images()


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_was_measured(name: str) -> None:
    card, measured = (ZOO / "README.md").read_text(), figures(name)
    low, high = measured["accuracy_ci95"]
    for figure in (measured["accuracy"], low, high, measured["corruption_mean"]):
        assert f"{figure:.2%}".replace("%", " %") in card
    assert "not a medical device" in card


@pytest.mark.real
@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_its_accuracy_on_real_images_is_the_stored_one(name: str, real_cells: Dataset) -> None:
    opened = bundles.read(ZOO / name)
    assert opened.manifest.input == InputContract(crop=200, picture=360)
    dataset = real_cells.in_order_of(opened.manifest.labels)
    reference = opened.reference()
    assert reference is not None
    test_part = {bytes(row) for row in reference.hashes}
    indices = np.array([index for index, row in enumerate(dataset.hashes) if bytes(row) in test_part])
    probabilities = load(ZOO / name, threads=1).predict_each(dataset.images[indices])
    accuracy = float(np.mean(probabilities.argmax(axis=1) == dataset.labels[indices]))
    assert len(indices) == figures(name)["count"]
    assert accuracy == pytest.approx(figures(name)["accuracy"], abs=2.5 / len(indices))


@pytest.mark.real
@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_the_set_s_photographs_as_published_are_as_right_as_the_prepared_images(name: str) -> None:
    photographs = sorted(RAW.rglob("*.jpg"))
    if not photographs:
        pytest.skip(f"no photographs in {RAW}")
    with load(ZOO / name, threads=1) as classifier:
        answered = [classifier.predict(str(path)).labels[0] for path in photographs]
    right = [label == path.parent.name for label, path in zip(answered, photographs, strict=True)]
    assert np.mean(right) >= 0.95  # some are of the training part: it is their scale that is tried
