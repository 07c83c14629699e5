"""Networks without a graph of Keras layers go the whole way: SavedModels, Keras 2's, subclassed ones, lambdas."""

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from keras import layers
from onnx import numpy_helper

from bctoolkit import bundle as bundles
from bctoolkit.errors import ParityFailed
from bctoolkit.export import export
from bctoolkit.export.keras_graph.precision import float64
from bctoolkit.export.onnx.emitters import tf2onnx_fallback
from bctoolkit.networks import load_model
from bctoolkit.progress import Silent
from bctoolkit.recipes import ExportRecipe
from bctoolkit.runtime import load
from bctoolkit.trust import LoadOptions
from tests.support.progress import Recorder

SIZE, CLASSES = 16, 4
BOTH = ExportRecipe(formats=("onnx", "tflite"), quantizations=("fp32",))
TF_KERAS = pytest.mark.skipif(importlib.util.find_spec("tf_keras") is None, reason="needs tf-keras")

MODULE = """
import keras


class Called(keras.Model):
    def __init__(self, classes=4, **options):
        super().__init__(**options)
        self.classes = classes
        self.convolution = keras.layers.Conv2D(12, 3, strides=2, activation="relu")
        self.normalization = keras.layers.BatchNormalization()
        self.dropout = keras.layers.Dropout(0.5)
        self.head = keras.layers.Dense(classes, activation="softmax")

    def call(self, x, training=None):
        x = self.normalization(self.convolution(x / 255.0), training=training)
        return self.head(self.dropout(keras.ops.mean(x, axis=(1, 2)), training=training))

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}
"""

Answers = Callable[[Any], Any]


def shake(model: Any) -> Any:
    """Statistics and weights as training would leave them: none is the layer's first one."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        value = np.asarray(variable)
        if value.dtype.kind == "f":
            spread = rng.uniform(0.6, 1.5, value.shape) if value.ndim == 1 else 1.5
            variable.assign(value * spread + rng.normal(0, 0.1, value.shape) ** 2)
    return model


def stack(library: Any) -> list[Any]:
    return [
        library.Rescaling(1 / 255),
        library.Conv2D(12, 3, strides=2, activation="relu"),
        library.BatchNormalization(),
        library.GlobalAveragePooling2D(),
        library.Dense(CLASSES, activation="softmax"),
    ]


def saved_model(folder: Path) -> tuple[Path, LoadOptions, Answers]:
    model = shake(keras.Sequential([keras.Input((SIZE, SIZE, 3)), *stack(layers)]))
    model.export(folder / "net", verbose=False)
    return folder / "net", LoadOptions(), model


def keras_2(folder: Path) -> tuple[Path, LoadOptions, Answers]:
    tf_keras: Any = pytest.importorskip("tf_keras")
    image = tf_keras.Input((SIZE, SIZE, 3))
    x = image
    for layer in stack(tf_keras.layers):
        x = tf.nn.relu6(layer(x)) if isinstance(layer, tf_keras.layers.Conv2D) else layer(x)
    model = shake(tf_keras.Model(image, x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(folder / "net.h5")
    return folder / "net.h5", LoadOptions(), model


def subclassed(folder: Path) -> tuple[Path, LoadOptions, Answers]:
    module = folder / "own_called.py"
    module.write_text(MODULE)
    namespace: dict[str, Any] = {"__name__": "own_called"}
    exec(MODULE, namespace)
    model = namespace["Called"](CLASSES)
    model(np.zeros((1, SIZE, SIZE, 3), np.float32))
    shake(model).save(folder / "net.keras")
    return folder / "net.keras", LoadOptions(imports=(str(module),)), model


def with_lambda(folder: Path) -> tuple[Path, LoadOptions, Answers]:
    squeeze = layers.Lambda(lambda x: tf.square(x) / (1 + tf.abs(x)), output_shape=(12,), name="squeeze")
    *body, head = stack(layers)
    model = shake(keras.Sequential([keras.Input((SIZE, SIZE, 3)), *body, squeeze, head]))
    model.save(folder / "net.keras")
    return folder / "net.keras", LoadOptions(trust_lambda=True), model


KINDS = [saved_model, pytest.param(keras_2, marks=TF_KERAS), subclassed, with_lambda]


@pytest.mark.slow
@pytest.mark.parametrize("make", KINDS)
def test_what_has_no_graph_is_exported_and_answers_as_it_did(tmp_path: Path, make: Any) -> None:
    path, options, answers = make(tmp_path)
    progress = Recorder()
    sealed = export(path, BOTH, tmp_path / "out", progress, golden="synthetic", options=options)
    assert [bundle.manifest.name for bundle in sealed] == ["net-onnx-fp32", "net-tflite-fp32"]
    assert progress.lines[: len(list(options.notices()))] == list(options.notices())
    golden = bundles.read(sealed[0].path).golden()
    expected = np.asarray(answers(golden.images.astype(np.float32)))
    assert len(set(expected.argmax(1))) > 1 or expected.std(0).max() > 1e-3  # it does tell images apart
    np.testing.assert_allclose(golden.probabilities, expected, atol=1e-6)
    for bundle in sealed:
        np.testing.assert_allclose(load(bundle.path).predict(golden.images).probabilities, expected, atol=1e-5)


@pytest.mark.slow
def test_integers_of_what_has_no_graph_are_made_or_refused_by_the_same_checks(tmp_path: Path) -> None:
    path, options, _ = saved_model(tmp_path)
    recipe = ExportRecipe(formats=("onnx",), quantizations=("int8-dynamic",))
    (sealed,) = export(path, recipe, tmp_path / "out", Silent(), golden="synthetic", options=options)
    assert 0 < sealed.manifest.parity.max_abs_diff < 0.05


@pytest.mark.slow
def test_a_weight_that_changes_on_the_way_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, options, _ = saved_model(tmp_path)
    convert = tf2onnx_fallback._convert

    def tampered(*arguments: Any) -> onnx.ModelProto:
        model = convert(*arguments)
        kernel = max(model.graph.initializer, key=lambda tensor: np.prod(tensor.dims))  # of the convolution
        kernel.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kernel) * np.float32(1.001), kernel.name))
        return model

    monkeypatch.setattr(tf2onnx_fallback, "_convert", tampered)
    with pytest.raises(ParityFailed, match="folded twin → onnx fp32"):
        export(path, ExportRecipe(), tmp_path / "out", Silent(), golden="synthetic", options=options)
    assert not (tmp_path / "out" / "net-onnx-fp32").exists()


@pytest.mark.slow
def test_a_changed_module_is_a_changed_input(tmp_path: Path) -> None:
    path, options, _ = subclassed(tmp_path)
    (first,) = export(path, ExportRecipe(), tmp_path / "out", Silent(), golden="synthetic", options=options)
    again = Recorder()
    export(path, ExportRecipe(), tmp_path / "out", again, golden="synthetic", options=options)
    assert any("reused" in line for line in again.lines)
    (tmp_path / "own_called.py").write_text(MODULE + "\n# another edition\n")
    changed = Recorder()
    (second,) = export(path, ExportRecipe(), tmp_path / "out", changed, golden="synthetic", options=options)
    assert not any("reused" in line for line in changed.lines)
    assert first.manifest.inputs_sha256 != second.manifest.inputs_sha256


def test_a_traced_network_is_the_same_in_float64(tmp_path: Path) -> None:
    """Against Keras's own layers computing in float64."""
    path, _, original = saved_model(tmp_path)
    images = np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.uint8)
    expected, observed = float64(original, images), float64(load_model(path), images)
    assert expected is not None
    assert observed is not None
    assert observed.dtype == np.float64
    np.testing.assert_allclose(observed, expected, atol=1e-12)


class Stubborn(layers.Layer):
    """Casts to float32 whatever it is fed, as a user's own code may."""

    def call(self, x: Any) -> Any:
        return tf.square(tf.cast(x, tf.float32)) / 3


def test_a_layer_that_insists_on_float32_is_computed_in_float64_by_the_graph() -> None:
    image = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(image, keras.ops.mean(Stubborn()(image), (1, 2)))
    images = np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.uint8)
    observed = float64(model, images)
    assert observed is not None
    np.testing.assert_allclose(observed, (images.astype(np.float64) ** 2 / 3).mean((1, 2)), rtol=1e-14)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tf.reduce_mean(tf.image.resize(x, (5, 5)), [1, 2]),  # the kernel gives float32
        lambda x: tf.cond(tf.reduce_mean(x) > 9, lambda: tf.reduce_mean(x, [1, 2]), lambda: tf.reduce_max(x, [1, 2])),
        lambda x: tf.reduce_mean(tf.compat.v1.nn.fused_batch_norm(x, tf.ones(3), tf.zeros(3))[0], [1, 2]),
    ],
)
def test_what_float64_cannot_tell_is_not_told(tmp_path: Path, function: Answers) -> None:
    module = tf.Module()
    module.image = tf.function(function, input_signature=[tf.TensorSpec((None, SIZE, SIZE, 3))])
    tf.saved_model.save(module, str(tmp_path / "net"), signatures=module.image)
    assert float64(load_model(tmp_path / "net"), np.zeros((2, SIZE, SIZE, 3), np.uint8)) is None
