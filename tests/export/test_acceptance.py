"""The acceptance rule of an export: fitted to the artifact's own answers on validation images, or left out and said."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.data import Dataset, Parts, load
from bctoolkit.data.split import read as read_split
from bctoolkit.errors import ExportError
from bctoolkit.export import build, export, variants
from bctoolkit.export.checks import acceptance
from bctoolkit.export.checks.acceptance import add_acceptance, fitting_images
from bctoolkit.progress import Silent
from bctoolkit.recipes import ExportRecipe
from bctoolkit.runtime import load as load_classifier
from bctoolkit.statistics import metrics
from bctoolkit.statistics.image_features import image_features
from tests.support.acceptance import coloured, ruled_bundle, write_pictures
from tests.support.progress import Recorder


@pytest.fixture(scope="session")
def tiny(workspace: Path) -> Path:
    return workspace / "training" / "runs" / "tiny"


@pytest.mark.slow
def test_an_export_fits_it_to_the_validation_part(
    tiny: Path, class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptance, "FEWEST", 5)
    again: list[tuple[str, int]] = []

    def predict_artifact(job: Any, artifact: tuple[str, str], model: bytes, images: Any) -> Any:
        again.append((artifact[1], len(images)))
        return build_predict(job, artifact, model, images)

    build_predict = variants.predict_artifact
    monkeypatch.setattr(build, "predict_artifact", predict_artifact)
    recipe = ExportRecipe(quantizations=("fp32", "int8-dynamic"), coverage=0.8)
    single, integer = export(tiny, recipe, tmp_path / "out", Silent())
    dataset = load(str(class_folders), single.manifest.input).in_order_of(single.manifest.labels)
    images = dataset.take(read_split(tiny / "split.npz", dataset).validation)
    assert again == [("fp32", len(images))]  # the gate has judged the other form on these images
    for bundle in (single, integer):
        rule = bundle.acceptance_rule()
        assert rule is not None
        stated, answers = rule.stated, rule.answers
        assert (stated.coverage, stated.images_sha256, answers.kind) == (0.8, images.sha256, "real")
        alone = metrics.tempered(load_classifier(bundle.path).predict_each(images.images[:]), stated.temperature)
        assert np.sort(alone.max(1)) == pytest.approx(np.sort(answers.confidence), abs=1e-5)
        assert np.sort(answers.features.sum(1)) == pytest.approx(
            np.sort(image_features(images.images[:]).sum(1)), rel=1e-2
        )


@pytest.mark.slow
def test_too_few_images_are_one_line_and_no_rule(tiny: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    bundles_ = export(tiny, ExportRecipe(formats=("onnx", "tflite")), tmp_path, recorder)
    assert [bundle.manifest.acceptance for bundle in bundles_] == [None, None]
    said = [line for line in recorder.lines if "acceptance" in line]
    assert len(said) == 1
    assert "labelled validation images, and it takes 100; say where more are with --data" in said[0]


def parts(train: int, validation: int, test: int) -> Parts:
    return Parts(*np.split(np.arange(train + validation + test), [train, train + validation]))


def test_which_images_it_is_fitted_to_does_not_depend_on_their_order_or_class() -> None:
    dataset = coloured(700, seed=0)
    chosen = fitting_images(dataset, parts(50, 600, 50))
    assert chosen is not None
    assert len(chosen) == acceptance.MOST
    order = np.concatenate([np.arange(50), np.random.default_rng(0).permutation(600) + 50, np.arange(650, 700)])
    again = fitting_images(dataset.take(order), parts(50, 600, 50))
    assert again is not None
    assert again.sha256 == chosen.sha256
    assert fitting_images(dataset, parts(50, 99, 551)) is None


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Dataset]:
    """A set in class folders."""
    monkeypatch.setattr(acceptance, "FEWEST", 20)
    dataset = coloured(300, seed=4)
    return write_pictures(tmp_path / "set", dataset), dataset


def test_a_bundle_that_is_there_is_given_another_rule(pictures: tuple[Path, Dataset], tmp_path: Path) -> None:
    before = ruled_bundle(tmp_path / "colours", coverage=0.9)
    reference = before.reference()
    assert reference is not None
    with pytest.raises(ExportError, match=r"its test part has \d+ images, of which 0 are among the 8 of"):
        add_acceptance(before.path, str(pictures[0]), Silent())
    unpaired = before.content()
    bundles.write(before.path, dataclasses.replace(unpaired, reference=None))
    after = add_acceptance(before.path, str(pictures[0]), Silent(), coverage=0.7)
    assert after.manifest.acceptance is not None
    assert after.manifest.acceptance.coverage == 0.7
    assert after.manifest.acceptance.images_sha256 != (
        before.manifest.acceptance and before.manifest.acceptance.images_sha256
    )
    after.check()
    kept = {"name", "format", "quantization", "model", "input", "labels", "golden", "source", "parity", "created"}
    assert {name: getattr(after.manifest, name) for name in kept} == {
        name: getattr(before.manifest, name) for name in kept
    }


def test_a_set_with_too_few_images_leaves_the_bundle_as_it_is(tmp_path: Path) -> None:
    bundle = ruled_bundle(tmp_path / "colours")
    bundles.write(bundle.path, dataclasses.replace(bundle.content(), reference=None))
    sealed = (bundle.path / "manifest.json").read_bytes()
    with pytest.raises(ExportError, match=r"no acceptance rule: .* and it takes 100"):
        add_acceptance(bundle.path, str(write_pictures(tmp_path / "few", coloured(300, seed=4))), Silent())
    assert (bundle.path / "manifest.json").read_bytes() == sealed
