"""Networks by name."""

from pathlib import Path

import keras
import numpy as np
import pytest

from bctoolkit.errors import RecipeError
from bctoolkit.networks import NETWORKS, build, load_model

pytestmark = pytest.mark.slow


def test_every_network_answers_with_float32_probabilities_under_every_policy() -> None:
    for name in ("convnext_atto", "baseline_cnn"):
        for policy in ("float32", "mixed_float16", "mixed_bfloat16"):
            model = build(name, 5, (32, 32, 3), policy=policy)
            answer = model(np.zeros((2, 32, 32, 3), np.float32), training=False)
            assert keras.backend.standardize_dtype(answer.dtype) == "float32", (name, policy)
            np.testing.assert_allclose(np.sum(answer, 1), 1, rtol=1e-5)


def test_the_policy_of_the_session_is_left_as_it_was() -> None:
    build("baseline_cnn", 2, (32, 32, 3), policy="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ("convnext_tiny", "convnext_small")])
def test_no_layer_holds_python_code(name: str) -> None:
    kinds = {type(layer).__name__ for layer in build(name, 2, (32, 32, 3), drop_path=0.1).layers}
    assert "Lambda" not in kinds
    assert name == "baseline_cnn" or {"DepthwiseConv2D", "LayerScale", "StochasticDepth"} <= kinds


@pytest.mark.parametrize("name", ["convnext_atto", "baseline_cnn"])
def test_a_saved_network_loads_in_safe_mode_and_answers_the_same(name: str, tmp_path: Path) -> None:
    model = build(name, 3, (32, 32, 3), drop_path=0.1, layer_scale=0.5)
    model.save(tmp_path / "model.keras")
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    again = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(model(images)), np.asarray(again(images)))


def test_tiny_has_as_many_weights_as_the_keras_application() -> None:
    ours = build("convnext_tiny", 8)
    stock = keras.applications.ConvNeXtTiny(weights=None, include_top=False, input_shape=(96, 96, 3), pooling="avg")
    assert ours.count_params() == stock.count_params() + 768 * 8 + 8


def test_an_unknown_network_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(RecipeError, match=r"unknown model 'resnet'.*convnext_atto"):
        build("resnet", 2)


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(RecipeError, match="at least 32×32 pixels, got 16×96"):
        build("convnext_atto", 2, (16, 96, 3))
