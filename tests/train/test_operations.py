"""The single random changes of training images."""

import io
import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from bctoolkit import recipes
from bctoolkit.train.augmentation.operations import GEOMETRY, OPERATIONS, transform

Pixels = NDArray[np.float32]
STRENGTH = {"blur": 2.0, "gamma": 1.5}
SEED = (3, 5)


def smooth(count: int = 8, height: int = 36, width: int = 44) -> Pixels:
    """Different smooth pictures with values between 20 and 235."""
    noise = np.random.default_rng(0).normal(size=(count, height, width, 3))
    soft = ndimage.gaussian_filter(noise, (0, 3, 3, 0))
    return (127.5 + 107.5 * soft / np.abs(soft).max()).astype(np.float32)


def done(name: str, images: Pixels, strength: float, seed: tuple[int, int] = SEED) -> Pixels:
    return np.asarray(OPERATIONS[name](tf.constant(images), tf.constant(seed), strength))


def moved(images: Pixels, seed: int = 0, **strengths: float) -> Pixels:
    everyone = tf.ones((len(images),), tf.bool)
    selected = {name: (everyone, strength) for name, strength in strengths.items()}
    return np.asarray(transform(tf.constant(images), selected, tf.constant([seed, 1])))


def farthest(first: Pixels, second: Pixels) -> NDArray[Any]:
    """The largest difference of each image."""
    return np.abs(first - second).reshape(len(first), -1).max(1)


def test_the_recipe_knows_the_same_changes() -> None:
    assert set(recipes.STRENGTHS) == {*GEOMETRY, *OPERATIONS}
    assert set(recipes.STRENGTHS) <= set(recipes.AugmentOps.__struct_fields__)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_change_acts_is_decided_by_the_seed_and_differs_by_image(name: str) -> None:
    same = np.repeat(smooth(1), 8, axis=0)
    strength = STRENGTH.get(name, 0.6)
    result = done(name, same, strength)
    assert result.shape == same.shape
    assert np.isfinite(result).all()
    assert farthest(result, same).max() > 5
    np.testing.assert_array_equal(done(name, same, strength), result)
    assert (done(name, same, strength, (4, 5)) != result).any()
    distinct = 4 if name == "solarize" else 7  # of one picture many thresholds leave everything as it is
    assert len({image.tobytes() for image in result}) >= distinct


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_batch_without_images_stays_one(name: str) -> None:
    assert done(name, smooth(2)[:0], STRENGTH.get(name, 0.6)).shape == (0, 36, 44, 3)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_small_strength_changes_little(name: str) -> None:
    images = smooth(16)
    strength = 0.02
    most = {"jpeg": 20.0, "cutout": 235.0, "dirt": 255.0, "solarize": 0.0, "noise": 0.02 * 255 * 5.5}.get(
        name, 0.02 * 255 * 1.3
    )
    result = done(name, images, strength)
    assert farthest(result, images).max() <= most
    if name == "cutout":
        changed = (result != images).any(-1).mean((1, 2))
        assert changed.max() <= (1 / 36) * (1 / 44) + 1e-9
    if name == "dirt":
        assert np.abs(result - images).max(-1).mean((1, 2)).max() <= 1.5 * strength * 255


def test_brightness_shifts_every_value_of_an_image_alike_and_evenly_up_to_its_strength() -> None:
    images = np.full((2000, 2, 2, 3), 100, np.float32)
    shift = done("brightness", images, 0.2) - images
    assert (shift == shift[:, :1, :1, :1]).all()
    amounts = shift[:, 0, 0, 0] / 255
    assert np.abs(amounts).max() <= 0.2
    assert amounts.mean() == pytest.approx(0, abs=0.01)
    assert amounts.std() == pytest.approx(0.2 / math.sqrt(3), rel=0.05)


def test_contrast_keeps_the_mean_colour_and_scales_the_distance_from_it() -> None:
    images = smooth()
    result = done("contrast", images, 0.5)
    mean = images.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(result.mean((1, 2), keepdims=True), mean, atol=0.01)
    factor = (result - mean).std((1, 2, 3)) / (images - mean).std((1, 2, 3))
    assert (np.abs(factor - 1) <= 0.5).all()
    np.testing.assert_allclose(result - mean, (images - mean) * factor[:, None, None, None], atol=0.05)


def test_gamma_keeps_black_and_white_and_the_order_of_values() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 32, dtype=np.float32)[None, None, :, None], (16, 2, 32, 3))
    result = done("gamma", np.ascontiguousarray(ramp), 1.0)
    assert np.abs(result[:, :, 0]).max() <= 1e-3
    assert np.abs(result[:, :, -1] - 255).max() <= 1e-3
    assert (np.diff(result, axis=2) > 0).all()
    powers = np.log(result[:, 0, 16, 0] / 255) / np.log(ramp[0, 0, 16, 0] / 255)
    assert powers.min() >= 0.5
    assert powers.max() <= 2


def test_saturation_keeps_the_brightness_and_full_strength_may_reach_grey() -> None:
    images = smooth(64, 8, 8)
    result = done("saturation", images, 1.0)
    luminance = np.array([0.2989, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(result @ luminance, images @ luminance, atol=0.1)
    spread = np.ptp(result, axis=-1).mean((1, 2)) / np.ptp(images, axis=-1).mean((1, 2))
    assert spread.min() < 0.1
    assert spread.max() > 1.7


def test_hue_turns_the_colours_about_grey_and_leaves_grey_alone() -> None:
    grey = np.broadcast_to(smooth(4)[..., :1], (4, 36, 44, 3))
    np.testing.assert_allclose(done("hue", np.ascontiguousarray(grey), 1.0), grey, atol=0.01)
    images = smooth(64, 4, 4)
    result = done("hue", images, 0.25)
    np.testing.assert_allclose(result.sum(-1), images.sum(-1), rtol=1e-4)
    np.testing.assert_allclose((result**2).sum(-1), (images**2).sum(-1), rtol=1e-4)
    before, after = (x - x.mean(-1, keepdims=True) for x in (images, result))
    cosine = (before * after).sum(-1) / np.maximum((before**2).sum(-1), 1e-6)
    assert cosine.min() >= math.cos(math.pi / 4) - 1e-3
    assert cosine.min() < 0.8


def test_stain_scales_and_shifts_each_channels_optical_density() -> None:
    images = smooth(6)
    result = done("stain", images, 0.4)
    before, after = (-np.log((x + 1) / 256) for x in (images, result))
    for image in range(6):
        for channel in range(3):
            x, y = before[image, ..., channel].ravel(), after[image, ..., channel].ravel()
            scale, shift = np.polyfit(x, y, 1)
            np.testing.assert_allclose(y, scale * x + shift, atol=1e-3)
            assert abs(scale - 1) <= 0.401
            assert abs(shift) <= 0.101


def test_white_balance_is_a_gain_of_each_channel_evenly_up_to_its_strength_in_the_logarithm() -> None:
    images = smooth(64, 8, 8)
    gain = done("white_balance", images, 0.3) / images
    np.testing.assert_allclose(gain, np.broadcast_to(gain[:, :1, :1], gain.shape), rtol=1e-4)
    amounts = np.log(gain[:, 0, 0])
    assert np.abs(amounts).max() <= 0.3 + 1e-5
    assert amounts.std() == pytest.approx(0.3 / math.sqrt(3), rel=0.15)
    assert abs(np.corrcoef(amounts[:, 0], amounts[:, 2])[0, 1]) < 0.4


def test_stain_mix_adds_shares_of_the_other_channels_density_and_leaves_white() -> None:
    images = smooth(6)
    before, after = (-np.log((x + 1) / 256) for x in (images, done("stain_mix", images, 0.3)))
    for image in range(6):
        matrix = np.linalg.lstsq(before[image].reshape(-1, 3), after[image].reshape(-1, 3), rcond=None)[0]
        np.testing.assert_allclose(before[image] @ matrix, after[image], atol=1e-3)
        np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-3)
        assert np.abs(matrix - np.eye(3)).max() <= 0.301
        assert np.abs(matrix - np.eye(3)).max() > 0.02
    white = np.full((3, 4, 4, 3), 255, np.float32)
    np.testing.assert_allclose(done("stain_mix", white, 0.3), white, atol=1e-3)


def test_solarize_inverts_exactly_what_lies_above_a_threshold() -> None:
    images = np.broadcast_to(np.arange(256, dtype=np.float32)[None, None, :, None], (64, 1, 256, 3))
    result = done("solarize", np.ascontiguousarray(images), 0.5)
    thresholds = []
    for image in result[:, 0, :, 0]:
        inverted = image != np.arange(256)
        start = int(inverted.argmax()) if inverted.any() else 256
        np.testing.assert_array_equal(image[:start], np.arange(start))
        np.testing.assert_array_equal(image[start:], 255 - np.arange(start, 256))
        thresholds.append(start)
    assert min(thresholds) >= 127
    assert min(thresholds) < 140
    assert max(thresholds) > 240


def test_blur_is_a_gaussian_up_to_its_strength() -> None:
    point = np.zeros((12, 31, 31, 3), np.float32)
    point[:, 15, 15] = 255
    result = done("blur", point, 2.0)
    np.testing.assert_allclose(result.sum((1, 2)), 255, rtol=1e-4)
    sigmas = []
    offsets = np.arange(31) - 15
    for image in result[..., 0]:
        profile = image.sum(0) / 255
        sigma = math.sqrt((profile * offsets**2).sum())
        sigmas.append(sigma)
        if sigma > 0.8:  # below, a sampled Gaussian's spread is not its parameter
            expected = ndimage.gaussian_filter(point[0, ..., 0], sigma * 1.005, truncate=3)
            assert np.abs(image - expected).max() <= 0.04 * expected.max()
    assert max(sigmas) <= 2.0
    assert max(sigmas) > 1.2


def test_noise_is_normal_and_independent_by_value() -> None:
    images = np.full((32, 24, 24, 3), 128, np.float32)
    result = (done("noise", images, 0.1) - images) / 255
    deviations = result.std((1, 2, 3))
    assert deviations.max() <= 0.1 * 1.05
    assert deviations.max() > 0.06
    assert np.abs(result.mean((1, 2, 3)) / deviations).max() < 0.1
    assert abs(np.corrcoef(result[..., 0].ravel(), result[..., 1].ravel())[0, 1]) < 0.05


def test_jpeg_is_what_pillow_makes_of_it_at_some_quality() -> None:
    images = smooth(4, 40, 48).round()
    result = done("jpeg", images, 1.0)
    for image, encoded in zip(images, result, strict=True):
        distances = []
        for quality in range(5, 101):
            file = io.BytesIO()
            Image.fromarray(image.astype(np.uint8)).save(file, "JPEG", quality=quality)
            distances.append(float(np.abs(np.asarray(Image.open(file), np.float32) - encoded).mean()))
        assert min(distances) < 1.5
    assert (result == result.round()).all()


def test_cutout_covers_one_rectangle_with_one_colour() -> None:
    images = smooth(64, 30, 50)
    result = done("cutout", images, 0.5)
    covered = (result != images).any(-1)
    shares = covered.mean((1, 2))
    assert shares.max() <= 0.25 + 1e-6
    assert shares.max() > 0.1
    for mask, image in zip(covered, result, strict=True):
        if mask.any():
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            assert len(rows) <= 15
            assert len(columns) <= 25
            assert len(np.unique(image[mask], axis=0)) == 1


def test_dirt_lays_ellipses_of_one_colour_over_no_more_than_its_share() -> None:
    shape = (64, 60, 80, 3)
    black, white = (done("dirt", np.full(shape, value, np.float32), 0.2) for value in (0, 255))
    cover = 1 - (white - black) / 255
    np.testing.assert_allclose(cover, np.broadcast_to(cover[..., :1], shape), atol=1e-5)
    assert cover.min() >= -1e-5
    assert 0.9 < cover.max() <= 1 + 1e-5
    for image, covered in zip(black, cover[..., 0], strict=True):
        inside = covered > 0.5 * covered.max()
        assert inside.mean() <= 0.2 * 1.1  # a pixel is covered or not; ellipses may lie partly outside
        colours = image[inside] / covered[inside, None]
        np.testing.assert_allclose(colours, np.broadcast_to(colours[:1], colours.shape), atol=0.1)
    assert (cover > 0.5).mean((1, 2, 3)).max() > 0.08
    blots = [ndimage.label(one[..., 0] > 0.3)[1] for one in cover]
    assert len(set(blots)) >= 3


def test_a_vignette_is_brightest_at_one_spot_and_falls_off_with_the_square_of_the_distance() -> None:
    images = np.full((64, 50, 50, 3), 200, np.float32)
    light = done("vignette", images, 0.8)[..., 0] / 200
    middle = (np.arange(50) + 0.5) / 50
    losses = []
    for one in light:
        y, x = (middle[at] for at in np.unravel_index(one.argmax(), one.shape))
        squared = np.minimum((middle[:, None] - y) ** 2 + (middle - x) ** 2, 1)
        far = squared > 0.25
        loss = ((1 - one[far]) / squared[far]).mean()
        np.testing.assert_allclose(one, 1 - loss * squared, atol=0.05 * loss + 1e-6)
        losses.append(loss)
    assert 0.7 < max(losses) <= 0.8 * 1.03
    assert min(losses) < 0.1


def test_a_turn_is_that_of_scipy_about_the_centre(monkeypatch: pytest.MonkeyPatch) -> None:
    degrees = 25.0
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda shape, *_: tf.fill(shape, degrees))
    image = smooth(1, 41, 41)
    result = moved(image, rotate=30.0)[0, ..., 0]
    turned = [ndimage.rotate(image[0, ..., 0], way * degrees, reshape=False, order=1) for way in (1, -1)]
    inside = np.hypot(*(np.mgrid[:41, :41] - 20)) < 18
    distances = [np.abs(result - other)[inside].max() for other in turned]
    assert min(distances) < 1.0
    assert max(distances) > 10


def test_a_shift_moves_by_whole_shares_of_the_side_and_mirrors_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda shape, *_: tf.fill(shape, 0.25))
    image = smooth(1, 32, 48)
    result = moved(image, translate=0.3)[0]
    np.testing.assert_allclose(result[:24, :36], image[0, 8:, 12:], atol=0.01)
    np.testing.assert_allclose(result[24:, :36], image[0, :-9:-1, 12:], atol=0.01)


def test_a_zoom_scales_about_the_centre(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda shape, *_: tf.fill(shape, math.log(2)))
    image = smooth(1, 33, 33)
    result = moved(image, zoom=0.7)[0]
    np.testing.assert_allclose(result[::2, ::2], image[0, 8:25, 8:25], atol=0.05)


def test_a_shrunk_image_lies_on_its_background_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda shape, *_: tf.fill(shape, -math.log(2)))
    image = np.full((2, 64, 64, 3), (200, 180, 160), np.float32)
    image[:, 8:56, 8:56] = (90, 40, 120)
    image[1] -= 30
    selected = {"zoom": (tf.ones((2,), tf.bool), 0.7)}
    result = np.asarray(transform(tf.constant(image), selected, tf.constant([0, 1]), "background"))
    for each, before in zip(result, image, strict=True):
        np.testing.assert_allclose(each[:15], np.broadcast_to(before[0, 0], (15, 64, 3)), atol=0.01)
        np.testing.assert_allclose(each[30, 30], before[30, 30], atol=0.01)
    assert moved(image, zoom=0.7)[0, 0, 32, 0] == pytest.approx(90, abs=0.01)  # mirrored, the cell comes again


@pytest.mark.parametrize(("name", "strength"), [("rotate", 180.0), ("translate", 0.4), ("zoom", 0.5)])
def test_movements_act_and_differ_by_image_and_seed(name: str, strength: float) -> None:
    same = np.repeat(smooth(1), 8, axis=0)
    result = moved(same, 0, **{name: strength})
    assert (farthest(result, same) > 5).sum() >= 6
    assert len({image.tobytes() for image in result}) == 8
    np.testing.assert_array_equal(moved(same, 0, **{name: strength}), result)
    assert (moved(same, 7, **{name: strength}) != result).any()
    assert result.min() >= same.min() - 0.01
    assert result.max() <= same.max() + 0.01


def test_only_the_images_that_were_drawn_are_moved() -> None:
    images = smooth(6)
    chosen = np.array([True, False, False, True, False, True])
    selected = {"rotate": (tf.constant(chosen), 90.0)}
    result = np.asarray(transform(tf.constant(images), selected, tf.constant([0, 0])))
    np.testing.assert_array_equal(farthest(result, images) > 0, chosen)
    nobody = {"rotate": (tf.zeros((6,), tf.bool), 90.0)}
    np.testing.assert_array_equal(np.asarray(transform(tf.constant(images), nobody, tf.constant([0, 0]))), images)
