"""Faults that rounding nearly hides: one weight of a million, a norm's epsilon; each caught, and blamed on its step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from numpy.typing import NDArray
from onnx import numpy_helper

from bctoolkit.errors import ParityFailed
from bctoolkit.export import export, keras_network
from bctoolkit.export.checks.constants import altered_constant, altered_weight
from bctoolkit.export.exporter import QuantizationSettings
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.export.onnx.exporter import OnnxExporter
from bctoolkit.export.tflite.exporter import TfliteExporter
from bctoolkit.progress import Silent
from bctoolkit.recipes import ExportRecipe
from tests.support.faults import fine_norms, with_layers
from tests.support.networks import small_convnext

WIDTH = 1024


def off_by_a_hundredth(kernel: NDArray[Any]) -> NDArray[Any]:
    """One weight of medium size is 1 % larger."""
    changed = kernel.copy()
    changed.flat[np.argsort(np.abs(kernel), axis=None)[kernel.size // 2]] *= 1.01
    return changed


def in_the_wide_layer(model: keras.Model) -> keras.Model:
    """The same model, with that fault in its kernel of a million weights."""
    kernel, *bias = model.get_layer("wide").get_weights()
    model.get_layer("wide").set_weights([off_by_a_hundredth(kernel), *bias])
    return model


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with one layer of 1,048,576 weights, which takes over the factors of the normalization after it."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(16, 4, strides=4, activation="relu")(layers.Rescaling(1 / 255)(inputs))
    x = layers.Dense(WIDTH, name="wide")(layers.Flatten()(x))
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(x))
    rng = np.random.default_rng(0)
    model.get_layer("norm").set_weights([rng.uniform(0.5, 1.5, WIDTH) for _ in range(4)])
    path = tmp_path_factory.mktemp("wide") / "wide.keras"
    model.save(path)
    return path


def refused(path: Path, target: Path, format_name: str = "onnx") -> str:
    with pytest.raises(ParityFailed) as caught:
        export(path, ExportRecipe(formats=(format_name,), golden=16), target, Silent(), golden="synthetic")
    assert not target.exists()
    return str(caught.value)


ALTERED = "1 of 1,048,576 weights of layer 'wide' are not what they were; no bundle was written"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "step", "step_name"),
    [("freeze", freeze, "float32 Keras → frozen twin"), ("fold", fold, "frozen twin → folded twin")],
)
def test_one_weight_of_a_million_is_blamed_on_the_step_that_changed_it(
    wide: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    step: Callable[[keras.Model], keras.Model],
    step_name: str,
) -> None:
    monkeypatch.setattr(keras_network, name, lambda model: in_the_wide_layer(step(model)))
    assert refused(wide, tmp_path / "out").startswith(f"{step_name}: ")


@pytest.mark.slow
def test_one_weight_of_a_million_is_blamed_on_the_onnx_exporter(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = OnnxExporter.convert

    def wrong(self: OnnxExporter, quantization: str, settings: QuantizationSettings) -> bytes:
        model = onnx.load_from_string(right(self, quantization, settings))
        (kernel,) = [tensor for tensor in model.graph.initializer if np.prod(tensor.dims) == WIDTH * WIDTH]
        kernel.CopyFrom(numpy_helper.from_array(off_by_a_hundredth(numpy_helper.to_array(kernel)), kernel.name))
        return model.SerializeToString()

    monkeypatch.setattr(OnnxExporter, "convert", wrong)
    assert refused(wide, tmp_path / "out").startswith("folded twin → onnx fp32: ")


@pytest.mark.slow
def test_one_weight_of_a_million_is_blamed_on_the_tflite_exporter(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = TfliteExporter.convert
    twin = fold(freeze(keras.models.load_model(wide)))
    kernel = np.ascontiguousarray(twin.get_layer("wide").get_weights()[0].T)

    def wrong(self: TfliteExporter, quantization: str, settings: QuantizationSettings) -> bytes:
        content = right(self, quantization, settings)
        assert content.count(kernel.tobytes()) == 1
        return content.replace(kernel.tobytes(), off_by_a_hundredth(kernel).tobytes())

    monkeypatch.setattr(TfliteExporter, "convert", wrong)
    assert refused(wide, tmp_path / "out", "tflite").startswith("folded twin → tflite fp32: ")


@pytest.mark.slow
def test_another_epsilon_of_the_norms_is_blamed_on_the_step_where_it_matters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It matters where the values that are normalized vary by a hundredth: a thousand roundings, not five digits."""
    model = small_convnext(0)
    model.get_layer("stem_conv").set_weights([w / 30 for w in model.get_layer("stem_conv").get_weights()])
    model.save(tmp_path / "small.keras")
    monkeypatch.setattr(keras_network, "freeze", lambda model: with_layers(fine_norms)(freeze(model)))
    message = refused(tmp_path / "small.keras", tmp_path / "out")
    assert message.startswith("float32 Keras → frozen twin: logit error ")


@pytest.fixture(params=range(5))
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(request.param)


KERNELS = {"dense": (96, 40), "pointwise": (1, 1, 64, 48), "convolution": (3, 3, 24, 32)}


@pytest.mark.parametrize("shape", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("zeros", [0.0, 0.3], ids=["dense", "pruned"])
def test_factors_per_channel_are_no_fault_but_a_single_weight_is(
    shape: tuple[int, ...], zeros: float, rng: np.random.Generator
) -> None:
    kernel = rng.normal(0, 1, shape).astype(np.float32)
    kernel[rng.random(shape) < zeros] = 0
    before, after = (rng.uniform(0.1, 3, size) * rng.choice([-1, 1], size) for size in shape[-2:])
    scaled = (kernel * before[:, None] * after).astype(np.float32)
    assert altered_weight([("x", kernel)], [("x", scaled)]) is None
    assert altered_weight([("x", kernel)], [("x", kernel.copy())]) is None
    for form in (scaled, kernel):
        broken = form.copy()
        broken.flat[np.flatnonzero(broken)[broken.size // 3]] *= 1.0001
        words = altered_weight([("x", kernel)], [("x", broken)])
        assert words == f"1 of {kernel.size:,} weights of layer 'x' are not what they were"


def test_factors_of_depthwise_kernels_are_no_fault_but_a_single_weight_is(rng: np.random.Generator) -> None:
    kernel = rng.normal(0, 1, (3, 3, 24, 2)).astype(np.float32)
    scaled = (kernel * rng.uniform(0.1, 3, (24, 2))).astype(np.float32)
    assert altered_weight([("x", kernel)], [("x", scaled)]) is None
    scaled[1, 1, 5, 1] *= 1.01
    assert altered_weight([("x", kernel)], [("x", scaled)]) == "1 of 432 weights of layer 'x' are not what they were"


def test_what_is_another_kernel_altogether_is_left_to_the_answers(rng: np.random.Generator) -> None:
    kernel, other = rng.normal(0, 1, (2, 40, 50)).astype(np.float32)
    assert altered_weight([("x", kernel)], [("x", other)]) is None
    assert altered_weight([("x", kernel)], [("y", kernel + 1)]) is None
    assert altered_constant([("x", kernel)], [other, kernel[:20]]) is None


def test_constants_are_known_again_in_any_layout(rng: np.random.Generator) -> None:
    kernel = rng.normal(0, 1, (40, 50)).astype(np.float32)
    assert altered_constant([("x", kernel)], [np.ascontiguousarray(kernel.T), kernel * 2]) is None
    kernel[7, 7] = kernel[3, 3]  # of a million numbers some are equal
    broken = kernel.T.copy()
    broken[3, 3] *= 1.01
    words = "1 of 2,000 weights of layer 'x' are not what they were"
    assert altered_constant([("x", kernel)], [broken, kernel * 2]) == words


def test_few_different_numbers_are_nothing_to_know_an_array_by(rng: np.random.Generator) -> None:
    """Weights that were clustered or pruned: another layer's look nearly alike."""
    book = rng.normal(0, 1, 16).astype(np.float32)
    kernel, other = rng.choice(book, (2, 100, 100))
    assert altered_constant([("x", kernel)], [other]) is None
    zeros, nearly = np.zeros((2, 500), np.float32)
    nearly[0] = 1
    assert altered_constant([("x", zeros)], [nearly]) is None
