"""Files of Keras 2: what Keras 3 does not load comes through tf-keras, and nothing in them is run unasked."""

import importlib.util
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf

from bctoolkit.errors import MissingExtra, WeightsError
from bctoolkit.networks import LoadOptions, has_graph, load_model
from bctoolkit.networks.traced import operators

tf_keras = pytest.importorskip("tf_keras", reason="needs tf-keras: pip install 'bctoolkit[keras2]'")

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.float32)


def network(*, heads: int = 1) -> Any:
    """Functional, with operations that Keras 2 recorded by name."""
    layers = tf_keras.layers
    image = tf_keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation="relu")(image / 255.0)
    x = layers.BatchNormalization()(x)[:, 1:]
    x = layers.GlobalAveragePooling2D()(x)
    outputs = [layers.Dense(3, activation="softmax", name=f"head_{i}")(x) for i in range(heads)]
    return tf_keras.Model(image, outputs)


def save(model: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


def rewrite(path: Path, old: str, new: str) -> None:
    """Change the description inside a `.h5` file."""
    with h5py.File(path, "r+") as file:
        text = file.attrs["model_config"]
        assert old in text
        file.attrs["model_config"] = text.replace(old, new)


def forget(path: Path) -> None:
    """Let a lambda be of a module that is not at hand; Keras 2 looks for it among those that are loaded."""
    if path.suffix == ".h5":
        rewrite(path, __name__, "own_notebook")
        return
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content["config.json"] = content["config.json"].replace(__name__.encode(), b"own_notebook")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_model(path)
    text = str(caught.value)
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_what_keras_3_does_not_load_is_one_operation(tmp_path: Path, suffix: str) -> None:
    original = network()
    model = load_model(save(original, tmp_path / f"model{suffix}"))
    assert has_graph(model)
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Traced"]
    np.testing.assert_allclose(model(IMAGES), original(IMAGES), atol=1e-6)


def test_what_keras_3_loads_needs_no_keras_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = tf_keras.layers
    stack = [layers.DepthwiseConv2D(3), layers.BatchNormalization(), layers.Flatten(), layers.Dense(3)]
    original = tf_keras.Sequential([layers.Input((8, 8, 3)), *stack])
    path = save(original, tmp_path / "model.h5")
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    model = load_model(path)
    assert [type(layer).__name__ for layer in model.layers] == [
        "DepthwiseConv2D",
        *(type(x).__name__ for x in stack[1:]),
    ]
    np.testing.assert_allclose(model(IMAGES), original(IMAGES), rtol=1e-5)


def test_without_tf_keras_the_package_to_install_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(network(), tmp_path / "model.h5")
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(MissingExtra, match=r"written by Keras 2\.\d+\.\d+, .*: pip install 'bctoolkit\[keras2\]'$"):
        load_model(path)


def test_half_precision_computes_in_float32(tmp_path: Path) -> None:
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        original = network()
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    path = save(original, tmp_path / "model.h5")
    answers = np.asarray(load_model(path)(IMAGES))
    twin = network()
    twin.set_weights(original.get_weights())
    np.testing.assert_allclose(answers, twin(IMAGES), atol=1e-6)


def test_heads_keep_their_names(tmp_path: Path) -> None:
    model = load_model(save(network(heads=2), tmp_path / "model.h5"))
    assert sorted(model.output_names) == ["head_0", "head_1"]


@pytest.mark.soak
def test_a_recurrent_layer_brings_code_for_another_device_that_does_not_matter(tmp_path: Path) -> None:
    image = tf_keras.Input((8, 8, 3))
    x = tf_keras.layers.Reshape((8, 24))(image / 255.0)
    x = tf_keras.layers.Bidirectional(tf_keras.layers.LSTM(4, return_sequences=True))(x)
    x = tf_keras.layers.GRU(4)(x)
    original = tf_keras.Model(image, tf_keras.layers.Dense(3)(x))
    model = load_model(save(original, tmp_path / "model.h5"))
    np.testing.assert_allclose(model(IMAGES), original(IMAGES), atol=1e-6)
    graph = tf.function(model).get_concrete_function(tf.TensorSpec((None, 8, 8, 3))).graph.as_graph_def()
    assert not {"While", "PartitionedCall"} & set(operators(graph))  # unrolled: each image begins anew


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_runs_where_it_is_trusted(tmp_path: Path, suffix: str) -> None:
    layers = tf_keras.layers
    original = tf_keras.Sequential(
        [layers.Input((8, 8, 3)), layers.Lambda(lambda x: tf.nn.relu(x - 9) / np.float32(2)), layers.Flatten()]
    )
    path = save(original, tmp_path / f"model{suffix}")
    assert refusal(path).startswith("layer 'lambda")
    np.testing.assert_array_equal(load_model(path, LoadOptions(trust_lambda=True))(IMAGES), original(IMAGES))


def own_half(x: Any) -> Any:
    return x / 2


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_without_a_name_it_needs_says_which(tmp_path: Path, suffix: str) -> None:
    layers = tf_keras.layers
    original = tf_keras.Sequential([layers.Input((8, 8, 3)), layers.Lambda(lambda x: own_half(x)), layers.Flatten()])
    path = save(original, tmp_path / f"model{suffix}")
    forget(path)
    with pytest.raises(WeightsError, match=r"needs the name 'own_half', .*: --import MODULE"):
        load_model(path, LoadOptions(trust_lambda=True))
    trusted = load_model(path, LoadOptions(imports=(__name__,), trust_lambda=True))
    np.testing.assert_array_equal(trusted(IMAGES), original(IMAGES))


@pytest.mark.parametrize(
    "function",
    ["io.write_file", "io.gfile.remove", "compat.v1.py_func", "py_function", "load_library", "keras.utils.get_file", 7],
)
def test_a_function_that_does_more_than_compute_is_never_called(tmp_path: Path, function: Any) -> None:
    path = save(network(), tmp_path / "model.h5")
    rewrite(path, '"function": "math.truediv"', f'"function": {json.dumps(function)}')
    message = refusal(path)
    assert message.endswith(f"calls {function!r} of TensorFlow, which does more than compute")
    assert message.startswith("layer 'tf.math.truediv")


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        ("os", "system", "needs 'system' of module os; if you trust that code, run it: bctk export"),
        ("keras.utils", "get_file", "names keras.utils.get_file, which is no part of a network"),
        ("keras.src.utils.data_utils", "get_file", "names keras.src.utils.data_utils.get_file, which is no part"),
        ("tf_keras.utils", "get_file", "names tf_keras.utils.get_file, which is no part of a network"),
    ],
)
def test_a_name_that_is_no_part_of_a_network_is_never_looked_up(
    tmp_path: Path, module: str, name: str, message: str
) -> None:
    path = save(network(), tmp_path / "model.h5")
    node = {"module": module, "class_name": "function", "config": name, "registered_name": name}
    rewrite(path, '"activation": "relu"', f'"activation": {json.dumps(node)}')
    assert message in refusal(path)


def test_a_method_called_by_its_name_is_refused(tmp_path: Path) -> None:
    path = save(network(), tmp_path / "model.h5")
    rewrite(path, '"class_name": "TFOpLambda"', '"class_name": "InstanceMethod"')
    assert "calls a method by its name, which is never done" in refusal(path)


def test_a_file_that_neither_keras_loads_is_one_line(tmp_path: Path) -> None:
    path = save(network(), tmp_path / "model.h5")
    rewrite(path, '"filters": 4', '"filters": "many"')
    assert "and neither Keras 3 nor tf-keras loads it (" in refusal(path)
