"""Random changes of training images."""

import msgspec
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from bctoolkit.recipes import Augment
from bctoolkit.train.augment import augment

NOTHING = Augment(flip=False, rotate90=False, brightness=0, contrast=0, saturation=0)


def batch(count: int = 64, height: int = 12, width: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3)).astype(np.float32)


def changed(recipe: Augment, images: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.asarray(augment(tf.constant(images), tf.constant([seed, 0]), recipe))


def test_nothing_switched_on_changes_nothing() -> None:
    np.testing.assert_allclose(changed(NOTHING, batch()), batch(), atol=1e-3)


def test_images_of_one_batch_are_changed_each_in_its_own_way() -> None:
    same = np.repeat(batch(1), 64, axis=0)
    result = changed(Augment(), same)
    assert len(np.unique(result.reshape(64, -1).round(2), axis=0)) > 60


def test_flips_and_turns_give_all_eight_symmetries_of_a_square_and_nothing_else() -> None:
    image = batch(1)[0]
    turns = [np.rot90(image, k) for k in range(4)]
    expected = {t.tobytes() for t in turns} | {t[:, ::-1].tobytes() for t in turns}
    recipe = msgspec.structs.replace(NOTHING, flip=True, rotate90=True)
    found = {x.round().astype(np.float32).tobytes() for x in changed(recipe, np.repeat(image[None], 256, axis=0))}
    assert found == expected


def test_turns_alone_never_mirror() -> None:
    image = batch(1)[0]
    recipe = msgspec.structs.replace(NOTHING, rotate90=True)
    found = {x.round().astype(np.float32).tobytes() for x in changed(recipe, np.repeat(image[None], 128, axis=0))}
    assert found == {np.rot90(image, k).tobytes() for k in range(4)}


def test_images_that_are_not_square_keep_their_shape() -> None:
    images = batch(8, 10, 14)
    assert changed(Augment(), images).shape == images.shape


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), strength=st.floats(0, 0.9))
def test_values_stay_in_range_and_the_seed_decides_everything(seed: int, strength: float) -> None:
    recipe = Augment(brightness=strength, contrast=strength, saturation=strength)
    first = changed(recipe, batch(8), seed)
    assert first.min() >= 0
    assert first.max() <= 255
    np.testing.assert_array_equal(first, changed(recipe, batch(8), seed))


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_each_strength_changes_colours_within_its_bound(name: str) -> None:
    images = np.full((64, 8, 8, 3), 100, np.float32)
    images[..., 0], images[:, :4] = 120, images[:, :4] + 20
    result = changed(msgspec.structs.replace(NOTHING, **{name: 0.2}), images)
    difference = np.abs(result - images)
    assert difference.max() > 0.5
    assert difference.max() <= 0.2 * 255 + 1e-3
