"""What a file tells of its network besides the graph: its loss, and a preprocessor of its own."""

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import pytest

from bctoolkit.documents.preprocessing import InputSettings
from bctoolkit.errors import ExportError, WeightsError
from bctoolkit.export import export
from bctoolkit.export.keras_graph.file_facts import FileFacts, Preprocessor, facts_of
from bctoolkit.recipes import ExportRecipe
from tests.support.colours import colour_network
from tests.support.progress import Recorder

CONVERTER = {
    "name": "converter",
    "image_size": [48, 48],
    "scale": [0.017, 0.0175, 0.0174],
    "offset": [-2.1, -2.0, -1.8],
    "interpolation": "bicubic",
    "antialias": False,
    "crop_to_aspect_ratio": True,
    "pad_to_aspect_ratio": False,
    "bounding_box_format": "yxyx",
}
"""As keras-hub 0.32 writes one."""


def archive(path: Path, config: Any) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps(config))
    return path


def task(converter: Any) -> dict[str, Any]:
    """The description of a keras-hub classifier, as far as it is read here."""
    stored = None if converter is None else {"class_name": "SomeImageConverter", "config": converter}
    preprocessor = {"class_name": "SomeImageClassifierPreprocessor", "config": {"image_converter": stored}}
    return {"class_name": "SomeImageClassifier", "config": {"backbone": {}, "preprocessor": preprocessor}}


def preprocessor_of(tmp_path: Path, **changes: Any) -> Preprocessor:
    facts = facts_of(archive(tmp_path / "task.keras", task(CONVERTER | changes)))
    assert facts.preprocessor is not None
    return facts.preprocessor


def test_scale_offset_size_and_resizing_of_a_task_are_read(tmp_path: Path) -> None:
    settings = InputSettings(scale=((0.017, 0.0175, 0.0174), (-2.1, -2.0, -1.8)), size=(48, 48))
    assert preprocessor_of(tmp_path) == Preprocessor(settings, "square", "bicubic")
    plain = preprocessor_of(tmp_path, scale=1 / 255, offset=None, image_size=None, crop_to_aspect_ratio=False)
    assert plain == Preprocessor(InputSettings(scale=(1 / 255, 0.0)), "none", "bicubic")
    assert preprocessor_of(tmp_path, scale=None, offset=None).settings.scaling.factor == (1.0,)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"pad_to_aspect_ratio": True, "crop_to_aspect_ratio": False}, "it pads images"),
        ({"image_size": [48, 64]}, "it crops images to 48×64"),
        ({"interpolation": "area"}, "it resizes by 'area'"),
        ({"norm_mean": [0.5]}, "does more than scale and resize: norm_mean"),
        ({"scale": "large"}, "scale"),
        ({"scale": [0.0, 1.0, 1.0]}, "a factor of 0"),
        ({"image_size": [0, 0]}, "size: 0×0 pixels"),
        ({"image_size": "big"}, ""),
        ({"image_size": [48]}, ""),
    ],
)
def test_a_preprocessor_that_cannot_be_taken_over_says_why(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    preprocessor = preprocessor_of(tmp_path, **changes)
    assert preprocessor.problem
    assert problem in preprocessor.problem


def test_files_that_tell_nothing(tmp_path: Path) -> None:
    contents: tuple[Any, ...] = (
        [],
        {},
        {"config": None},
        {"config": {"preprocessor": None}},
        {"compile_config": []},
        3,
    )
    for content in contents:
        assert facts_of(archive(tmp_path / "odd.keras", content)) == FileFacts()
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04")
    for name in ("broken.keras", "absent.keras"):
        assert facts_of(tmp_path / name) == FileFacts()
    assert facts_of(archive(tmp_path / "bare.keras", task(None))).preprocessor == Preprocessor(
        InputSettings(), "none", "bilinear"
    )


@pytest.mark.parametrize("loss", ["mse", "sparse_categorical_crossentropy", keras.losses.BinaryCrossentropy(True)])
def test_the_loss_is_read_however_it_was_given(tmp_path: Path, loss: Any) -> None:
    model = colour_network("none", None)
    model.compile(loss=loss)
    model.save(tmp_path / "net.keras")
    assert facts_of(tmp_path / "net.keras").loss == (loss if isinstance(loss, str) else "BinaryCrossentropy")


def with_preprocessor(path: Path, **changes: Any) -> Path:
    """A file of a network that says it has a preprocessor beside it; Keras itself passes over what it does not know."""
    colour_network("imagenet").save(path)
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    config = json.loads(content["config.json"])
    config["config"]["preprocessor"] = task(CONVERTER | {"image_size": [16, 16]} | changes)["config"]["preprocessor"]
    content["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


def test_a_file_s_own_preprocessor_is_built_in_and_said(tmp_path: Path) -> None:
    path, progress = with_preprocessor(tmp_path / "net.keras"), Recorder()
    try:
        (sealed,) = export(path, ExportRecipe(golden=8), tmp_path / "out", progress, golden="synthetic")
    except WeightsError as problem:
        pytest.skip(f"this Keras refuses a key it does not know: {problem}")
    assert progress.lines[0] == "  the file's own preprocessor is built in, with images resized by bicubic"
    manifest = sealed.manifest
    assert (manifest.input.resize, manifest.input.crop) == ("bicubic", "square")
    assert manifest.adaptation is not None
    assert (manifest.adaptation.scale, manifest.adaptation.factor) == ("preprocessor", (0.017, 0.0175, 0.0174))


def test_one_that_cannot_be_built_in_is_refused_until_a_scale_is_stated(tmp_path: Path) -> None:
    path = with_preprocessor(tmp_path / "net.keras", pad_to_aspect_ratio=True, crop_to_aspect_ratio=False)
    with pytest.raises(ExportError, match=r"cannot be built in: it pads .*; say what the network takes with --scale$"):
        export(path, ExportRecipe(), tmp_path / "out", Recorder(), golden="synthetic")
    recipe = ExportRecipe(golden=8, input=InputSettings(scale="imagenet"))
    try:
        export(path, recipe, tmp_path / "out", Recorder(), golden="synthetic")
    except WeightsError as problem:
        pytest.skip(f"this Keras refuses a key it does not know: {problem}")
