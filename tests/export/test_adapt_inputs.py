"""What is done to an image before a network sees it."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from keras.applications import imagenet_utils
from numpy.typing import NDArray

from bctoolkit.documents.preprocessing import PRESETS, InputSettings
from bctoolkit.errors import ExportError
from bctoolkit.export.keras_graph.classifier import adapt_network
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.networks import leaves

RNG = np.random.default_rng(0)


def network(shape: tuple[int | None, ...] = (8, 8, 3), padding: str = "valid") -> keras.Model:
    """One convolution, whatever the size, and a head that shows every pixel."""
    stack = [layers.Conv2D(6, 3, padding=padding, activation="relu"), layers.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input(shape), *stack, layers.Dense(4, activation="softmax")])
    for weight in model.weights:
        weight.assign(RNG.normal(0, 0.05, weight.shape))
    return model


def images(*shape: int) -> NDArray[np.float32]:
    return RNG.integers(0, 256, (5, *shape)).astype(np.float32)


@pytest.mark.parametrize(("preset", "mode"), [("-1-1", "tf"), ("imagenet", "torch"), ("caffe", "caffe")])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_preset_does_what_keras_does_before_the_network_and_its_twin_too(
    preset: Any, mode: str, padding: str
) -> None:
    model, x = network(padding=padding), images(8, 8, 3)
    result = adapt_network(model, InputSettings(scale=preset), "net")
    expected = np.asarray(model(imagenet_utils.preprocess_input(x.copy(), mode=mode)))
    assert np.abs(np.asarray(result.model(x)) - expected).max() < 2e-6
    assert np.abs(np.asarray(result.core(result.entry.array(x))) - expected).max() < 2e-6
    assert np.abs(np.asarray(fold(freeze(result.model))(x)) - expected).max() < 2e-6
    assert result.adaptation is not None
    assert (result.adaptation.scale, result.adaptation.channels) == (preset, "bgr" if preset == "caffe" else "rgb")


@pytest.mark.parametrize(
    ("preset", "padding", "left"),
    [("imagenet", "valid", 0), ("caffe", "valid", 0), ("0-1", "same", 0), ("caffe", "same", 1), ("-1-1", "same", 1)],
)
def test_what_is_exact_is_moved_into_the_first_convolution(preset: Any, padding: str, left: int) -> None:
    """A constant before zero padding is the one thing that is not; reversed channels are always."""
    twin = fold(freeze(adapt_network(network(padding=padding), InputSettings(scale=preset), "net").model))
    assert len([layer for layer in leaves(twin) if isinstance(layer, layers.Rescaling)]) == left
    assert not [operation for operation in twin.operations if type(operation).__name__ == "GetItem"]


@pytest.mark.parametrize(
    "turn",
    [
        lambda x: x[..., ::-1],
        lambda x: x[:, :, :, ::-1],
        lambda x: keras.ops.flip(x, axis=-1),
        lambda x: x[:, ::-1],
        lambda x: keras.ops.flip(x, axis=1),
        lambda x: x[..., ::-1, :],
        lambda x: keras.ops.flip(x),
    ],
)
@pytest.mark.parametrize("use_bias", [True, False])
def test_only_reversed_channels_are_taken_for_such(turn: Any, use_bias: bool) -> None:
    image, x = keras.Input((8, 8, 3)), images(8, 8, 3)
    body = layers.Flatten()(layers.Conv2D(4, 3, padding="same", use_bias=use_bias)(turn(image)))
    model = keras.Model(image, layers.Dense(3, activation="softmax")(body))
    for weight in model.weights:
        weight.assign(RNG.normal(0, 0.02, weight.shape))
    assert np.abs(np.asarray(fold(freeze(model))(x)) - np.asarray(model(x))).max() < 2e-6


def test_numbers_of_each_channel_count_in_the_network_s_own_order() -> None:
    model, x = network(), images(8, 8, 3)
    factor, offset = (0.01, 0.02, 0.03), (-1.0, 0.5, 2.0)
    for channels, order in (("rgb", slice(None)), ("bgr", slice(None, None, -1))):
        settings = InputSettings(scale=(factor, offset), channels=channels)  # type: ignore[arg-type]
        result = adapt_network(model, settings, "net")
        expected = np.asarray(model(x[..., order] * np.array(factor, np.float32) + np.array(offset, np.float32)))
        assert np.abs(np.asarray(result.model(x)) - expected).max() < 2e-6
        assert np.abs(np.asarray(result.core(result.entry.array(x))) - expected).max() < 2e-6


def test_a_network_that_takes_images_as_they_are_is_used_as_it_is() -> None:
    model = network()
    assert adapt_network(model, InputSettings("float32", "none", "rgb", 8), "net").model is model


def test_grey_images_go_into_a_network_of_one_channel_or_of_three_equal_ones() -> None:
    one, three, x = network((8, 8, 1)), network(), images(8, 8, 1)
    assert adapt_network(one, InputSettings(channels="grey"), "net").model is one
    result = adapt_network(three, InputSettings(channels="grey", scale="imagenet"), "net")
    expected = np.asarray(three(imagenet_utils.preprocess_input(np.repeat(x, 3, 3), mode="torch")))
    assert np.abs(np.asarray(result.model(x)) - expected).max() < 2e-6
    assert np.abs(np.asarray(result.core(result.entry.array(x))) - expected).max() < 2e-6


def test_images_without_an_axis_for_their_one_channel() -> None:
    model = keras.Sequential([keras.Input((8, 8)), layers.Flatten(), layers.Dense(3, activation="softmax")])
    result = adapt_network(model, InputSettings(scale="0-1"), "net")
    x = images(8, 8, 1)
    assert result.model.input_shape == (None, 8, 8, 1)
    assert np.abs(np.asarray(result.model(x)) - np.asarray(model(x[..., 0] / 255))).max() < 1e-6


def test_a_network_that_wants_channels_first_is_handed_them_last() -> None:
    image = keras.Input((3, 8, 12))
    x = layers.GlobalAveragePooling2D(data_format="channels_first")(image)
    model = keras.Model(image, layers.Dense(3, activation="softmax")(x))
    result = adapt_network(model, InputSettings(scale="0-1"), "net")
    x = images(8, 12, 3)
    assert np.abs(np.asarray(result.model(x)) - np.asarray(model(x.transpose(0, 3, 1, 2) / 255))).max() < 1e-6


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_other_numbers_of_channels(channels: int) -> None:
    model, x = network((8, 8, channels)), images(8, 8, channels)
    result = adapt_network(model, InputSettings(scale="-1-1"), "net")
    assert np.abs(np.asarray(result.model(x)) - np.asarray(model(x / 127.5 - 1))).max() < 2e-6
    assert result.adaptation is not None
    assert result.adaptation.channels == "any"


@pytest.mark.parametrize(
    ("shape", "size", "expected"), [((None, None, 3), 8, (8, 8)), ((None, 12, 3), (6, 12), (6, 12))]
)
def test_an_open_size_is_fixed(shape: tuple[int | None, ...], size: Any, expected: tuple[int, int]) -> None:
    model, x = network(shape), images(*expected, 3)
    result = adapt_network(model, InputSettings(size=size), "net")
    assert result.model.input_shape == (None, *expected, 3)
    assert np.array_equal(np.asarray(result.model(x)), np.asarray(model(x)))


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        (
            (None, None, 3),
            {},
            r"takes images of any size .* any×any\); fix .* with --size, such as --size 224 or --size 96x1",
        ),
        ((None, 12, 3), {"size": 8}, r"height×width any×12, not 8×8; give a --size that fits"),
        ((8, 8, 3), {"size": (8, 9)}, r"height×width 8×8, not 8×9; leave out --size"),
        (
            (None, None, 3),
            {"size": 2},
            r"cannot be run on images of 2×2×3 \(Computed output size would be zero or negative",
        ),
        ((8, 8, None), {}, r"any number of channels; fix it with --channels rgb, bgr or grey"),
        ((8, 8, 1), {"channels": "bgr"}, r"takes images of 1 channels, not BGR; leave out --channels"),
        ((8, 8, 4), {"channels": "grey"}, r"takes images of 4 channels, not grey ones; leave out --channels"),
        (
            (8, 8, 1),
            {"scale": "imagenet"},
            r"--scale imagenet has numbers for 3 channels, the network takes 1; give one",
        ),
        ((8, 8, 3), {"scale": ((0.1, 0.2), 0.0)}, r"--scale numbers has numbers for 2 channels, the network takes 3"),
    ],
)
def test_settings_that_do_not_go_with_a_network_are_refused(
    shape: tuple[int | None, ...], settings: dict[str, Any], message: str
) -> None:
    model = (
        keras.Sequential([keras.Input(shape), layers.GlobalAveragePooling2D()]) if None in shape[2:] else network(shape)
    )
    with pytest.raises(ExportError, match=r"^net\.keras: .*" + message):
        adapt_network(model, InputSettings(**settings), "net.keras")


def test_a_row_of_numbers_is_no_image() -> None:
    model = keras.Sequential([keras.Input((12,)), layers.Dense(3, activation="softmax")])
    with pytest.raises(ExportError, match=r"its input has shape \(None, 12\); wanted images N×height×width×channels"):
        adapt_network(model, InputSettings(), "net")


def test_the_presets_are_those_of_keras() -> None:
    assert set(PRESETS) == {"none", "0-1", "-1-1", "imagenet", "caffe"}
    x = images(2, 2, 3)
    for preset, mode in (("-1-1", "tf"), ("imagenet", "torch")):
        scaling = PRESETS[preset]
        expected = imagenet_utils.preprocess_input(x.copy(), mode=mode)
        assert np.abs(x * np.array(scaling.factor) + np.array(scaling.offset) - expected).max() < 1e-6
