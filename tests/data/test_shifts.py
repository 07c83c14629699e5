"""Site shifts: each does what it says to every image alike, and the second set-up is found by its background."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bctoolkit.data import Dataset
from bctoolkit.data.shifts import KINDS, SHIFTS, second_setup, shift
from bctoolkit.errors import DatasetError

Images = NDArray[np.uint8]
FACTORS = {"scale_0.60": 0.60, "scale_0.75": 0.75, "scale_1.33": 1.33, "scale_1.70": 1.70}


def cell(background: tuple[int, int, int], count: int = 1, size: int = 48, radius: float = 1 / 5) -> Images:
    """A violet disc on a background."""
    rows, columns = np.mgrid[0:size, 0:size] - (size - 1) / 2
    disc = (np.hypot(rows, columns) < size * radius)[..., None]
    return np.repeat(np.where(disc, (110, 60, 140), background).astype(np.uint8)[None], count, axis=0)


def test_every_kind_has_shifts_and_every_shift_a_kind() -> None:
    assert {each.kind for each in SHIFTS.values()} == set(KINDS)


@pytest.mark.parametrize("name", SHIFTS)
def test_a_shift_depends_on_the_image_alone_and_leaves_it_as_it_was(cells: Dataset, name: str) -> None:
    images = np.array(cells.images[:])
    before = images.copy()
    whole = shift(images, name)
    assert np.array_equal(images, before)
    assert whole.shape == images.shape
    assert whole.dtype == np.uint8
    assert (whole != images).any((1, 2, 3)).all()
    assert np.array_equal(shift(images[5:6], name)[0], whole[5])


@settings(max_examples=5)
@given(count=st.integers(0, 3), height=st.integers(4, 40), width=st.integers(4, 40))
@pytest.mark.parametrize("name", SHIFTS)
def test_every_size_keeps_its_shape(name: str, count: int, height: int, width: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
    assert shift(images, name).shape == images.shape


@pytest.mark.parametrize(("name", "factor"), FACTORS.items())
def test_a_scale_changes_the_area_by_its_square(name: str, factor: float) -> None:
    image = cell((250, 250, 250), size=96, radius=1 / 7)  # small, so that none of it is mirrored
    area, scaled = ((250.0 - pixels[..., 1]).sum() for pixels in (image, shift(image, name)))
    assert scaled / area == pytest.approx(factor**2, rel=0.06)


@pytest.mark.parametrize("name", FACTORS)
def test_a_scale_leaves_an_even_picture_alone(name: str) -> None:
    even = np.full((2, 33, 48, 3), 128, np.uint8)
    assert np.array_equal(shift(even, name), even)


def test_a_colour_cast_is_a_gain_of_each_channel() -> None:
    even = np.full((1, 8, 8, 3), 200, np.uint8)
    assert shift(even, "warm")[0, 0, 0].tolist() == [200, 180, 140]
    assert shift(even, "hazy")[0, 0, 0].tolist() == [190, 190, 190]


@pytest.mark.parametrize("name", [name for name, each in SHIFTS.items() if each.kind == "stain"])
def test_white_takes_no_stain(name: str) -> None:
    assert shift(np.full((1, 8, 8, 3), 255, np.uint8), name).min() == 255


def test_more_stain_is_darker_and_less_is_lighter() -> None:
    image = cell((250, 250, 250))
    assert shift(image, "stain_strong").mean() < image.mean() < shift(image, "stain_weak").mean()


@pytest.mark.parametrize("name", [name for name, each in SHIFTS.items() if each.kind == "background"])
def test_a_background_s_change_leaves_the_nucleus(name: str) -> None:
    image = cell((220, 200, 180))
    changed = shift(image, name)
    assert np.array_equal(changed[0, 24, 24], image[0, 24, 24])
    assert (np.abs(changed[0, 0, 0].astype(int) - image[0, 0, 0]) >= 20).any()


@pytest.mark.parametrize("channels", [1, 4])
def test_other_than_rgb_is_refused(channels: int) -> None:
    images = np.zeros((1, 8, 8, channels), np.uint8)
    with pytest.raises(DatasetError, match=f"made for RGB images, these have {channels} channels"):
        shift(images, "warm")
    with pytest.raises(DatasetError, match=f"made for RGB images, these have {channels} channels"):
        second_setup(images)


def test_a_neutral_or_bluish_background_is_of_the_second_set_up_and_a_reddish_one_is_not() -> None:
    images = np.concatenate(
        [cell((251, 225, 200)), cell((228, 222, 228)), cell((230, 230, 230)), cell((240, 225, 215))]
    )
    assert second_setup(images).tolist() == [False, True, True, False]
    assert second_setup(images[:0]).tolist() == []


@pytest.mark.soak
@pytest.mark.real
def test_the_real_set_has_as_many_images_of_it_as_it_says_in_every_class(real_cells: Dataset) -> None:
    few = np.random.default_rng(0).permutation(len(real_cells))[:3000]
    found = second_setup(np.asarray(real_cells.images[few]))
    assert 0.018 < found.mean() < 0.036
    assert len(set(real_cells.labels[few][found].tolist())) >= 6
