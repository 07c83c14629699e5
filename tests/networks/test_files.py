"""Opening saved Keras models safely."""

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from bctoolkit.errors import WeightsError
from bctoolkit.networks import load_model

SUFFIXES = pytest.mark.parametrize("suffix", [".keras", ".h5"])


class Blur(layers.Layer):
    """Of a class that its author forgot to register."""

    def call(self, x: Any) -> Any:
        return x * 0.5


@keras.saving.register_keras_serializable(package="forgotten")
class Sharpen(layers.Layer):
    """Registered, but in a module that nobody imports when the file is opened."""

    def call(self, x: Any) -> Any:
        return x * 2


def save(path: Path, *stack: Any) -> Path:
    inputs = keras.Input((4,))
    x = inputs
    for layer in stack:
        x = layer(x)
    with warnings.catch_warnings():  # Keras warns of lambdas, and of .h5
        warnings.simplefilter("ignore")
        keras.Model(inputs, layers.Dense(2)(x)).save(path)
    return path


def refusal(path: Path) -> str:
    """What `load_model` says after the file's name, in one line."""
    with pytest.raises(WeightsError) as caught:
        load_model(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


@SUFFIXES
def test_a_saved_model_answers_as_before(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"model{suffix}", layers.Dense(3, activation="relu"))
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(load_model(path)(x), load_model(path)(x))


@SUFFIXES
def test_a_lambda_layer_is_named_with_the_remedy(tmp_path: Path, suffix: str) -> None:
    message = refusal(save(tmp_path / f"model{suffix}", layers.Lambda(lambda x: x / 255, name="scale")))
    assert message.startswith("layer 'scale' (Lambda) holds a Python lambda, which is never run from a file")
    assert message.endswith("save again")


def test_a_lambda_inside_a_nested_model_is_found(tmp_path: Path) -> None:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.Lambda(lambda x: x + 1, name="shift")])
    assert refusal(save(tmp_path / "model.keras", inner)).startswith("layer 'shift' (Lambda) holds a Python lambda")


def test_a_lambda_as_the_argument_of_a_layer_is_found(tmp_path: Path) -> None:
    message = refusal(save(tmp_path / "model.keras", layers.Dense(4, activation=lambda x: x * x, name="square")))
    assert message.startswith("layer 'square' (Dense) holds a Python lambda")


def test_a_lambda_of_keras_2_is_found(tmp_path: Path) -> None:
    path = save(tmp_path / "model.h5", layers.Lambda(lambda x: x / 255, name="scale"))
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        entry = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Lambda")
        entry["config"]["function"] = ["4wEAAAA=", None, None]
        file.attrs["model_config"] = json.dumps(config)
    assert refusal(path).startswith("layer 'scale' (Lambda) holds a Python lambda")


@SUFFIXES
def test_a_class_that_is_not_registered_is_named_with_the_remedy(tmp_path: Path, suffix: str) -> None:
    message = refusal(save(tmp_path / f"model{suffix}", Blur(name="soft")))
    assert message.startswith("layer 'soft' (Blur) needs 'Blur'")
    assert "register_keras_serializable(), save again" in message


def test_a_registered_class_that_was_not_imported_is_named_with_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "model.keras", Sharpen(name="crisp"))
    monkeypatch.delitem(keras.saving.get_custom_objects(), "forgotten>Sharpen")
    message = refusal(path)
    assert message.startswith(f"layer 'crisp' (Sharpen) needs 'Sharpen' of module {__name__}; import the module")
    assert f"python -c 'import {__name__}; from bctoolkit.cli import main; main()' export {path}" in message


def test_an_activation_function_that_is_not_registered_is_named(tmp_path: Path) -> None:
    def squash(x: Any) -> Any:
        return keras.ops.tanh(x)

    message = refusal(save(tmp_path / "model.keras", layers.Dense(4, activation=squash, name="hidden")))
    assert message.startswith("layer 'hidden' (Dense) needs 'squash'")


def test_a_loss_of_the_authors_own_does_not_matter(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(inputs))
    model.compile(loss=lambda truth, guess: guess - truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras").count_params() == 10


def test_private_layers_of_keras_are_found_in_an_old_file(tmp_path: Path) -> None:
    from keras.src.applications.convnext import LayerScale

    path = save(tmp_path / "model.h5", LayerScale(0.5, 4))
    assert load_model(path).count_params() == 14


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.onnx"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a model")
    assert refusal(tmp_path / name) == "not a Keras model; expected a .keras or .h5 file written by model.save()"


@SUFFIXES
def test_a_file_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"model{suffix}")
    path.write_bytes(path.read_bytes()[:-1000])
    message = refusal(path)
    assert message.startswith("not a whole Keras model (")
    assert message.endswith("copy the file again")


def test_a_damaged_part_of_the_archive_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "model.keras", layers.Dense(64))
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("model.weights.h5").header_offset + 4000
    content = bytearray(path.read_bytes())
    content[start : start + 200] = bytes(byte ^ 0xFF for byte in content[start : start + 200])
    path.write_bytes(content)
    assert refusal(path) == "damaged, model.weights.h5 fails its checksum; copy the file again"


@pytest.mark.parametrize(("suffix", "other"), [(".keras", ".h5"), (".h5", ".keras")])
def test_a_file_with_the_wrong_name_is_told_the_right_one(tmp_path: Path, suffix: str, other: str) -> None:
    path = save(tmp_path / f"model{suffix}").rename(tmp_path / f"model{other}")
    assert refusal(path) == f"is a {suffix} file by its content; rename it to model{suffix}"


def test_weights_without_a_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.weights.h5"
    keras.Sequential([keras.Input((4,)), layers.Dense(2)]).save_weights(path)
    assert refusal(path) == "holds weights only; save the whole network with model.save()"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone.keras") == "no such file"
