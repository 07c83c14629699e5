"""Honest networks of the kinds that people bring: none may be refused, and the exact answers are those of float64."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers, ops
from numpy.typing import NDArray

from bctoolkit.documents.formats import FORMATS
from bctoolkit.export.checks.conditioning import conditioning
from bctoolkit.export.keras_graph import precision
from bctoolkit.export.keras_network import KerasNetwork
from bctoolkit.progress import Silent
from bctoolkit.statistics import metrics
from perf.draw import pictures
from perf.float32 import COUNT, alarms
from perf.kinds import drawn

pytestmark = pytest.mark.slow

REQUIRED = ("convnext_atto", "MobileNetV2 transfer", "ViT", "plain CNN", "mean over a large map")


def said_of(kind: str, seed: int, formats: list[str]) -> list[str]:
    """All that the judgement says against an honest network and its artifacts."""
    network = KerasNetwork(drawn(kind, seed))
    size = 32 if kind == "LSTM over rows" else 64
    images = pictures(COUNT, size, seed + 100)
    reference, exact = network.reference.predict(images, "", Silent()), network.float64(images)
    known = conditioning(reference, exact, lambda: network.rounded(images), np.arange(COUNT))
    assert known.method == "float64"
    return list(alarms(network, known, formats, size, seed, {}))


@pytest.mark.parametrize("kind", ["plain CNN", "mean over a large map", "resizing", "ViT"])
def test_an_honest_network_raises_no_alarm(kind: str) -> None:
    assert said_of(kind, 0, ["onnx"]) == []


@pytest.mark.soak
@pytest.mark.parametrize("kind", REQUIRED)
def test_honest_networks_of_more_seeds_raise_no_alarm(kind: str) -> None:
    """The first two of the seeds that `python -m perf.float32` goes through."""
    for seed in range(2):
        assert said_of(kind, seed, list(FORMATS)) == []
        keras.backend.clear_session()


def network(*stack: keras.layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((16, 16, 3))
    for layer in (layers.Rescaling(1 / 255), *stack, layers.Flatten(), layers.Dense(3, activation="softmax")):
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return pictures(6, 16, 0)


INSIDE: dict[str, Callable[[], tuple[keras.layers.Layer, ...]]] = {
    "recurrence": lambda: (layers.Reshape((16, 48)), layers.LSTM(8)),
    "attention": lambda: (layers.Reshape((16, 48)), SelfAttention()),
    "augmentation": lambda: (layers.RandomRotation(0.2), layers.RandomBrightness(0.5)),
    "statistics": lambda: (layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3]),),
    "resizing": lambda: (layers.Resizing(11, 13), layers.UpSampling2D(interpolation="bilinear")),
    "a convolution per channel": lambda: (layers.Conv2D(6, 3, groups=3, activation="gelu"),),
    "a model inside": lambda: (keras.Sequential([layers.Conv2D(4, 3), layers.GroupNormalization(2)]),),
}


class SelfAttention(layers.Layer):
    """A layer with a sublayer, and arguments that do not come back from its config."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = layers.MultiHeadAttention(2, 8)

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return self.attention(x, x)


@pytest.mark.parametrize("kind", INSIDE)
def test_float64_is_the_same_function_to_the_last_digits_of_float32(kind: str, images: NDArray[np.uint8]) -> None:
    model = network(*INSIDE[kind]())
    reference = np.asarray(model(images.astype(np.float32), training=False))
    policies = [layer.dtype_policy.name for layer in model.layers]
    exact = precision.float64(model, images)
    assert exact is not None
    assert exact.dtype == np.float64
    assert np.any(exact != exact.astype(np.float32))
    assert 0 < np.median(metrics.logit_errors(exact, reference)) < 1e-6
    assert [layer.dtype_policy.name for layer in model.layers] == policies
    assert np.array_equal(np.asarray(model(images.astype(np.float32), training=False)), reference)


class InFloat32(layers.Layer):
    """Computes in float32 whatever it is fed, and hides it."""

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return ops.cast(ops.exp(ops.cast(x, "float32")), x.dtype)


def test_a_layer_that_computes_in_float32_all_the_same_is_computed_in_float64_by_its_graph(
    images: NDArray[np.uint8],
) -> None:
    exact = precision.float64(network(InFloat32()), images)
    honest = precision.float64(network(layers.Activation("exponential")), images)
    assert exact is not None
    assert honest is not None
    np.testing.assert_allclose(exact, honest, atol=1e-13)


def test_a_kernel_that_knows_float32_alone_is_noticed(images: NDArray[np.uint8]) -> None:
    assert precision.float64(network(layers.Resizing(9, 9, interpolation="bicubic")), images) is None


def test_other_rounding_differs_by_some_units_in_the_last_place(images: NDArray[np.uint8]) -> None:
    model = network(layers.Conv2D(8, 3, activation="relu"))
    reference = np.asarray(model(images.astype(np.float32), training=False))
    rounded = precision.rounded(model, images)
    assert 1e-8 < np.median(metrics.logit_errors(reference, rounded)) < 1e-6
    assert np.array_equal(rounded, precision.rounded(model, images))
