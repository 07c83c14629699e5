"""One network by three tools: each file becomes a bundle beside ours, or is refused with the option that mends it."""

import re
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import onnx
import pytest

from bctoolkit.bundle import Bundle
from bctoolkit.contract import InputContract
from bctoolkit.data import load
from bctoolkit.documents.preprocessing import InputSettings, OutputSettings
from bctoolkit.errors import BctkError, ExportError, ParityFailed, RecipeError
from bctoolkit.export.adoption.pipeline import adopt
from bctoolkit.export.adoption.stated import Adoption
from bctoolkit.manifest import Manifest
from bctoolkit.progress import Silent
from bctoolkit.recipes import ExportRecipe
from bctoolkit.runtime import load as load_classifier
from tests.conftest import CLASSES
from tests.support.foreign import constant, model_of, statically_quantized, torch_like
from tests.support.networks import SIZE
from tests.support.progress import Recorder

SCALE = ((1 / 58, 1 / 57, 1 / 57), (-2.1, -2.0, -1.8))
"""What `small_convnext` does first, and a file from PyTorch leaves to the app."""

FED = InputSettings(scale=SCALE)
RECIPE = ExportRecipe(golden=16)


@pytest.fixture(scope="module")
def network(run_folder: Path) -> keras.Model:
    model: keras.Model = keras.models.load_model(run_folder / "model.keras", compile=False)
    return model


@pytest.fixture(scope="module")
def files(network: keras.Model, class_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """torch.onnx, static.onnx made of it, and Keras's own keras.tflite."""
    folder = tmp_path_factory.mktemp("files")
    onnx.save(torch_like(network), folder / "torch.onnx")
    images = load(str(class_folders), InputContract(height=SIZE, width=SIZE)).images[:24]
    inputs = (images * np.array(SCALE[0]) + np.array(SCALE[1])).transpose(0, 3, 1, 2).astype(np.float32)
    statically_quantized(folder / "torch.onnx", folder / "static.onnx", inputs)
    network.export(folder / "keras.tflite", format="litert", verbose=False)
    return folder


def adopted(folder: Path, file: Path, reference: Path, **stated: Any) -> Bundle:
    data = stated.pop("data", None)
    return adopt(Adoption(file, reference, **stated), folder, Silent(), data=data, recipe=RECIPE)


@pytest.mark.parametrize(
    ("name", "settings", "form", "producer"),
    [
        ("torch.onnx", FED, "onnx-fp32", "someone 1.2"),
        ("static.onnx", FED, "onnx-int8", "onnx.quantize 0.1.0"),
        ("keras.tflite", InputSettings(scale="none"), "tflite-fp32", "MLIR Converted."),
    ],
)
def test_a_file_becomes_a_bundle_like_any_other(
    name: str, settings: InputSettings, form: str, producer: str, files: Path, run_folder: Path, tmp_path: Path
) -> None:
    progress = Recorder()
    sealed = adopt(Adoption(files / name, run_folder, input=settings), tmp_path, progress, recipe=RECIPE)
    manifest = sealed.manifest
    gated = any("labelled validation images are too few" in line for line in progress.lines)
    assert gated == (form == "onnx-int8")
    assert manifest.name == f"{Path(name).stem}-{form}"
    assert manifest.source.run == "cells"
    assert manifest.adopted is not None
    assert (manifest.adopted.file, manifest.adopted.producer) == (name, producer)
    assert manifest.adaptation is not None
    assert manifest.labels == CLASSES
    assert [step.name.split(" → ")[0] for step in manifest.parity_steps] == [f"{name} as it came", "float32 Keras"]
    sealed.check()
    golden, reference = sealed.golden(), sealed.reference()
    assert reference is not None
    classifier = load_classifier(sealed.path)
    observed = classifier.predict_each(golden.images)
    limit = 1e-4 if form.endswith("fp32") else 0.5
    assert np.abs(observed - golden.probabilities).max() < limit
    assert (observed.argmax(1) == golden.labels).mean() > 0.8
    batch = classifier.predict(golden.images[:3]).probabilities
    assert np.allclose(batch, observed[:3], atol=1e-6)
    older = {key: each for key, each in msgspec.to_builtins(manifest).items() if key not in ("adopted", "adaptation")}
    assert msgspec.convert(older, Manifest).adopted is None


def test_a_missing_scale_is_asked_for_with_the_one_that_fits(files: Path, run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        adopted(tmp_path, files / "keras.tflite", run_folder)
    assert "say it with --scale none|0-1|-1-1|imagenet|caffe or FACTOR,OFFSET" in str(caught.value)
    assert re.search("; with --scale none it gives the reference's answers on [0-9]+ images$", str(caught.value))
    assert not list(tmp_path.iterdir())


def test_a_wrong_scale_is_refused_with_the_one_that_fits(files: Path, run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ParityFailed) as caught:
        adopted(tmp_path, files / "keras.tflite", run_folder, input=InputSettings(scale="0-1"))
    assert "float32 Keras → tflite fp32: " in str(caught.value)
    assert re.search("; with --scale none it gives the reference's answers on [0-9]+ images$", str(caught.value))
    assert not list(tmp_path.iterdir())


def test_another_network_is_refused(network: keras.Model, run_folder: Path, tmp_path: Path) -> None:
    other = torch_like(network)
    kernel = next(tensor for tensor in other.graph.initializer if len(tensor.dims) == 4)
    kernel.CopyFrom(constant(kernel.name, onnx.numpy_helper.to_array(kernel) * 0.99))
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(ParityFailed, match=r"float32 Keras → onnx fp32: .*; no bundle was written$"):
        adopted(tmp_path / "out", tmp_path / "other.onnx", run_folder, input=FED)
    assert not (tmp_path / "out").exists()


def test_a_float_file_is_the_reference_of_its_integer_form(files: Path, class_folders: Path, tmp_path: Path) -> None:
    stated = {"input": FED, "output": OutputSettings(labels=CLASSES), "data": str(class_folders)}
    sealed = adopted(tmp_path, files / "static.onnx", files / "torch.onnx", **stated)
    assert [step.name for step in sealed.manifest.parity_steps] == [
        "static.onnx as it came → onnx int8",
        "torch.onnx in float32 → onnx int8",
    ]
    assert sealed.manifest.integer_products is not None
    with pytest.raises(ExportError, match="a reference is a Keras file, a run, or an ONNX file in float32"):
        adopted(tmp_path, files / "torch.onnx", files / "static.onnx", **stated)
    with pytest.raises(RecipeError, match="what its 3 outputs stand for is not in the file"):
        adopted(tmp_path, files / "static.onnx", files / "torch.onnx", input=FED, data=str(class_folders))


def test_labels_that_are_not_the_run_s(files: Path, run_folder: Path, tmp_path: Path) -> None:
    output = OutputSettings(labels=("right", "left", "up"))
    with pytest.raises(RecipeError, match="--labels: the run cells has left, right, up; leave out --labels"):
        adopted(tmp_path, files / "torch.onnx", run_folder, input=FED, output=output)


@pytest.fixture(scope="module")
def tints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file that tells the classes apart by their tint, and takes blue first."""
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["input"], ["means"]),
        onnx.helper.make_node("Flatten", ["means"], ["flat"], axis=1),
        onnx.helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    stored = [constant("weights", np.eye(3, dtype=np.float32)[::-1] * 0.2)]
    path = tmp_path_factory.mktemp("tints") / "tints.onnx"
    onnx.save(model_of(nodes, stored, ["N", 3, 40, 40], {"logits": ["N", 3]}), path)
    return path


def test_a_reference_that_is_fed_wrong_is_noticed_by_labelled_images(
    tints: Path, class_folders: Path, tmp_path: Path
) -> None:
    stated = {"output": OutputSettings(labels=CLASSES), "data": str(class_folders)}
    right = r"say it with --scale .*; with --scale none --channels bgr it is right on 100% of "
    with pytest.raises(RecipeError, match=right):
        adopted(tmp_path, tints, tints, **stated)
    with pytest.raises(ExportError, match="give --channels bgr"):
        adopted(tmp_path, tints, tints, input=InputSettings(scale="none"), **stated)
    fed = InputSettings(scale="none")
    with pytest.raises(ExportError, match="give --reference-channels bgr"):
        adopted(tmp_path, tints, tints, input=InputSettings(scale="caffe"), reference_input=fed, **stated)
    settings = InputSettings(scale="caffe", white=4095, prepared=(40, 72))
    sealed = adopted(tmp_path, tints, tints, input=settings, **stated)
    assert sealed.manifest.parity.max_abs_diff < 1e-6
    contract = sealed.manifest.input
    assert (contract.white, contract.crop, contract.picture) == (4095, 40, 72)


def test_what_is_stated_already_is_not_advised(tints: Path, class_folders: Path, tmp_path: Path) -> None:
    other = onnx.load(tints)
    other.graph.initializer[0].CopyFrom(constant("weights", np.eye(3, dtype=np.float32)[::-1] * 0.200002))
    onnx.save(other, tmp_path / "other.onnx")
    stated = {"input": InputSettings(scale="caffe"), "output": OutputSettings(labels=CLASSES)}
    with pytest.raises(ParityFailed, match=r"tints.onnx in float32 → onnx fp32: .*; no bundle was written$"):
        adopted(tmp_path / "out", tmp_path / "other.onnx", tints, data=str(class_folders), **stated)


def test_an_app_s_image_has_to_fit_both(tints: Path, run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"takes images of 40×40×3, the reference .* of 32×32×3"):
        adopted(tmp_path, tints, run_folder, input=InputSettings(scale="none"))


@pytest.mark.parametrize("name", ["../up", ".hidden", "a/b", ""])
def test_a_name_that_is_no_folder_s(name: str, tints: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="give one with --name"):
        adopted(tmp_path / "out", tints, tmp_path / "none.keras", name=name)
    assert not (tmp_path / "out").exists()


def test_what_the_reference_lacks_is_asked_for_by_its_own_options(
    network: keras.Model, class_folders: Path, run_folder: Path, files: Path, tmp_path: Path
) -> None:
    middle = network.get_layer("head_norm").output
    keras.Model(network.inputs, [network.outputs[0], middle]).save(tmp_path / "two.keras")
    with pytest.raises(BctkError, match="--reference-output"):
        adopted(tmp_path / "out", files / "torch.onnx", tmp_path / "two.keras", input=FED, data=str(class_folders))
    fed = InputSettings(scale="0-1")
    with pytest.raises(RecipeError, match="leave out --reference-scale, --reference-channels"):
        adopted(tmp_path / "out", files / "torch.onnx", run_folder, input=FED, reference_input=fed)
    sealed = adopted(
        *(tmp_path / "out", files / "torch.onnx", tmp_path / "two.keras"),
        input=FED,
        data=str(class_folders),
        reference_output=OutputSettings(name="head_probabilities"),
        output=OutputSettings(labels=CLASSES),
    )
    assert sealed.manifest.source.run == "two"
