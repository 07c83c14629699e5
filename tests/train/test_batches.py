"""Batches for training."""

from itertools import chain, islice
from typing import Any

import numpy as np
import pytest

from bctoolkit.data import Dataset
from bctoolkit.recipes import Augment, AugmentOps, Phase, TrainRecipe
from bctoolkit.train.batches import evaluation_batches, steps_per_epoch, training_batches

PLAIN = Augment(flip=False, rotate90=False, brightness=0, contrast=0, saturation=0)
PHASES = (Phase("all", 1, 1e-3, ("*",)),)


@pytest.fixture
def dataset() -> Dataset:
    """Twenty images, each of one grey value, its own number."""
    images = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    hashes = np.random.default_rng(0).integers(0, 256, (20, 32), dtype=np.uint8)
    return Dataset(images, np.arange(20) % 2, ("even", "odd"), hashes, "numbers")


def numbers(dataset: Dataset, index: np.ndarray, recipe: TrainRecipe, first: int, steps: int) -> list[list[int]]:
    """The images of each batch, recognized by their grey value; labels are checked on the way."""
    batches = []
    for images, labels in islice(training_batches(dataset, index, recipe, first), steps):
        values = np.rint(np.asarray(images)[:, 0, 0, 0]).astype(int)
        assert (np.asarray(labels).argmax(1) == values % 2).all()
        batches.append(values.tolist())
    return batches


def test_an_epoch_holds_each_training_image_once_in_an_order_of_its_own(dataset: Dataset) -> None:
    recipe, index = TrainRecipe(phases=PHASES, batch_size=4, augment=PLAIN), np.arange(10)
    assert steps_per_epoch(10, recipe) == 3
    batches = numbers(dataset, index, recipe, 0, 6)
    first, second = (list(chain.from_iterable(part)) for part in (batches[:3], batches[3:]))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_the_seed_and_the_epoch_decide_the_order(dataset: Dataset) -> None:
    recipe, index = TrainRecipe(phases=PHASES, batch_size=4, augment=PLAIN, seed=7), np.arange(20)
    whole = numbers(dataset, index, recipe, 0, 10)
    assert numbers(dataset, index, recipe, 0, 10) == whole
    assert numbers(dataset, index, recipe, 5, 5) == whole[5:]
    assert numbers(dataset, index, TrainRecipe(phases=PHASES, batch_size=4, augment=PLAIN), 0, 10) != whole


def test_every_epoch_changes_an_image_anew(dataset: Dataset) -> None:
    recipe = TrainRecipe(phases=PHASES, batch_size=1, augment=Augment(noise=0.5))
    batches = [np.asarray(images) for images, _ in islice(training_batches(dataset, np.array([9]), recipe, 0), 6)]
    assert len({batch.tobytes() for batch in batches}) == 6


def test_shrunk_images_are_means_of_what_each_pixel_covers() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 12, 3), dtype=np.uint8)
    dataset = Dataset(images, np.arange(6) % 2, ("even", "odd"), np.zeros((6, 32), np.uint8), "noise")
    recipe, index = TrainRecipe(phases=PHASES, batch_size=6, augment=PLAIN), np.arange(6)
    expected = images.reshape(6, 4, 2, 6, 2, 3).mean((2, 4))
    (evaluated, _), *_ = evaluation_batches(dataset, index, 6, (4, 6, 3))
    np.testing.assert_allclose(evaluated, expected, atol=1e-3)
    trained, labels = next(iter(training_batches(dataset, index, recipe, 0, shape=(4, 6, 3))))
    order = [int(np.abs(expected - image).max((1, 2, 3)).argmin()) for image in np.asarray(trained)]
    assert sorted(order) == list(range(6))
    np.testing.assert_allclose(trained, expected[order], atol=1e-3)
    np.testing.assert_array_equal(np.asarray(labels).argmax(1), dataset.labels[order])


def test_images_of_their_own_shape_are_not_touched(dataset: Dataset) -> None:
    (images, _), *_ = evaluation_batches(dataset, np.arange(20), 20, (8, 8, 3))
    np.testing.assert_array_equal(images, np.asarray(dataset.images[:], np.float32))


def test_evaluation_keeps_order_and_pixels(dataset: Dataset) -> None:
    index = np.array([3, 1, 2])
    images = np.concatenate([np.asarray(images) for images, _ in evaluation_batches(dataset, index, 2)])
    np.testing.assert_array_equal(images, dataset.images[index].astype(np.float32))


def test_an_epoch_can_be_cut_short(dataset: Dataset) -> None:
    recipe = TrainRecipe(phases=PHASES, batch_size=4, augment=PLAIN, most_steps=2)
    assert steps_per_epoch(20, recipe) == 2
    assert steps_per_epoch(4, recipe) == 1
    whole = TrainRecipe(phases=PHASES, batch_size=4, augment=PLAIN)
    batches = numbers(dataset, np.arange(20), recipe, 0, 4)
    assert batches[:2] == numbers(dataset, np.arange(20), whole, 0, 2)
    assert batches[2:] == numbers(dataset, np.arange(20), whole, 5, 2)  # the next epoch begins with its fifth


def raw(dataset: Dataset, recipe: TrainRecipe, first: int, steps: int) -> list[tuple[bytes, bytes]]:
    batches = islice(training_batches(dataset, np.arange(10), recipe, first), steps)
    return [(np.asarray(images).tobytes(), np.asarray(labels).tobytes()) for images, labels in batches]


def test_training_can_resume_at_any_step_with_the_same_batches_to_the_last_bit(dataset: Dataset) -> None:
    one_of = (AugmentOps(noise=0.2), AugmentOps(rotate=40, blur=1.0))
    recipe = TrainRecipe(phases=PHASES, batch_size=4, augment=Augment(one_of=one_of, mixup=0.3, cutmix=1.0), seed=3)
    whole = raw(dataset, recipe, 0, 9)
    assert len(set(whole)) == 9
    for first in (2, 3):  # within an epoch, and at the next
        assert raw(dataset, recipe, first, 9 - first) == whole[first:]
    assert raw(dataset, TrainRecipe(phases=PHASES, batch_size=4, augment=recipe.augment, seed=4), 0, 9) != whole


def test_the_last_batch_of_an_epoch_is_smaller_and_none_is_empty(dataset: Dataset) -> None:
    recipe = TrainRecipe(phases=PHASES, batch_size=4, augment=PLAIN)
    sizes = [len(images) for images, _ in islice(training_batches(dataset, np.arange(10), recipe, 0), 6)]
    assert sizes == [4, 4, 2, 4, 4, 2]
    assert [len(images) for images, _ in evaluation_batches(dataset, np.arange(10), 4)] == [4, 4, 2]


class OnDisk:
    """Images that exist only once they are read; remembers which were."""

    def __init__(self, images: np.ndarray) -> None:
        self._images = images
        self.shape, self.dtype = images.shape, images.dtype
        self.read = list[int]()

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> np.ndarray:
        self.read += np.arange(len(self))[index].tolist()
        return self._images[index]


def test_images_are_read_only_when_their_batch_is_made(dataset: Dataset) -> None:
    images = OnDisk(dataset.images)  # type: ignore[arg-type]
    lazy = Dataset(images, dataset.labels, dataset.classes, dataset.hashes, "numbers")
    recipe = TrainRecipe(phases=PHASES, batch_size=1, augment=PLAIN)
    many = np.tile(np.arange(20), 500)
    assert numbers(lazy, many, recipe, 0, 3) == numbers(dataset, many, recipe, 0, 3)
    assert 3 <= len(images.read) < 200
    images.read.clear()
    batches = [np.asarray(batch) for batch, _ in evaluation_batches(lazy, np.array([7, 5]), 1)]
    assert sorted(images.read) == [5, 7]  # two threads may read in either order; the batches keep theirs
    assert [int(batch[0, 0, 0, 0]) for batch in batches] == [7, 5]
    assert [batch.dtype for batch in batches] == [np.float32] * 2
