"""Which images are changed, how often, and what mixing does to labels."""

from typing import Any

import msgspec
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bctoolkit.recipes import STRENGTHS, Augment, AugmentOps
from bctoolkit.train.augmentation.policy import augment

Pixels = NDArray[np.float32]
NOTHING = Augment(flip=False, rotate90=False, brightness=0, contrast=0, saturation=0)
STRONG: dict[str, Any] = {"rotate": 180.0, "blur": 1.5, "gamma": 1.5, "solarize": 1.0}


def batch(count: int = 64, height: int = 12, width: int = 12) -> Pixels:
    """Different random pictures with values well inside 0–255."""
    return np.random.default_rng(0).integers(40, 216, (count, height, width, 3)).astype(np.float32)


def classes(count: int) -> Pixels:
    return np.eye(4, dtype=np.float32)[np.arange(count) % 4]


def both(recipe: Augment, images: Pixels, seed: int = 0) -> tuple[Pixels, Pixels]:
    result = augment(tf.constant(images), tf.constant(classes(len(images))), tf.constant([seed, 0]), recipe)
    return np.asarray(result[0]), np.asarray(result[1])


def changed(recipe: Augment, images: Pixels, seed: int = 0) -> Pixels:
    result, labels = both(recipe, images, seed)
    np.testing.assert_array_equal(labels, classes(len(images)))
    return result


def share_changed(recipe: Augment, images: Pixels, seed: int = 0) -> float:
    return float((changed(recipe, images, seed) != images).any((1, 2, 3)).mean())


def only(**values: Any) -> Augment:
    return msgspec.structs.replace(NOTHING, **values)


@pytest.mark.parametrize("recipe", [NOTHING, only(one_of=(AugmentOps(), AugmentOps())), only(chance=0.0, noise=0.5)])
def test_nothing_switched_on_changes_nothing(recipe: Augment) -> None:
    np.testing.assert_array_equal(changed(recipe, batch()), batch())


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_change_of_a_recipe_acts_alone_stays_in_range_and_repeats(name: str) -> None:
    images = batch(64, 16, 20)
    recipe = only(**{name: STRONG.get(name, 0.9)})
    result = changed(recipe, images)
    assert result.shape == images.shape
    assert 0 <= result.min() <= result.max() <= 255
    assert (result != images).any((1, 2, 3)).mean() >= 0.7
    np.testing.assert_array_equal(changed(recipe, images), result)
    assert (changed(recipe, images, 1) != result).any()


@pytest.mark.parametrize("name", STRENGTHS)
def test_a_chance_so_low_that_no_image_is_drawn_changes_none(name: str) -> None:
    images = batch(4, 16, 20)
    np.testing.assert_array_equal(changed(only(**{name: STRONG.get(name, 0.9)}, chance=1e-7), images), images)


def test_images_of_one_batch_are_changed_each_in_its_own_way() -> None:
    same = np.repeat(batch(1), 64, axis=0)
    result = changed(Augment(), same)
    assert len(np.unique(result.reshape(64, -1).round(2), axis=0)) > 60


def test_flips_and_turns_give_all_eight_symmetries_of_a_square_and_nothing_else() -> None:
    image = batch(1)[0]
    turns = [np.rot90(image, k) for k in range(4)]
    expected = {t.tobytes() for t in turns} | {t[:, ::-1].tobytes() for t in turns}
    result = changed(only(flip=True, rotate90=True), np.repeat(image[None], 512, axis=0))
    variants, counts = np.unique(result.reshape(512, -1), axis=0, return_counts=True)
    assert {x.tobytes() for x in variants} == {np.frombuffer(x, np.float32).tobytes() for x in expected}
    assert counts.min() > 35  # evenly: 64 each, standard deviation 7.5


def test_flips_come_before_turns_each_by_its_own_coin() -> None:
    images = batch(64)
    flipped, turned = (changed(only(**{name: True}), images) for name in ("flip", "rotate90"))
    both_done = changed(only(flip=True, rotate90=True), images)
    for image, mirrored, turn, result in zip(images, flipped, turned, both_done, strict=True):
        quarter_turns = next(k for k in range(4) if (np.rot90(image, k) == turn).all())
        np.testing.assert_array_equal(result, np.rot90(mirrored, quarter_turns))


def test_turns_alone_never_mirror() -> None:
    image = batch(1)[0]
    variants = {x.tobytes() for x in changed(only(rotate90=True), np.repeat(image[None], 128, axis=0))}
    assert variants == {np.rot90(image, k).tobytes() for k in range(4)}


def test_images_that_are_not_square_are_turned_upside_down_only() -> None:
    image = batch(1, 10, 14)[0]
    variants = {x.tobytes() for x in changed(only(rotate90=True), np.repeat(image[None], 64, axis=0))}
    assert variants == {image.tobytes(), image[::-1, ::-1].tobytes()}


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    strength=st.floats(0, 0.99),
    names=st.sets(st.sampled_from([name for name in STRENGTHS if name != "jpeg"]), max_size=4),
    chance=st.floats(0, 1),
)
def test_values_stay_in_range_and_the_seed_decides_everything(
    seed: int, strength: float, names: set[str], chance: float
) -> None:
    images = batch(6, 10, 13)
    images[:2], images[2:4] = 0, 255
    recipe = only(flip=True, chance=chance, **dict.fromkeys(names, strength))
    first = changed(recipe, images, seed)
    assert 0 <= first.min() <= first.max() <= 255
    np.testing.assert_array_equal(first, changed(recipe, images, seed))


@pytest.mark.parametrize("chance", [0.1, 0.5, 0.9])
def test_each_change_is_drawn_by_its_chance(chance: float) -> None:
    images = batch(4000, 2, 2)
    assert share_changed(only(brightness=0.1, chance=chance), images) == pytest.approx(chance, abs=0.03)
    both_on = only(brightness=0.1, contrast=0.5, chance=chance)
    assert share_changed(both_on, images, 1) == pytest.approx(1 - (1 - chance) ** 2, abs=0.03)


@pytest.mark.parametrize("number", [1, 2])
def test_randaugment_draws_exactly_so_many_of_each_image_and_all_as_often(number: int) -> None:
    """Of a dark picture with a red half, three changes leave marks of their own.

    Only brightness moves the grey half's mean, only noise roughens it, only saturation changes the red half's spread.
    """
    images = np.full((1500, 6, 6, 3), 100, np.float32)
    images[:, :3, :, 0] = 160  # bright enough to show, dark enough that nothing is clipped
    result = changed(only(randaugment=number, brightness=0.3, saturation=0.9, noise=1e-4), images)
    grey, red = result[:, 3:], result[:, :3]
    marks = np.stack(
        [
            np.abs(grey.mean((1, 2, 3)) - 100) > 0.05,
            np.abs(np.ptp(red.mean((1, 2)), axis=1) - 60) > 0.05,
            np.ptp(grey.reshape(1500, -1), axis=1) > 1e-4,
        ],
        axis=1,
    )
    assert (marks.sum(1) <= number).all()
    assert (marks.sum(1) == number).mean() > 0.97  # an amount may be too small to leave a mark
    np.testing.assert_allclose(marks.mean(0), number / 3, atol=0.05)


def test_randaugment_of_all_changes_does_them_all() -> None:
    recipe = only(brightness=0.2, contrast=0.3, saturation=0.3)
    with_randaugment = msgspec.structs.replace(recipe, randaugment=3)
    np.testing.assert_array_equal(changed(with_randaugment, batch()), changed(recipe, batch()))


def test_every_image_gets_one_of_the_tables_each_as_often() -> None:
    images = np.full((3000, 3, 3, 3), 100, np.float32)
    tables = (
        AugmentOps(),
        AugmentOps(brightness=0.3),
        AugmentOps(noise=0.2),
        AugmentOps(brightness=1e-3, randaugment=1),
    )
    result = changed(only(one_of=tables), images).reshape(3000, -1)
    shift, rough = np.abs(result.mean(1) - 100), np.ptp(result, axis=1) > 1e-3
    shares = [shift == 0, ~rough & (shift > 0.26), rough, ~rough & (shift > 0) & (shift <= 0.26)]
    assert sum(share.mean() for share in shares) == pytest.approx(1)
    np.testing.assert_allclose([share.mean() for share in shares], 0.25, atol=0.03)


def test_a_phase_may_leave_some_images_without_one_of_them() -> None:
    images = np.full((3000, 3, 3, 3), 100, np.float32)
    recipe = only(brightness=0.2, one_of=(AugmentOps(noise=0.2), AugmentOps(noise=0.2)))
    for share in (0.0, 0.3, 1.0):
        labels, seed = tf.constant(classes(3000)), tf.constant([0, 0])
        result, _ = augment(tf.constant(images), labels, seed, recipe, one_of_share=share)
        rough = np.ptp(np.asarray(result).reshape(3000, -1), axis=1) > 1e-3
        assert rough.mean() == pytest.approx(share, abs=0.03)
        assert (np.asarray(result) != images).any((1, 2, 3)).all()


def test_they_come_after_the_operations_for_all() -> None:
    images = np.full((32, 4, 4, 3), 100, np.float32)
    recipe = only(brightness=0.3, one_of=(AugmentOps(solarize=1.0),))
    shifted = changed(only(brightness=0.3), images)
    result = changed(recipe, images)
    inverted = result != shifted
    np.testing.assert_allclose(result[inverted], 255 - shifted[inverted], atol=1e-3)
    assert 0 < inverted.mean() < 1


def test_mixup_blends_with_the_neighbour_and_labels_say_how_much() -> None:
    images = batch(64)
    result, labels = both(only(mixup=0.4), images)
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)
    own, other = images, np.roll(images, 1, 0)
    kept = (labels * classes(64)).sum(1)[:, None, None, None]
    np.testing.assert_allclose(result, kept * own + (1 - kept) * other, atol=0.01)
    assert kept.min() < 0.1
    assert kept.max() > 0.9
    assert 0.4 < kept.mean() < 0.6


def test_cutmix_pastes_a_rectangle_and_labels_are_its_share_of_the_pixels() -> None:
    images = batch(64, 16, 20)
    result, labels = both(only(cutmix=1.0), images)
    own, other = (result == images).all(-1), (result == np.roll(images, 1, 0)).all(-1)
    assert (own | other).all()
    np.testing.assert_allclose((labels * classes(64)).sum(1), own.mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)
    for pasted in ~own:
        if pasted.any():
            rows, columns = np.flatnonzero(pasted.any(1)), np.flatnonzero(pasted.any(0))
            assert pasted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert (~own).mean((1, 2)).max() > 0.5


def test_with_both_kinds_of_mixing_a_coin_decides_for_each_image() -> None:
    images = batch(256, 8, 8)
    result, labels = both(only(mixup=1.0, cutmix=1.0), images)
    cut = ((result == images) | (result == np.roll(images, 1, 0))).all((1, 2, 3))
    assert 0.4 < cut.mean() < 0.6
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
@pytest.mark.parametrize("alpha", [0.001, 0.05, 50.0])
def test_mixing_is_finite_whatever_its_parameter(kind: str, alpha: float) -> None:
    """A gamma draw with a tiny parameter is below what float32 can hold."""
    result, labels = both(only(**{kind: alpha}), batch(512, 4, 4))
    assert np.isfinite(result).all()
    assert np.isfinite(labels).all()
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)


def test_a_batch_of_one_image_can_only_be_mixed_with_itself() -> None:
    result, labels = both(only(mixup=1.0, cutmix=1.0), batch(1))
    np.testing.assert_allclose(result, batch(1), atol=0.01)
    np.testing.assert_allclose(labels, classes(1), atol=1e-6)
