"""The page says exactly what is done: a plain program of it gives the same bits as Pillow, and as `prepare`."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from bctoolkit.contract import InputContract, prepare
from tests.contract import plain

METHODS = ("nearest", "bilinear", "bicubic", "lanczos")
sides = st.integers(1, 70)


def noise(height: int, width: int, channels: int, seed: int) -> plain.Pixels:
    """Half of the values are the extremes, where filters overshoot."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    return np.where(rng.random(pixels.shape) < 0.5, np.uint8(255) * (pixels > 127), pixels).astype(np.uint8)


def by_pillow(pixels: plain.Pixels, height: int, width: int, method: str) -> plain.Pixels:
    """Each axis in a call of its own: nothing is left to Pillow's choice of which comes first."""
    resampling = Image.Resampling[method.upper()]
    planes = [Image.fromarray(pixels[..., i]) for i in range(pixels.shape[2])]
    resized = [plane.resize((width, plane.height), resampling).resize((width, height), resampling) for plane in planes]
    return np.stack([np.asarray(plane) for plane in resized], 2)


@given(sides, sides, sides, sides, st.sampled_from(METHODS), st.integers(0, 10**6))
@example(97, 131, 96, 96, "lanczos", 0)
@example(1, 1, 5, 3, "bicubic", 0)
@example(64, 3, 3, 64, "lanczos", 1)
@settings(max_examples=60)
def test_resizing_is_what_the_page_says(
    height: int, width: int, new_height: int, new_width: int, method: str, seed: int
) -> None:
    pixels = noise(height, width, 3, seed)
    expected = by_pillow(pixels, new_height, new_width, method)
    assert np.array_equal(plain.resize(pixels, new_height, new_width, method), expected)


@pytest.mark.parametrize("method", METHODS)
def test_sizes_of_real_pictures(method: str) -> None:
    for height, width in ((363, 360), (575, 613), (200, 200)):
        pixels = noise(height, width, 1, height)
        assert np.array_equal(plain.resize(pixels, 96, 96, method), by_pillow(pixels, 96, 96, method))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("side", [1, 31, 96, 97, 200, 363])
def test_a_square_is_resized_as_by_one_call_of_any_pillow(side: int, method: str) -> None:
    """So networks that were trained on squares before the passes were parted get what they know."""
    pixels = noise(side, side, 1, side)
    at_once = Image.fromarray(pixels[..., 0]).resize((96, 96), Image.Resampling[method.upper()])
    assert np.array_equal(by_pillow(pixels, 96, 96, method)[..., 0], np.asarray(at_once))


@pytest.mark.soak
@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from(METHODS), st.integers(0, 10**6))
@settings(max_examples=5000)
def test_resizing_one_axis_of_any_length(size_in: int, size_out: int, method: str, seed: int) -> None:
    pixels = noise(3, size_in, 1, seed)
    assert np.array_equal(plain.resize(pixels, 3, size_out, method), by_pillow(pixels, 3, size_out, method))


@given(
    sides,
    sides,
    st.sampled_from((1, 3)),
    st.sampled_from((1, 3)),
    st.sampled_from(("square", "none", 1)),
    st.sampled_from(METHODS),
)
@settings(max_examples=40)
def test_crop_channels_and_size_are_what_the_page_says(
    height: int, width: int, stored: int, wanted: int, rule: Any, method: Any
) -> None:
    pixels = noise(height, width, stored, height * width)
    contract = InputContract(height=9, width=11, channels=wanted, crop=rule, resize=method)
    expected = plain.resize(plain.crop(plain.channels(pixels, wanted), rule), 9, 11, method)
    picture = Image.fromarray(pixels if stored == 3 else pixels[..., 0])
    assert np.array_equal(prepare(picture, contract), expected)
