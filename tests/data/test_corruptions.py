"""The suite: what each corruption does, that it never changes, and that the documents say what it does."""

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import bctoolkit
from bctoolkit.data import Dataset
from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES, SUITE, corrupt
from bctoolkit.recipes import Augment

NAMES = list(CORRUPTIONS)
PAGE = Path(bctoolkit.__file__).resolve().parents[1] / "docs" / "corruptions.md"

Images = NDArray[np.uint8]


def fixed_picture() -> Images:
    """A 48×48 picture by formula, so that no generator's change can alter it."""
    rows, columns = np.mgrid[0:48, 0:48].astype(float)
    waves = np.stack([np.sin(rows / 5) + 1, np.cos(columns / 7) + 1, np.sin((rows + columns) / 9) + 1], axis=-1)
    return np.rint(waves * 110 + 20).astype(np.uint8)


STORED: dict[str, list[float]] = {
    "brightness": [93.07, 93.07, 183.07, 183.07, 46.58, 46.58, 43.42, 43.42],
    "contrast": [139.71, 138.51, 139.71, 138.51, 28.84, 27.91, 28.84, 27.91],
    "gamma": [176.27, 176.27, 103.1, 176.27, 36.61, 36.61, 36.56, 36.61],
    "saturation": [140.79, 138.82, 138.82, 140.79, 28.19, 32.35, 32.35, 28.19],
    "hue": [136.28, 136.28, 136.81, 136.81, 14.56, 14.56, 13.59, 13.59],
    "stain": [160.07, 135.13, 123.32, 160.07, 20.41, 19.54, 16.33, 20.41],
    "solarize": [70.35, 70.35, 70.35, 70.35, 69.31, 69.31, 69.31, 69.31],
    "vignette": [113.04, 93.91, 119.25, 100.15, 26.62, 45.75, 20.4, 39.51],
    "gaussian_blur": [139.69, 139.69, 139.69, 139.69, 0.71, 0.71, 0.71, 0.71],
    "defocus": [139.69, 139.69, 139.69, 139.69, 0.71, 0.71, 0.71, 0.71],
    "motion_blur": [139.65, 139.68, 139.65, 139.66, 0.64, 1.08, 0.96, 1.0],
    "gaussian_noise": [139.38, 139.2, 139.39, 139.28, 15.75, 15.9, 15.72, 15.71],
    "impulse_noise": [139.14, 139.25, 139.15, 139.17, 3.4, 3.61, 3.7, 3.8],
    "jpeg": [139.42, 139.42, 139.42, 139.42, 6.06, 6.06, 6.06, 6.06],
    "pixelate": [139.78, 139.78, 139.78, 139.78, 6.99, 6.99, 6.99, 6.99],
    "rotation": [137.64, 137.64, 137.64, 137.64, 53.19, 53.19, 53.19, 53.19],
    "translation": [138.66, 139.47, 139.08, 140.93, 57.98, 41.26, 44.38, 57.78],
    "zoom": [127.55, 127.55, 147.12, 147.12, 24.42, 24.42, 24.44, 24.44],
    "occlusion": [139.02, 152.74, 143.43, 133.37, 7.93, 13.38, 7.5, 7.38],
    "stain_deposit": [133.24, 133.13, 132.44, 131.08, 6.42, 6.52, 7.22, 8.58],
    "air_bubble": [134.43, 137.64, 137.3, 133.1, 5.73, 3.3, 3.71, 6.75],
}
"""Of four pictures after the middle severity: the mean, then the mean departure from the picture."""


def keys(count: int) -> Images:
    """Hashes of images that only differ in them."""
    return (
        np.arange(count * 32, dtype=np.int64).astype(np.uint8).reshape(count, 32)
        ^ np.arange(count, dtype=np.uint8)[:, None]
    )


def repeated(image: Images, count: int, name: str, severity: str = "middle") -> Images:
    return corrupt(np.repeat(image[None], count, axis=0), keys(count), name, severity)


def fingerprint(name: str) -> list[float]:
    corrupted = repeated(fixed_picture(), 4, name).astype(float)
    return [*corrupted.mean((1, 2, 3)), *np.abs(corrupted - fixed_picture()).mean((1, 2, 3))]


def grey(value: int) -> Images:
    return np.full((48, 48, 3), value, np.uint8)


def disc(radius: float) -> Images:
    """A white disc in the middle of black."""
    rows, columns = np.mgrid[0:48, 0:48] - 23.5
    return np.repeat(255 * (np.hypot(rows, columns) < radius)[..., None], 3, axis=2).astype(np.uint8)


def test_there_are_at_least_twelve_corruptions_in_three_severities() -> None:
    assert len(CORRUPTIONS) >= 12
    assert SEVERITIES == ("mild", "middle", "severe")
    assert {len(corruption.levels) for corruption in CORRUPTIONS.values()} == {3}


@pytest.mark.parametrize("name", NAMES)
def test_the_suite_is_what_it_was(name: str) -> None:
    """Levels and draws are fixed for ever within a version; one step is left to the rounding of other machines."""
    assert SUITE == max(corruption.since for corruption in CORRUPTIONS.values()) == 2
    assert fingerprint(name) == pytest.approx(STORED[name], abs=0.3)


@pytest.mark.parametrize("name", NAMES)
def test_a_draw_depends_on_the_image_alone(cells: Dataset, name: str) -> None:
    images, hashes = np.asarray(cells.images[:]), cells.hashes
    order = np.random.default_rng(0).permutation(len(images))
    whole = corrupt(images, hashes, name, "severe")
    assert np.array_equal(corrupt(images[order], hashes[order], name, "severe"), whole[order])
    assert np.array_equal(corrupt(images[5:6], hashes[5:6], name, "severe"), whole[5:6])


@pytest.mark.parametrize("name", NAMES)
def test_every_image_is_changed_and_left_as_it_was(cells: Dataset, name: str) -> None:
    images = np.array(cells.images[:])
    before = images.copy()
    changed = corrupt(images, cells.hashes, name, "middle")
    assert np.array_equal(images, before)
    assert (changed.shape, changed.dtype) == (images.shape, images.dtype)
    assert (changed != images).any((1, 2, 3)).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_higher_severity_departs_further(cells: Dataset, name: str) -> None:
    images = np.array(cells.images[:], np.float32)
    apart = [np.abs(corrupt(cells.images[:], cells.hashes, name, severity) - images).mean() for severity in SEVERITIES]
    assert apart[0] < apart[1] < apart[2]


@settings(max_examples=5)
@given(height=st.integers(8, 40), width=st.integers(8, 40), severity=st.sampled_from(SEVERITIES))
@pytest.mark.parametrize("name", NAMES)
def test_every_size_keeps_its_shape(name: str, height: int, width: int, severity: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
    assert corrupt(image, keys(1), name, severity).shape == image.shape


@pytest.mark.parametrize(
    "name", ["gaussian_blur", "defocus", "motion_blur", "pixelate", "rotation", "translation", "zoom", "jpeg"]
)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_what_moves_or_blurs_leaves_an_even_picture_alone(name: str, severity: str) -> None:
    assert np.array_equal(repeated(grey(128), 3, name, severity), np.repeat(grey(128)[None], 3, axis=0))


@pytest.mark.parametrize("name", ["hue", "saturation"])
def test_grey_has_no_colour_to_change(name: str) -> None:
    assert np.array_equal(repeated(grey(90), 4, name, "severe"), np.repeat(grey(90)[None], 4, axis=0))


def test_a_white_background_takes_no_stain() -> None:
    assert repeated(grey(255), 4, "stain", "severe").min() == 255


def test_brightness_is_as_often_darker_as_lighter() -> None:
    step = repeated(grey(128), 60, "brightness")[:, 0, 0, 0].astype(int) - 128
    assert set(step.tolist()) == {-51, 51}
    assert 15 < (step > 0).sum() < 45


@pytest.mark.parametrize(("name", "level"), [("contrast", 1.7), ("saturation", 2.2)])
def test_a_factor_stretches_or_shrinks_by_itself(name: str, level: float) -> None:
    image = np.where(np.arange(48)[:, None, None] < 24, (120, 100, 110), (130, 150, 140)).astype(np.uint8) * np.ones(
        (48, 48, 1), np.uint8
    )
    spread = repeated(image, 20, name).std((1, 2)).max(1) / image.std((0, 1)).max()
    if name == "contrast":
        assert set(np.round(spread, 1).tolist()) == {round(level, 1), round(1 / level, 1)}
    assert spread.min() < 1 < spread.max()


def test_solarize_turns_only_what_is_light() -> None:
    assert np.array_equal(repeated(grey(150), 1, "solarize")[0], grey(150))
    assert np.array_equal(repeated(grey(200), 1, "solarize")[0], grey(55))


def test_a_shift_is_as_long_as_its_level_and_goes_everywhere() -> None:
    moved = repeated(disc(6), 16, "translation")[..., 0].astype(float)
    rows, columns = np.mgrid[0:48, 0:48] - 23.5
    total = moved.sum((1, 2))
    y, x = (moved * rows).sum((1, 2)) / total, (moved * columns).sum((1, 2)) / total
    assert np.hypot(y, x) == pytest.approx(0.15 * 48, abs=0.1)
    assert min(y) < -2
    assert max(y) > 2
    assert min(x) < -2
    assert max(x) > 2


def test_zoom_scales_the_area_by_the_square_of_its_level() -> None:
    area = repeated(disc(10), 16, "zoom", "severe")[..., 0].sum((1, 2)) / disc(10)[..., 0].sum()
    assert sorted(set(np.round(area, 1).tolist())) == [0.5, 2.0]


def test_rotation_turns_by_its_level_either_way() -> None:
    image = disc(20)
    image[:, :24] = 0
    image[24:] = 0
    turned = repeated(image, 16, "rotation", "severe")[..., 0].astype(float)
    rows, columns = np.mgrid[0:48, 0:48] - 23.5
    angle = np.degrees(np.arctan2((turned * rows).sum((1, 2)), (turned * columns).sum((1, 2))))
    assert sorted({round(value) for value in angle.tolist()}) == [-90, 0]


def test_an_ellipse_covers_as_much_as_its_level() -> None:
    image = np.zeros((96, 96, 3), np.uint8)
    covered = (repeated(image, 40, "occlusion", "severe") > 0).any(-1).mean((1, 2))
    assert covered.max() == pytest.approx(0.20, abs=0.005)
    assert covered.mean() > 0.15


def test_impulses_hit_as_many_values_as_their_level_half_black_half_white() -> None:
    noisy = repeated(grey(128), 8, "impulse_noise", "severe")
    assert (noisy == 0).mean() == pytest.approx(0.035, rel=0.1)
    assert (noisy == 255).mean() == pytest.approx(0.035, rel=0.1)


def test_noise_has_the_deviation_of_its_level() -> None:
    assert repeated(grey(128), 4, "gaussian_noise").std() == pytest.approx(0.08 * 255, rel=0.03)


@pytest.mark.parametrize("name", ["gaussian_blur", "defocus", "motion_blur"])
def test_a_blur_keeps_the_light(name: str) -> None:
    assert repeated(disc(8), 4, name).mean((1, 2, 3)) == pytest.approx(disc(8).mean(), rel=0.01)


def test_a_vignette_only_takes_light() -> None:
    dimmed = repeated(grey(200), 10, "vignette", "severe")
    assert dimmed.max() == 200
    assert (dimmed.min((1, 2, 3)) < 160).all()


def test_similar_augmentations_are_keys_of_a_recipe() -> None:
    keys = {field.name for field in msgspec.structs.fields(Augment)}
    assert {name for corruption in CORRUPTIONS.values() for name in corruption.similar_augmentations} <= keys


def test_some_corruptions_resemble_no_augmentation() -> None:
    assert len([name for name in NAMES if not CORRUPTIONS[name].similar_augmentations]) >= 4


def test_the_document_s_table_is_the_suite() -> None:
    rows = re.findall(
        r"^\| (\w+) \|.*\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([^|]*) \|$", PAGE.read_text(), re.MULTILINE
    )
    documented = {
        name: (tuple(map(float, levels)), tuple(re.findall(r"`(\w+)`", similar))) for name, *levels, similar in rows
    }
    assert documented == {name: (one.levels, one.similar_augmentations) for name, one in CORRUPTIONS.items()}
    assert f"suite {SUITE};" in PAGE.read_text()
