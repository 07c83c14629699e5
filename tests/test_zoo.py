"""The model in the box: whole, small, true to its card."""

import json
from pathlib import Path

import pytest

from bctoolkit import bundle as bundles
from bctoolkit.data import load
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


@pytest.mark.parametrize("name", NAMES)
def test_no_image_of_the_set_is_in_the_box(name: str) -> None:
    golden = bundles.read(ZOO / name).golden()
    assert golden.kind == "synthetic"
    drawn = {image.tobytes() for image in draw(per_class=120, seed=0, size=96)[0]}
    assert all(image.tobytes() in drawn for image in golden.images)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_was_measured(name: str) -> None:
    card, measured = (ZOO / "README.md").read_text(), figures(name)
    low, high = measured["accuracy_ci95"]
    for figure in (measured["accuracy"], low, high, measured["corruption_mean"]):
        assert f"{figure:.2%}".replace("%", " %") in card
    assert "not a medical device" in card


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_its_accuracy_on_real_images_is_the_stored_one(name: str, real_images: Path) -> None:
    opened = bundles.read(ZOO / name)
    dataset = load(str(real_images), opened.manifest.input).in_order_of(opened.manifest.labels)
    reference = opened.reference()
    assert reference is not None
    known = {bytes(row) for row in reference.hashes}
    classifier = load_classifier(ZOO / name)
    places = [i for i, row in enumerate(dataset.hashes) if bytes(row) in known]
    right = sum(
        int(classifier.predict(dataset.images[i : i + 1]).probabilities.argmax() == dataset.labels[i]) for i in places
    )
    assert len(places) == figures(name)["count"]
    assert right / len(places) == pytest.approx(figures(name)["accuracy"], abs=2.5 / len(places))
