"""ConvNeXtSmall at full size through both exporters."""

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import FORMATS, engine_for
from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
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


@pytest.fixture(scope="module", params=FORMATS)
def exporter(request: pytest.FixtureRequest, network: keras.Model) -> tuple[str, Any]:
    """A format and its exporter, which converts the network once for all tests."""
    name: str = request.param
    return name, attribute(FORMATS[name].exporter)(fold(freeze(network)), ExportSettings(InputContract()))


@pytest.mark.soak
@pytest.mark.parametrize(
    ("kind", "least", "most", "megabytes"),
    [("fp32", 0, 1e-4, {"onnx": 199, "tflite": 199}), ("int8-dynamic", 1e-9, 0.1, {"onnx": 52, "tflite": 57})],
)
def test_small_exports_close_to_float32_and_int8_at_about_a_quarter_of_the_size(
    exporter: tuple[str, Any],
    expected: NDArray[np.float32],
    kind: str,
    least: float,
    most: float,
    megabytes: dict[str, float],
) -> None:
    assert np.ptp(expected, axis=0).max() > 0.02  # the predictions differ between images
    name, small = exporter
    content: bytes = small.convert(kind, QuantizationSettings())
    observed = attribute(engine_for(name).backend)(content, "cpu", 2).run(IMAGES)
    assert least <= np.abs(observed - expected).max() <= most
    assert len(content) <= megabytes[name] * 1e6
