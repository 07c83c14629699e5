"""Opening saved Keras models safely."""

import json
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from bctoolkit.errors import WeightsError
from bctoolkit.networks import LoadOptions, load_model

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


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    """Change the description inside a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content["config.json"] = change(content["config.json"].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


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


CODE = "holds Python code, which runs only if you trust it: bctk export"


@SUFFIXES
def test_a_lambda_layer_is_named_with_the_remedy(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"model{suffix}", layers.Lambda(lambda x: x / 255, name="scale"))
    assert refusal(path) == f"layer 'scale' (Lambda) {CODE} {path} --trust-lambda"


@SUFFIXES
def test_a_trusted_lambda_is_run_with_the_names_it_was_written_with(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"model{suffix}", layers.Lambda(lambda x: tf.nn.relu(x) / np.float32(4), name="scale"))
    x = np.array([[-4, 4, 8, 12]], np.float32)
    model = load_model(path, LoadOptions(trust_lambda=True))
    np.testing.assert_array_equal(model.get_layer("scale")(x), [[0, 1, 2, 3]])


def own_half(x: Any) -> Any:
    return x / 2


def test_a_trusted_lambda_that_lacks_a_name_says_so(tmp_path: Path) -> None:
    path = save(tmp_path / "model.keras", layers.Lambda(lambda x: own_half(x), name="scale", output_shape=(4,)))
    with pytest.raises(WeightsError, match=r"needs the name 'own_half', which it was written with; .*--import MODULE"):
        load_model(path, LoadOptions(trust_lambda=True))
    model = load_model(path, LoadOptions(imports=(__name__,), trust_lambda=True))
    np.testing.assert_array_equal(model.get_layer("scale")(np.ones((1, 4), np.float32)), np.full((1, 4), 0.5))


def test_a_lambda_inside_a_nested_model_is_found(tmp_path: Path) -> None:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.Lambda(lambda x: x + 1, name="shift")])
    assert refusal(save(tmp_path / "model.keras", inner)).startswith(f"layer 'shift' (Lambda) {CODE}")


@SUFFIXES
def test_a_lambda_as_the_argument_of_a_layer_is_lost(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"model{suffix}", layers.Dense(4, activation=lambda x: x * x, name="square"))
    message = "layer 'square' (Dense) has a lambda as an argument, which Keras saves but never loads"
    assert refusal(path).startswith(message)
    with pytest.raises(WeightsError, match="has a lambda as an argument"):
        load_model(path, LoadOptions(trust_lambda=True))


@pytest.mark.parametrize(
    "change",
    [
        {"function": ["4wEAAAA=", None, None]},  # as Keras 2 writes it
        {"function": ["4wEAAAA=\n", None, None]},
        {"function": [" 4wEAAAA=", [1], None, "more"]},
        {"function": "YWJj"},
        {"function": {"class_name": "function", "config": "relu"}, "output_shape": ["4wEAAAA=", None, None]},
        {"function": {"class_name": "function", "config": "relu"}, "mask": {"code": "4wEAAAA="}},
    ],
)
@pytest.mark.parametrize("kind", ["Lambda", "layers.Lambda", "custom>Lambda"])
def test_code_is_found_however_it_is_spelled(tmp_path: Path, change: dict[str, Any], kind: str) -> None:
    path = save(tmp_path / "model.h5", layers.Lambda(lambda x: x / 255, name="scale"))
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        entry = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Lambda")
        entry["class_name"] = kind
        entry["config"] |= change
        file.attrs["model_config"] = json.dumps(config)
    assert refusal(path) == f"layer 'scale' ({kind}) {CODE} {path} --trust-lambda"


def test_a_lambda_layer_of_a_named_function_needs_no_trust(tmp_path: Path) -> None:
    path = save(tmp_path / "model.keras", layers.Lambda(keras.ops.relu, name="rectify", output_shape=(4,)))
    assert load_model(path).get_layer("rectify").function.__name__ == "relu"


@SUFFIXES
def test_a_class_that_is_not_registered_is_named_with_the_remedy(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"model{suffix}", Blur(name="soft"))
    message = refusal(path)
    assert message.startswith("layer 'soft' (Blur) needs 'Blur'")
    name = __name__ if suffix == ".keras" else "FILE.py, where FILE.py defines it"
    assert message.endswith(f"if you trust that code, run it: bctk export {path} --import {name}")


def test_a_registered_class_that_was_not_imported_is_named_with_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "model.keras", Sharpen(name="crisp"))
    monkeypatch.delitem(keras.saving.get_custom_objects(), "forgotten>Sharpen")
    message = refusal(path)
    assert message.startswith(f"layer 'crisp' (Sharpen) needs 'Sharpen' of module {__name__}; if you trust that code")
    assert message.endswith(f"bctk export {path} --import {__name__}")
    assert load_model(path, LoadOptions(imports=(__name__,))).get_layer("crisp")(np.ones(1)) == 2


def test_an_activation_function_that_is_not_registered_is_named(tmp_path: Path) -> None:
    def squash(x: Any) -> Any:
        return keras.ops.tanh(x)

    message = refusal(save(tmp_path / "model.keras", layers.Dense(4, activation=squash, name="hidden")))
    assert message.startswith("layer 'hidden' (Dense) needs 'squash'")


@pytest.mark.parametrize("registered", [None, "keras_hub>Blur", "Blur"])
@pytest.mark.parametrize("name", ["Blur", "bctoolkit>Gelu", "Dense"])
def test_a_package_is_not_imported_whatever_its_class_is_called(
    tmp_path: Path, registered: str | None, name: str
) -> None:
    """Keras imports some packages by itself, for any name that a file says is in them."""
    path = save(tmp_path / "model.keras", Blur(name="soft"))

    def rename(text: str) -> str:
        config = json.loads(text)
        (layer,) = [layer for layer in config["config"]["layers"] if layer["class_name"] == "Blur"]
        layer.update(module="keras_hub.src.nowhere", class_name=name, registered_name=registered)
        return json.dumps(config)

    rewrite(path, rename)
    assert "of module keras_hub.src.nowhere; if you trust that code, run it: bctk export" in refusal(path)


@pytest.mark.parametrize(
    ("module", "advised"), [("kimm._src.layers.attention", "kimm"), ("keras_hub.src.models.vit", "keras_hub")]
)
def test_the_public_module_is_the_one_advised(tmp_path: Path, module: str, advised: str) -> None:
    path = save(tmp_path / "model.keras", Blur(name="soft"))
    rewrite(path, lambda config: config.replace(__name__, module))
    assert refusal(path).endswith(
        f"needs 'Blur' of module {module}; if you trust that code, run it: bctk export {path} --import {advised}"
    )


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


def test_a_depthwise_convolution_of_keras_2_is_keras_s_own(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    model = keras.Sequential([keras.Input((5, 5, 3)), layers.DepthwiseConv2D(3, name="taps")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["config"]["groups"] = 1
        file.attrs["model_config"] = json.dumps(config)
    again = load_model(path)
    assert type(again.get_layer("taps")) is layers.DepthwiseConv2D
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 3))
    np.testing.assert_array_equal(again(x), model(x))


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.onnx"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a model")
    assert refusal(tmp_path / name) == "not a Keras model; expected a .keras or .h5 file written by model.save()"


@SUFFIXES
def test_a_file_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"model{suffix}")
    path.write_bytes(path.read_bytes()[:-1000])
    assert refusal(path).startswith(("not a whole Keras model (", "cannot be read as a zip archive ("))


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


def test_an_old_suffix_of_h5_is_accepted(tmp_path: Path) -> None:
    path = save(tmp_path / "model.h5").rename(tmp_path / "model.hdf5")
    assert load_model(path).count_params() == 10


def test_a_folder_and_a_pipe_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.keras")
    assert refusal(tmp_path / "model.keras").startswith("is a named pipe, not a file")
    assert refusal(tmp_path).startswith("holds no saved_model.pb; expected the folder of a SavedModel")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("[" * 100_000, "not a whole Keras model ("),
        ('{"a":' * 900 + "1" + "}" * 900, "not a whole Keras model (nested deeper than 100 levels)"),
        ("[]", "not a whole Keras model (no class in its description)"),
        ("{}", "not a Keras model that can be loaded ("),
        ('{"class_name": 3, "config": {"name": 4}, "module": []}', "not a Keras model that can be loaded ("),
        ('{"class_name": "function", "config": {}}', "not a Keras model that can be loaded ("),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(tmp_path: Path, config: str, reason: str) -> None:
    path = save(tmp_path / "model.keras")
    rewrite(path, lambda _: config)
    assert refusal(path).startswith(reason)
