"""The model in the box: whole, small, true to its card."""

import json
from pathlib import Path

import pytest

from bctoolkit import bundle as bundles
from bctoolkit.data import Dataset, load
from bctoolkit.data.dataset import positions
from bctoolkit.data.sources.synthetic import draw
from bctoolkit.runtime import load as load_classifier

ZOO = Path(__file__).resolve().parents[1] / "exports" / "zoo"
NAMES = ("atto-onnx-int8-dynamic", "atto-tflite-int8-dynamic")


def figures(name: str) -> dict:
    return json.loads((ZOO / f"{name}.json").read_text())


def test_the_zoo_is_small_enough_for_git() -> None:
    assert sum(path.stat().st_size for path in ZOO.rglob("*") if path.is_file()) <= 10e6


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_of_the_zoo_verifies_where_it_stands(name: str, bctk) -> None:
    done = bctk("verify", ZOO / name)
    assert done.returncode == 0, done.stderr
    assert "verified" in done.stdout


def test_no_image_of_the_set_is_in_the_box() -> None:
    synthetic = {image.tobytes() for image in draw(per_class=120, seed=0, size=96)[0]}
    for name in NAMES:
        golden = bundles.read(ZOO / name).golden()
        assert golden.kind == "synthetic"
        assert all(image.tobytes() in synthetic for image in golden.images)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_was_measured(name: str) -> None:
    card, measured = (ZOO / "README.md").read_text(), figures(name)
    low, high = measured["accuracy_ci95"]
    for figure in (measured["accuracy"], low, high, measured["corruption_mean"]):
        assert f"{figure:.2%}".replace("%", " %") in card
    assert "not a medical device" in card


@pytest.fixture(scope="module")
def real_cells(real_images: Path) -> Dataset:
    return load(str(real_images), bundles.read(ZOO / NAMES[0]).manifest.input)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_its_accuracy_on_real_images_is_the_stored_one(name: str, real_cells: Dataset) -> None:
    opened = bundles.read(ZOO / name)
    assert opened.manifest.input == bundles.read(ZOO / NAMES[0]).manifest.input
    dataset = real_cells.in_order_of(opened.manifest.labels)
    reference = opened.reference()
    assert reference is not None
    test_part = positions(reference.hashes, dataset.hashes)
    test_part = test_part[test_part >= 0]
    assert len(test_part) == figures(name)["count"]
    probabilities = load_classifier(ZOO / name, threads=1).predict_each(dataset.images[test_part])
    accuracy = float((probabilities.argmax(1) == dataset.labels[test_part]).mean())
    assert accuracy == pytest.approx(figures(name)["accuracy"], abs=2.5 / len(test_part))
