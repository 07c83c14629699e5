"""The colour normalization of a network: what it undoes, what it leaves, and that every export keeps it."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.documents.formats import FORMATS, engine_for
from bctoolkit.export.exporter import ExportSettings, QuantizationSettings
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.lazy import attribute
from bctoolkit.networks import build
from bctoolkit.networks.inference import predictor
from bctoolkit.networks.layers import CELL, LEAST_WHITE, white_balanced

pytestmark = pytest.mark.slow

SIDE = 32


def normalize(images: NDArray[np.float32]) -> NDArray[np.float32]:
    inputs = keras.Input((SIDE, SIDE, 3))
    answers: NDArray[np.float32] = predictor(keras.Model(inputs, white_balanced(inputs)), (SIDE, SIDE, 3))(images)
    return answers


def pictures(seed: int, count: int = 4) -> NDArray[np.float32]:
    """Blocks of one value, as large as the squares whose means count, and fine noise upon them."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (count, SIDE // CELL, SIDE // CELL, 3)).repeat(CELL, 1).repeat(CELL, 2)
    return (coarse + rng.integers(-8, 9, (count, SIDE, SIDE, 3))).astype(np.float32)


def test_the_brightest_square_of_each_channel_becomes_white() -> None:
    images = pictures(0)
    squares = normalize(images).reshape(4, SIDE // CELL, CELL, SIDE // CELL, CELL, 3).mean((2, 4))
    np.testing.assert_allclose(squares.max((1, 2)), 255, rtol=1e-5)
    assert np.allclose(np.ptp(normalize(images) / images, axis=(1, 2)), 0, atol=1e-4), "one factor for each channel"


@hypothesis_settings(max_examples=20)
@given(seed=st.integers(0, 1000), gains=st.tuples(*[st.floats(0.3, 1.2)] * 3))
def test_a_factor_of_each_channel_is_undone(seed: int, gains: tuple[float, ...]) -> None:
    images = pictures(seed)
    changed = images * np.array(gains, np.float32)
    np.testing.assert_allclose(normalize(changed), normalize(images), atol=0.02)


def test_black_pictures_stay_black() -> None:
    dark = np.random.default_rng(0).integers(0, 3, (1, SIDE, SIDE, 3)).astype(np.float32)
    assert normalize(dark).max() <= 2 * 255 / LEAST_WHITE
    assert normalize(np.zeros((1, SIDE, SIDE, 3), np.float32)).max() == 0


def test_a_network_with_it_answers_the_same_under_another_light() -> None:
    network, plain = (build("convnext_atto", 5, (SIDE, SIDE, 3), layer_scale=1.0, colours=c) for c in ("white", "none"))
    images = pictures(1, 8)
    light = images * np.array([0.9, 0.7, 0.6], np.float32)
    with_it, without = (
        np.abs(predictor(n, (SIDE, SIDE, 3))(light) - predictor(n, (SIDE, SIDE, 3))(images)).max()
        for n in (network, plain)
    )
    assert with_it < 1e-4 < without


def test_every_engine_does_the_same() -> None:
    model = build("convnext_atto", 5, (SIDE, SIDE, 3), layer_scale=1.0, colours="white")
    images = np.rint(pictures(2, 6))
    expected = predictor(model, (SIDE, SIDE, 3))(images)
    settings = ExportSettings(InputContract(height=SIDE, width=SIDE, dtype="float32"))
    for format_name in FORMATS:
        exporter = attribute(FORMATS[format_name].exporter)(fold(freeze(model)), settings)
        backend = attribute(engine_for(format_name).backend)(exporter.convert("fp32", QuantizationSettings()), "cpu", 1)
        observed = np.concatenate([backend.run(image[None]) for image in images])
        np.testing.assert_allclose(observed, expected, atol=1e-5, err_msg=format_name)
