"""ConvNeXtSmall at full size through both exporters."""

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import FORMATS, engine_for
from bctoolkit.export.exporter import Quantizing, Settings
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.lazy import attribute
from bctoolkit.networks import build

IMAGES = np.random.default_rng(3).integers(0, 256, (6, 96, 96, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """Random weights, LayerScale around one half, so that every block counts."""
    keras.utils.set_random_seed(0)
    model = build("convnext_small", 8, policy="mixed_bfloat16", drop_path=0.1)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("_scale"):
            layer.set_weights([rng.normal(0.5, 0.1, weight.shape) for weight in layer.get_weights()])
        elif layer.name.endswith("norm"):
            layer.set_weights([weight + rng.normal(0, 0.1, weight.shape) for weight in layer.get_weights()])
    return model


@pytest.fixture(scope="module")
def expected(network: keras.Model) -> NDArray[np.float32]:
    """A plain float32 network with the same weights: it shares no code with the exporters."""
    plain = build("convnext_small", 8, drop_path=0.1)
    plain.set_weights(network.get_weights())
    return np.asarray(plain(IMAGES.astype(np.float32), training=False))


def convert(name: str, network: keras.Model, quantization: str) -> bytes:
    exporter = attribute(FORMATS[name].exporter)(fold(freeze(network)), Settings(InputContract()))
    content: bytes = exporter.convert(quantization, Quantizing())
    return content


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_small_exports_in_float32_within_a_ten_thousandth(
    name: str, network: keras.Model, expected: NDArray[np.float32]
) -> None:
    assert np.ptp(expected, axis=0).max() > 0.02  # the answers differ between images
    content = attribute(FORMATS[name].exporter)(fold(freeze(network)), Settings(InputContract())).convert(
        "fp32", Quantizing()
    )
    observed = attribute(engine_for(name).backend)(content, "cpu", 2).run(IMAGES)
    assert np.abs(observed - expected).max() <= 1e-4
    assert len(content) <= 199e6


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_small_exports_in_int8_at_about_a_quarter_of_the_size(
    name: str, network: keras.Model, expected: NDArray[np.float32]
) -> None:
    content = attribute(FORMATS[name].exporter)(fold(freeze(network)), Settings(InputContract())).convert(
        "int8-dynamic", Quantizing()
    )
    observed = attribute(engine_for(name).backend)(content, "cpu", 2).run(IMAGES)
    assert 0 < np.abs(observed - expected).max() <= 0.1
    assert len(content) <= {"onnx": 52e6, "tflite": 57e6}[name]
