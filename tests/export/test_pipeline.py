"""The whole export: what is refused, what is sealed, what is left behind."""

import shutil
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import pytest
from PIL import Image

from bctoolkit import bundle as bundles
from bctoolkit import networks
from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS
from bctoolkit.documents.preprocessing import InputSettings, OutputSettings
from bctoolkit.errors import DatasetError, ExportError, ParityFailed, RecipeError
from bctoolkit.export import build, export, keras_network, variants
from bctoolkit.export.plan import plan
from bctoolkit.files import sha256_file
from bctoolkit.manifest import Processor
from bctoolkit.networks.inference import predict
from bctoolkit.progress import Silent
from bctoolkit.recipes import ExportRecipe
from bctoolkit.run import read as read_run
from bctoolkit.statistics import metrics
from bctoolkit.system import cpu_features, cpu_name
from tests.support.progress import Recorder

pytestmark = pytest.mark.slow

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


def test_golden_images_are_those_that_the_reference_is_sure_of_as_far_as_there_are_enough(
    tiny: Path, tmp_path: Path
) -> None:
    (sealed,) = export(tiny, ExportRecipe(golden=6), tmp_path, Silent())
    golden, reference = sealed.golden(), sealed.reference()
    assert reference is not None
    sure = int((metrics.margin(reference.probabilities) >= 0.5).sum())
    assert sealed.manifest.golden.count == len(golden.images) == 6
    assert (metrics.margin(golden.probabilities) >= 0.5).sum() == min(6, sure)


def test_the_manifest_tells_the_cpu_and_what_its_products_are(workspace: Path) -> None:
    for path in sorted((workspace / "exports" / "bundles").iterdir()):
        manifest = bundles.read(path).manifest
        assert manifest.cpu == Processor(cpu_name(), cpu_features())
        integers = manifest.format == "onnx" and manifest.quantization.startswith("int8")
        assert (manifest.integer_products is not None) == integers
        if manifest.integer_products is not None:
            assert manifest.integer_products.columns > manifest.integer_products.count > 0
            assert manifest.integer_products.saturating == 0


def test_the_reference_covers_the_test_part_and_nothing_else(bundle: Path, tiny: Path) -> None:
    reference = bundles.read(bundle).reference()
    assert reference is not None
    with np.load(tiny / "split.npz") as stored:
        test = {bytes(row) for row in stored["hashes"][stored["part"] == 2]}
    assert {bytes(row) for row in reference.hashes} == test


def test_synthetic_golden_images_are_called_synthetic(tiny: Path, tmp_path: Path) -> None:
    (sealed,) = export(tiny, FP32, tmp_path, Silent(), golden="synthetic")
    golden = sealed.golden()
    assert sealed.manifest.golden.images == golden.kind == "synthetic"
    assert len(golden.images) == 64
    assert set(golden.labels.tolist()) == {-1}
    assert sealed.reference() is None  # no images of the run were read


def test_golden_images_may_be_the_users_own(tiny: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    rng = np.random.default_rng(0)
    for index in range(10):
        Image.fromarray(rng.integers(0, 256, (50, 40, 3), dtype=np.uint8)).save(own / f"{index}.png")
    (sealed,) = export(tiny, FP32, tmp_path / "out", Silent(), golden=str(own))
    assert sealed.golden().images.shape == (10, 32, 32, 3)


def test_a_bare_keras_file_exports_with_the_labels_that_are_stated(
    class_folders: Path, stock_convnext: keras.Model, tmp_path: Path
) -> None:
    base = stock_convnext.layers[1]
    inputs = keras.Input((32, 32, 3))
    head = keras.layers.Dense(3, "softmax", kernel_initializer=keras.initializers.GlorotUniform(seed=0))
    keras.Model(inputs, head(base(inputs))).save(tmp_path / "mine.keras")
    recipe = ExportRecipe(
        formats=("onnx", "tflite"),
        input=InputSettings(dtype="float32"),
        output=OutputSettings(labels=("left", "right", "up")),
    )
    sealed = export(tmp_path / "mine.keras", recipe, tmp_path / "out", Silent(), data=str(class_folders))
    assert [bundle.manifest.name for bundle in sealed] == ["mine-onnx-fp32", "mine-tflite-fp32"]
    assert {bundle.manifest.labels for bundle in sealed} == {("left", "right", "up")}
    assert all(bundle.manifest.input.dtype == "float32" for bundle in sealed)
    assert all(bundle.manifest.parity.max_abs_diff <= 1e-4 for bundle in sealed)


def test_a_run_trained_in_mixed_precision_exports_from_its_float32_twin(tmp_path: Path) -> None:
    model = networks.build("baseline_cnn", 3, (32, 32, 3), policy="mixed_bfloat16")
    model.save(tmp_path / "mixed.keras")
    (sealed,) = export(tmp_path / "mixed.keras", FP32, tmp_path / "out", Silent(), golden="synthetic")
    plain = networks.build("baseline_cnn", 3, (32, 32, 3))
    plain.set_weights(model.get_weights())
    golden = sealed.golden()
    expected = np.asarray(plain(golden.images.astype(np.float32), training=False))
    np.testing.assert_allclose(golden.probabilities, expected, atol=1e-6)
    assert sealed.manifest.parity.max_abs_diff <= 1e-4


def test_a_failed_export_leaves_the_earlier_bundle_as_it_was(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sealed,) = export(tiny, FP32, tmp_path, Silent())
    before = (sealed.path / "manifest.json").read_bytes()
    monkeypatch.setattr(
        variants, "predict_artifact", lambda job, artifact, model, images: np.zeros((len(images), 3), np.float32)
    )
    with pytest.raises(ParityFailed, match="folded twin → onnx fp32: "):
        export(tiny, FP32, tmp_path, Silent(), force=True)
    assert (sealed.path / "manifest.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [sealed.path.name]


def test_an_export_of_the_same_is_kept(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = ExportRecipe(quantizations=("fp32", "int8-dynamic"))
    sealed = export(tiny, recipe, tmp_path / "out", Silent(), cache=tmp_path / "cache")
    monkeypatch.setattr(build, "build_bundles", lambda *_: pytest.fail("made again"))
    progress = Recorder()
    assert export(tiny, recipe, tmp_path / "out", progress, cache=tmp_path / "cache") == sealed
    assert progress.lines == [
        "  reused, as no input has changed: tiny-onnx-fp32, tiny-onnx-int8-dynamic (--force exports them anew)"
    ]


def test_a_damaged_bundle_and_another_recipe_are_made_anew(tiny: Path, tmp_path: Path) -> None:
    (first,) = export(tiny, FP32, tmp_path, Silent())
    (first.path / "model.onnx").write_bytes(b"damaged")
    (second,) = export(tiny, FP32, tmp_path, Silent())
    second.check()
    (third,) = export(tiny, ExportRecipe(golden=8), tmp_path, Silent())
    assert third.manifest.golden.count == 8
    assert third.manifest.inputs_sha256 != second.manifest.inputs_sha256


def test_the_reference_is_asked_once_for_all_exports(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tiny, FP32, tmp_path / "out", Silent(), cache=tmp_path / "cache")
    labels: list[str] = []

    def counted(model: keras.Model, images: Any, label: str, progress: Any) -> Any:
        labels.append(label)
        return predict(model, images, label, progress)

    monkeypatch.setattr(keras_network, "predict", counted)
    export(tiny, ExportRecipe(quantizations=("fp16",)), tmp_path / "out", Silent(), cache=tmp_path / "cache")
    assert [label for label in labels if "reference" in label] == []


def test_all_is_every_form_that_a_format_has_but_those_asked_for_by_name() -> None:
    every = [(name, kind) for name, row in FORMATS.items() for kind in row.quantizations]
    wanted = [(name, kind) for name, kind in every if not QUANTIZATIONS[kind].by_name]
    assert set(every) - set(wanted) == {("tflite", "w8a16")}
    assert plan(ExportRecipe(formats=tuple(FORMATS), quantizations=("all",))) == wanted


def test_a_form_that_a_format_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(RecipeError, match="onnx has no quantization 'int8-full'; it has fp32, "):
        plan(ExportRecipe(quantizations=("int8-full",)))
    for kind in ("int8-full", "w8a16"):
        with pytest.raises(RecipeError, match=f"tflite {kind} takes uint8 images; leave out --input float32"):
            plan(ExportRecipe(formats=("tflite",), quantizations=(kind,), input=InputSettings(dtype="float32")))


def test_layers_kept_in_float_are_in_the_manifest(tiny: Path, tmp_path: Path) -> None:
    recipe = ExportRecipe(formats=("tflite",), quantizations=("int8-dynamic",), keep_float=("conv_1",))
    (sealed,) = export(tiny, recipe, tmp_path, Silent())
    assert "conv_1" in sealed.manifest.keep_float


@pytest.mark.parametrize("kind", ["fp32", "int8-dynamic"])
def test_a_pattern_that_fits_no_layer_is_refused(tiny: Path, tmp_path: Path, kind: str) -> None:
    recipe = ExportRecipe(quantizations=(kind,), keep_float=("stage_9_*",))
    message = "no form of this export" if kind == "fp32" else r"--keep-float 'stage_9_\*' fits none of the"
    with pytest.raises(RecipeError, match=message):
        export(tiny, recipe, tmp_path / "out", Silent())
    assert not (tmp_path / "out").exists()


def test_calibration_images_are_of_the_training_part_and_named_in_the_bundle(tiny: Path, tmp_path: Path) -> None:
    (sealed,) = export(tiny, ExportRecipe(formats=("tflite",), quantizations=("int8",)), tmp_path, Silent())
    hashes = sealed.calibration()
    assert hashes is not None
    with np.load(tiny / "split.npz") as stored:
        train = {bytes(row) for row in stored["hashes"][stored["part"] == 0]}
    assert {bytes(row) for row in hashes} <= train


def test_int8_without_known_images_asks_for_some(tiny: Path, tmp_path: Path) -> None:
    recipe = ExportRecipe(formats=("tflite",), quantizations=("int8",))
    with pytest.raises(ExportError, match="int8 needs images of the training part to calibrate on"):
        export(tiny, recipe, tmp_path / "out", Silent(), golden="synthetic")


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
    with pytest.raises(
        DatasetError, match="3 classes, but m has 5 outputs; name the outputs, in their order, with --labels"
    ):
        export(tmp_path / "m.keras", FP32, tmp_path / "out", Silent(), data=str(class_folders))


def test_a_network_that_is_no_image_classifier_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(tmp_path / "m.keras")
    with pytest.raises(
        ExportError, match=r"m\.keras: its input has shape \(None, 4\); wanted images N×height×width×channels"
    ):
        export(tmp_path / "m.keras", FP32, tmp_path / "out", Silent(), golden="synthetic")
