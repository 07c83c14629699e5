"""The float32 twin and the folding of per-channel factors."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers
from numpy.typing import NDArray

from bctoolkit.errors import UnsupportedOp
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.networks import LayerScale, build
from bctoolkit.networks.inference import in_float32

pytestmark = pytest.mark.slow

Graph = Callable[..., keras.Model]


def difference(a: keras.Model, b: keras.Model, images: NDArray[np.uint8]) -> float:
    """Largest difference of two models' outputs, relative to the largest output where that exceeds one.

    Convolutions of pixels with drawn weights reach hundreds, where a float32 has steps of 6e-5: the order of adding,
    which depends on the CPU, is worth a few of them.
    """
    x = images.astype(np.float32)
    one, other = (np.asarray(model(x, training=False)) for model in (a, b))
    return float(np.abs(one - other).max() / max(1.0, np.abs(one).max()))


def kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers if not isinstance(layer, layers.InputLayer)]


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_the_twin_computes_in_float32_whatever_precision_trained_it(policy: str, images: NDArray[np.uint8]) -> None:
    model = build("convnext_atto", 4, (32, 32, 3), dropout=0.5, drop_path=0.2, layer_scale=0.5, policy=policy)
    twin = freeze(model)
    assert {layer.compute_dtype for layer in twin.layers} == {"float32"}
    assert not {"Dropout", "StochasticDepth"} & set(kinds(twin))
    assert difference(in_float32(model), twin, images) <= 1e-6


def test_stock_convnext_becomes_flat_with_depthwise_layers(
    stock_convnext: keras.Model, images: NDArray[np.uint8]
) -> None:
    twin = freeze(stock_convnext)
    assert kinds(twin).count("DepthwiseConv2D") == 5
    assert not any(isinstance(layer, keras.Model) for layer in twin.layers)
    assert not any(getattr(layer, "groups", 1) > 1 for layer in twin.layers)
    assert difference(stock_convnext, twin, images) <= 1e-5
    assert difference(stock_convnext, fold(twin), images) <= 1e-5


def test_freezing_leaves_the_trained_model_as_it_was(images: NDArray[np.uint8]) -> None:
    model = build("convnext_atto", 4, (32, 32, 3), layer_scale=0.5)
    before = [weight.copy() for weight in model.get_weights()]
    fold(freeze(model))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_folded_convnext_has_no_factor_left_to_multiply(images: NDArray[np.uint8]) -> None:
    keras.utils.set_random_seed(0)
    twin = freeze(build("convnext_atto", 4, (32, 32, 3), layer_scale=0.5))
    folded = fold(twin)
    assert not {"LayerScale", "Rescaling"} & set(kinds(folded))
    norms = [layer for layer in folded.layers if isinstance(layer, layers.LayerNormalization)]
    assert [norm.name for norm in norms if norm.scale] == ["stem_norm"]  # it feeds a block and its residual
    assert difference(twin, folded, images) <= 1e-6


@pytest.mark.parametrize(
    ("stack", "left"),
    [
        ((layers.Rescaling([0.5, 1.0, 2.0], [1.0, -1.0, 3.0]), layers.Conv2D(4, 4, strides=4)), ["Conv2D"]),
        (
            (layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 9.0, 16.0]), layers.Conv2D(4, 3)),
            ["Conv2D"],
        ),
        ((layers.LayerNormalization(), layers.Dense(4)), ["LayerNormalization", "Dense"]),
        ((layers.LayerNormalization(), layers.Conv2D(4, 2, strides=2)), ["LayerNormalization", "Conv2D"]),
        ((layers.Dense(4), LayerScale(0.5)), ["Dense"]),
        ((layers.Dense(4, use_bias=False), LayerScale(0.5)), ["Dense"]),
        ((layers.Conv2D(4, 3, padding="same"), LayerScale(0.5)), ["Conv2D"]),
        ((layers.Conv2D(4, 3, use_bias=False, padding="same"), layers.BatchNormalization()), ["Conv2D"]),
        ((layers.DepthwiseConv2D(3, depth_multiplier=2), layers.BatchNormalization()), ["DepthwiseConv2D"]),
        (
            (layers.Conv2D(6, 1), layers.Conv2D(6, 3, groups=3, use_bias=False), layers.BatchNormalization()),
            ["Conv2D", "Conv2D"],
        ),
        ((layers.SeparableConv2D(4, 3), layers.BatchNormalization(scale=False)), ["DepthwiseConv2D", "Conv2D"]),
        ((layers.BatchNormalization(center=False), layers.Conv2D(4, 3, use_bias=False)), ["Conv2D"]),
        ((layers.BatchNormalization(), layers.Dense(4)), ["Dense"]),
        (
            (
                layers.Conv2D(4, 3, padding="same"),
                layers.BatchNormalization(),
                layers.Rescaling(2.0, 1.0),
                LayerScale(3),
            ),
            ["Conv2D"],
        ),
        (
            (layers.Rescaling(0.1), layers.Normalization(mean=3.0, variance=4.0), layers.Conv2D(4, 3)),
            ["Conv2D"],
        ),
        (
            (layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Conv2D(4, 3)),
            ["Conv2D", "Conv2D"],
        ),
        ((layers.LayerNormalization(), layers.Dense(4), LayerScale(0.5)), ["LayerNormalization", "Dense"]),
    ],
)
def test_factors_move_into_the_neighbouring_kernel(
    stack: tuple[keras.Layer, ...], left: list[str], graph: Graph, images: NDArray[np.uint8]
) -> None:
    twin = freeze(graph(*stack))
    folded = fold(twin)
    assert kinds(folded) == left
    assert difference(twin, folded, images) <= 5e-5


@pytest.mark.parametrize(
    "stack",
    [
        (layers.Rescaling(2.0, 1.0), layers.Conv2D(4, 3, padding="same")),  # the offset is missing from the padding
        (layers.Rescaling(2.0, 1.0), layers.DepthwiseConv2D(3)),
        (layers.Dense(4, activation="relu"), LayerScale(0.5)),  # the factor comes after the activation
        (layers.LayerNormalization(axis=1), layers.Dense(4)),
        (layers.BatchNormalization(), layers.Conv2D(4, 3, padding="same")),
        (layers.BatchNormalization(), layers.ZeroPadding2D(1), layers.Conv2D(4, 3)),
        (layers.BatchNormalization(axis=1), layers.Dense(4)),
        (layers.BatchNormalization(), layers.Conv2D(6, 3, groups=3)),
        (layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization()),
        (layers.Conv2D(4, 3), layers.ReLU(), layers.BatchNormalization()),
    ],
)
def test_factors_stay_where_moving_them_would_not_be_exact(
    stack: tuple[keras.Layer, ...], graph: Graph, images: NDArray[np.uint8]
) -> None:
    twin = freeze(graph(*stack))
    assert kinds(fold(twin)) == kinds(twin)


def test_a_factor_with_two_readers_stays(images: NDArray[np.uint8]) -> None:
    inputs = keras.Input((32, 32, 3))
    norm = layers.LayerNormalization(gamma_initializer="ones", beta_initializer="ones")(inputs)
    outputs = layers.Add()([layers.Dense(3)(norm), norm])
    twin = freeze(keras.Model(inputs, outputs))
    folded = fold(twin)
    assert difference(twin, folded, images) <= 1e-5
    assert next(layer for layer in folded.layers if isinstance(layer, layers.LayerNormalization)).scale


def test_a_layer_used_twice_is_shared_in_the_twin_too(images: NDArray[np.uint8]) -> None:
    inputs = keras.Input((32, 32, 3))
    dense = layers.Dense(3, bias_initializer="ones")
    twin = freeze(keras.Model(inputs, dense(dense(inputs))))
    assert kinds(twin).count("Dense") == 1


@pytest.mark.parametrize("multiplier", [1, 3])
def test_a_convolution_with_a_group_for_each_channel_becomes_depthwise(
    multiplier: int, graph: Graph, images: NDArray[np.uint8]
) -> None:
    model = graph(layers.Conv2D(4, 1), layers.Conv2D(4 * multiplier, 3, groups=4, strides=2, activation="relu"))
    twin = freeze(model)
    assert kinds(twin) == ["Conv2D", "DepthwiseConv2D"]
    assert difference(model, twin, images) <= 1e-6


def test_augmentation_vanishes_and_what_cuts_at_inference_stays(graph: Graph, images: NDArray[np.uint8]) -> None:
    model = graph(
        layers.RandomFlip(),
        layers.RandomRotation(0.1),
        layers.RandAugment((0, 255)),
        layers.GaussianNoise(1.0),
        layers.SpatialDropout2D(0.5),
        layers.RandomCrop(16, 16),
        layers.CenterCrop(8, 8),
    )
    twin = freeze(model)
    assert kinds(twin) == ["RandomCrop", "CenterCrop"]
    assert difference(model, twin, images) == 0


def test_a_normalization_keeps_what_it_was_adapted_to(images: NDArray[np.uint8]) -> None:
    norm = layers.Normalization()
    norm.adapt(images.astype(np.float32))
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, layers.Dense(3, dtype="mixed_bfloat16")(norm(inputs)))
    for twin in (in_float32(model), freeze(model), fold(freeze(model))):
        assert np.abs(np.asarray(twin(images.astype(np.float32)))).max() < 20


def test_a_sequential_model_inside_another_and_a_shared_activation(images: NDArray[np.uint8]) -> None:
    relu = layers.ReLU()
    stem = keras.Sequential([layers.Conv2D(4, 3), relu, layers.MaxPooling2D(), relu])
    model = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1 / 255), stem, layers.Flatten()])
    twin = fold(freeze(model))
    assert kinds(twin) == ["Conv2D", "ReLU", "MaxPooling2D", "Flatten"]
    assert difference(model, twin, images) <= 1e-5


def test_the_scaled_sum_of_an_inception_resnet_is_folded(images: NDArray[np.uint8]) -> None:
    from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, CustomScaleLayer(0.17)([x, layers.Conv2D(4, 1)(x)]))
    twin = fold(freeze(model))
    assert kinds(twin) == ["Conv2D", "Conv2D", "Add"]
    assert difference(model, twin, images) <= 1e-5


def test_an_operation_that_wants_channels_first_is_named() -> None:
    inputs = keras.Input((3, 32, 32))
    pooled = keras.ops.max_pool(inputs, 2, data_format="channels_first")
    with pytest.raises(UnsupportedOp, match=r"MaxPool 'max_pool.*' wants channels first; give it data_format"):
        freeze(keras.Model(inputs, pooled))


def test_a_subclassed_model_is_refused_by_name() -> None:
    class Odd(keras.Model):
        def call(self, x: object) -> object:
            return x

    model = Odd(name="odd_one")
    model(np.zeros((1, 32, 32, 3)))
    with pytest.raises(UnsupportedOp, match="odd_one: a subclassed model has no graph"):
        freeze(model)
