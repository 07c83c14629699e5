"""Networks at inference: in float32, in batches."""

import keras
import numpy as np
import pytest
from keras import layers

from bctoolkit.networks import build, leaves
from bctoolkit.networks.inference import in_float32, predict, predictor
from tests.support.progress import Recorder

pytestmark = pytest.mark.slow


def images(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)


def exact(model: keras.Model) -> np.ndarray:
    return np.asarray(model(images().astype(np.float32), training=False))


def dtypes(model: keras.Model) -> set[str]:
    return {layer.compute_dtype for layer in leaves(model)}


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", ["baseline_cnn", "convnext_atto"])
def test_a_network_trained_in_mixed_precision_computes_in_float32(name: str, policy: str) -> None:
    model = build(name, 3, (32, 32, 3), drop_path=0.2, layer_scale=0.5, policy=policy)
    same = build(name, 3, (32, 32, 3), drop_path=0.2, layer_scale=0.5)
    same.set_weights(model.get_weights())
    copy = in_float32(model)
    assert dtypes(copy) == {"float32"}
    np.testing.assert_array_equal(exact(copy), exact(same))
    assert (exact(copy) != exact(model)).any()


def test_a_network_in_float32_is_used_as_it_is() -> None:
    model = build("baseline_cnn", 3, (32, 32, 3))
    assert in_float32(model) is model


def test_networks_inside_others_shared_layers_and_sums_are_copied_too() -> None:
    inner = build("convnext_atto", 4, (32, 32, 3), layer_scale=0.5, policy="mixed_bfloat16")
    shared = layers.Dense(4, dtype="mixed_bfloat16")
    tail = keras.Sequential([layers.Dense(4, dtype="mixed_bfloat16"), shared])
    inputs = keras.Input((32, 32, 3))
    x = inner(inputs)
    model = keras.Model(inputs, layers.Softmax()(shared(tail(x) + x)))
    copy = in_float32(model)
    assert dtypes(copy) == {"float32"}
    assert len(copy.get_weights()) == len(model.get_weights())
    assert np.abs(exact(copy) - exact(model)).max() < 0.05


def test_a_normalization_keeps_what_it_was_adapted_to() -> None:
    norm = layers.Normalization()
    norm.adapt(images().astype(np.float32))
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D(dtype="mixed_bfloat16")(norm(inputs)))
    assert np.abs(exact(in_float32(model))).max() < 1


def test_images_are_predicted_in_batches_of_any_dtype_the_last_one_smaller() -> None:
    model = build("baseline_cnn", 3, (32, 32, 3))
    recorder = Recorder()
    predicted = predict(model, images(), "testing", recorder, batch_size=2)
    assert recorder.steps == [("testing", done, 5, "") for done in (0, 2, 4, 5)]
    assert predicted.dtype == np.float32
    np.testing.assert_allclose(predicted, exact(model), atol=1e-6)
    call = predictor(model, (32, 32, 3))
    np.testing.assert_array_equal(call(images()), call(images().astype(np.float64)))


def test_the_slope_of_a_leaky_relu_after_a_sum_is_its_own() -> None:
    """TensorFlow's fused operator would use another one."""
    inputs = keras.Input((8, 8, 4))
    x = keras.layers.Add()([keras.layers.Conv2D(4, 1, bias_initializer="ones")(inputs), inputs])
    model = keras.Model(inputs, keras.layers.LeakyReLU(0.01)(x))
    images = np.random.default_rng(0).normal(0, 9, (2, 8, 8, 4)).astype(np.float32)
    expected = np.asarray(model(images, training=False))
    np.testing.assert_allclose(predictor(model, (8, 8, 4))(images), expected, atol=1e-4)
