"""The whole export: what is refused, what is sealed, what is left behind."""

import shutil
from pathlib import Path

import keras
import msgspec
import numpy as np
import pytest
from PIL import Image

from bctoolkit import bundle as bundles
from bctoolkit import networks
from bctoolkit.errors import DatasetError, ExportError, ParityFailed
from bctoolkit.export import export, stage
from bctoolkit.files import sha256_file
from bctoolkit.progress import Silent
from bctoolkit.recipes import ExportRecipe
from bctoolkit.run import read as read_run

FP32 = ExportRecipe()


@pytest.fixture(scope="session")
def tiny(workspace: Path) -> Path:
    return workspace / "training" / "runs" / "tiny"


def test_the_manifest_says_where_the_artifact_comes_from(workspace: Path, tiny: Path) -> None:
    facts = read_run(tiny)
    for path in sorted((workspace / "exports" / "bundles").iterdir()):
        manifest = bundles.read(path).manifest
        assert manifest.name == f"tiny-{manifest.format}-{manifest.quantization}"
        assert manifest.source.run == "tiny"
        assert manifest.source.model_sha256 == sha256_file(tiny / "model.keras") == facts.model_sha256
        assert manifest.source.recipe_sha256 == sha256_file(tiny / "recipe.toml")
        assert manifest.source.dataset_sha256 == facts.data.sha256
        assert manifest.labels == ("left", "right", "up")
        assert {"python", "keras", "tensorflow"} <= set(manifest.tools)


def test_golden_answers_are_those_of_the_trained_keras_model_on_the_test_part(bundle: Path, tiny: Path) -> None:
    golden = bundles.read(bundle).golden()
    model = networks.load_model(tiny / "model.keras")
    expected = np.asarray(model(golden.images.astype(np.float32), training=False))
    np.testing.assert_allclose(golden.probabilities, expected, atol=1e-6)
    counts = read_run(tiny).data.counts["test"]
    assert np.bincount(golden.labels).tolist() == list(counts.values())  # fewer than 64: all of them
    assert golden.kind == "real"


def test_the_reference_covers_the_test_part_and_nothing_else(bundle: Path, tiny: Path) -> None:
    reference = bundles.read(bundle).reference()
    assert reference is not None
    with np.load(tiny / "split.npz") as stored:
        test = {bytes(row) for row in stored["hashes"][stored["part"] == 2]}
    assert {bytes(row) for row in reference.hashes} == test


def test_synthetic_golden_images_are_called_synthetic(tiny: Path, tmp_path: Path) -> None:
    (made,) = export(tiny, FP32, tmp_path, Silent(), golden="synthetic")
    golden = made.golden()
    assert made.manifest.golden.images == golden.kind == "synthetic"
    assert len(golden.images) == 64
    assert set(golden.labels.tolist()) == {-1}
    assert made.reference() is None  # no images of the run were read


def test_golden_images_may_be_the_users_own(tiny: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    rng = np.random.default_rng(0)
    for index in range(10):
        Image.fromarray(rng.integers(0, 256, (50, 40, 3), dtype=np.uint8)).save(own / f"{index}.png")
    (made,) = export(tiny, FP32, tmp_path / "out", Silent(), golden=str(own))
    assert made.golden().images.shape == (10, 32, 32, 3)


def test_a_bare_keras_file_exports_with_the_labels_of_its_images(
    class_folders: Path, stock_convnext: keras.Model, tmp_path: Path
) -> None:
    base = stock_convnext.layers[1]
    inputs = keras.Input((32, 32, 3))
    keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(base(inputs))).save(tmp_path / "mine.keras")
    recipe = ExportRecipe(formats=("onnx", "tflite"), input="float32")
    made = export(tmp_path / "mine.keras", recipe, tmp_path / "out", Silent(), data=str(class_folders))
    assert [bundle.manifest.name for bundle in made] == ["mine-onnx-fp32", "mine-tflite-fp32"]
    assert {bundle.manifest.labels for bundle in made} == {("left", "right", "up")}
    assert all(bundle.manifest.input.dtype == "float32" for bundle in made)
    assert all(bundle.manifest.parity.max_abs_diff <= 1e-4 for bundle in made)


def test_a_run_trained_in_mixed_precision_exports_from_its_float32_twin(tmp_path: Path) -> None:
    model = networks.build("convnext_atto", 3, (32, 32, 3), layer_scale=0.5, policy="mixed_bfloat16")
    model.save(tmp_path / "mixed.keras")
    (made,) = export(tmp_path / "mixed.keras", FP32, tmp_path / "out", Silent(), golden="synthetic")
    plain = networks.build("convnext_atto", 3, (32, 32, 3), layer_scale=0.5)
    plain.set_weights(model.get_weights())
    golden = made.golden()
    expected = np.asarray(plain(golden.images.astype(np.float32), training=False))
    np.testing.assert_allclose(golden.probabilities, expected, atol=1e-6)
    assert made.manifest.parity.max_abs_diff <= 1e-4


def test_a_fault_in_the_artifact_ships_nothing_and_names_the_link(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bctoolkit.export import to_onnx

    right = to_onnx.convert

    def wrong(twin: keras.Model, quantization: str, contract: object) -> bytes:
        head = twin.get_layer("head_logits")
        kernel, bias = head.get_weights()
        head.set_weights([kernel, np.roll(bias, 1) + np.array([0.1, 0, 0])])
        return right(twin, quantization, contract)  # type: ignore[arg-type]

    monkeypatch.setattr(to_onnx, "convert", wrong)
    with pytest.raises(ParityFailed, match=r"float32 twin → onnx fp32: max \|Δp\| .* no bundle was written"):
        export(tiny, FP32, tmp_path / "out", Silent())
    assert not (tmp_path / "out").exists()


def test_a_fault_in_the_twin_is_blamed_on_the_twin(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(twin: keras.Model) -> keras.Model:
        twin.get_layer("conv_1").set_weights([w * 1.5 for w in twin.get_layer("conv_1").get_weights()])
        return twin

    monkeypatch.setattr(stage, "fold", wrong)
    with pytest.raises(ParityFailed, match="float32 twin → folded twin"):
        export(tiny, FP32, tmp_path / "out", Silent())


def test_a_failed_export_leaves_the_earlier_bundle_as_it_was(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (made,) = export(tiny, FP32, tmp_path, Silent())
    before = (made.path / "manifest.json").read_bytes()
    monkeypatch.setattr(stage, "_run", lambda *_: np.zeros((len(made.golden().images), 3), np.float32))
    with pytest.raises(ParityFailed):
        export(tiny, FP32, tmp_path, Silent())
    assert (made.path / "manifest.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [made.path.name]


def test_images_that_moved_are_asked_for(workspace: Path, tiny: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny, tmp_path / "run")
    facts = msgspec.json.decode((run / "run.json").read_bytes())
    facts["data"]["source"] = str(tmp_path / "gone")
    (run / "run.json").write_bytes(msgspec.json.encode(facts))
    with pytest.raises(DatasetError, match=r"gone: the run's images are no longer there; say where with --data"):
        export(run, FP32, tmp_path / "out", Silent())


def test_a_bare_file_without_images_asks_for_some(tmp_path: Path) -> None:
    networks.build("baseline_cnn", 3, (32, 32, 3)).save(tmp_path / "m.keras")
    with pytest.raises(ExportError, match="no images to check the export on"):
        export(tmp_path / "m.keras", FP32, tmp_path / "out", Silent())


def test_images_of_other_classes_are_refused(class_folders: Path, tmp_path: Path) -> None:
    networks.build("baseline_cnn", 5, (32, 32, 3)).save(tmp_path / "m.keras")
    with pytest.raises(DatasetError, match="3 classes, but m has 5 outputs"):
        export(tmp_path / "m.keras", FP32, tmp_path / "out", Silent(), data=str(class_folders))


def test_a_network_that_is_no_image_classifier_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(tmp_path / "m.keras")
    with pytest.raises(ExportError, match=r"wanted N×height×width×3 in, N×classes out"):
        export(tmp_path / "m.keras", FP32, tmp_path / "out", Silent(), golden="synthetic")
