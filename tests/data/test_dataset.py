"""`Dataset`: order, identity, and the content hash."""

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bctoolkit.data import Dataset
from bctoolkit.data.dataset import content_hash, positions, rows, stratified
from bctoolkit.errors import DatasetError

MakeImages = Callable[..., NDArray[np.uint8]]
MakeDataset = Callable[..., Dataset]


@pytest.fixture(scope="session")
def three_classes(make_images: MakeImages, make_dataset: MakeDataset) -> Dataset:
    labels = np.arange(12) % 3
    return make_dataset(make_images(12), labels, ("ant", "bee", "cat"), published=np.arange(12) % 2)


def test_length_is_the_number_of_images(three_classes: Dataset) -> None:
    assert len(three_classes) == 12


def test_take_keeps_everything_of_an_image_together_and_in_order(three_classes: Dataset) -> None:
    index = np.array([7, 0, 7, 3])
    taken = three_classes.take(index)
    assert three_classes.published is not None
    assert taken.published is not None
    np.testing.assert_array_equal(taken.images, three_classes.images[index])
    np.testing.assert_array_equal(taken.labels, [1, 0, 1, 0])
    np.testing.assert_array_equal(taken.hashes, three_classes.hashes[index])
    np.testing.assert_array_equal(taken.published, three_classes.published[index])
    assert (taken.classes, taken.source, taken.kind) == (three_classes.classes, "memory", "real")


def test_take_of_a_synthetic_set_stays_synthetic(three_classes: Dataset) -> None:
    fields = {name: getattr(three_classes, name) for name in ("images", "labels", "classes", "hashes")}
    synthetic = Dataset(**fields, source="synthetic", kind="synthetic")
    assert synthetic.take(np.array([0])).kind == "synthetic"
    assert synthetic.take(np.array([0])).published is None


def test_in_order_of_renumbers_labels_and_keeps_their_names(three_classes: Dataset) -> None:
    order = ("dog", "cat", "ant", "bee")
    renumbered = three_classes.in_order_of(order)
    before = [three_classes.classes[label] for label in three_classes.labels]
    assert [order[label] for label in renumbered.labels] == before
    assert renumbered.classes == order
    np.testing.assert_array_equal(renumbered.images, three_classes.images)
    np.testing.assert_array_equal(renumbered.hashes, three_classes.hashes)


def test_in_order_of_names_the_class_that_is_not_known(three_classes: Dataset) -> None:
    with pytest.raises(DatasetError, match=r"memory: class 'bee' is not one of ant, cat"):
        three_classes.in_order_of(("ant", "cat"))


@given(order=st.permutations(range(12)))
def test_sha256_does_not_depend_on_the_order_of_images(three_classes: Dataset, order: list[int]) -> None:
    assert three_classes.take(np.array(order)).sha256 == three_classes.sha256


def test_sha256_does_not_depend_on_the_order_of_classes(three_classes: Dataset) -> None:
    assert three_classes.in_order_of(("cat", "bee", "ant")).sha256 == three_classes.sha256


def test_sha256_changes_with_one_image_fewer(three_classes: Dataset) -> None:
    assert three_classes.take(np.arange(11)).sha256 != three_classes.sha256


def test_sha256_changes_with_one_image_twice(three_classes: Dataset) -> None:
    assert three_classes.take(np.append(np.arange(12), 0)).sha256 != three_classes.sha256


def test_sha256_changes_when_two_images_swap_labels(make_images: MakeImages, make_dataset: MakeDataset) -> None:
    images = make_images(4)
    assert make_dataset(images, [0, 0, 1, 1]).sha256 != make_dataset(images, [0, 1, 0, 1]).sha256


def test_sha256_changes_with_one_pixel(make_images: MakeImages, make_dataset: MakeDataset) -> None:
    images = make_images(4)
    touched = images.copy()
    touched[2, 3, 4, 1] ^= 1
    assert make_dataset(images, [0, 0, 1, 1]).sha256 != make_dataset(touched, [0, 0, 1, 1]).sha256


def test_content_hash_depends_on_shape(make_images: MakeImages) -> None:
    image = make_images(1, height=4, width=6)[0]
    hashes = {content_hash(image), content_hash(image.reshape(6, 4, 3)), content_hash(image.reshape(2, 12, 3))}
    assert len(hashes) == 3


def test_content_hash_depends_on_pixels_and_not_on_memory_layout(make_images: MakeImages) -> None:
    image = make_images(1)[0]
    assert content_hash(np.asfortranarray(image)) == content_hash(image)
    assert content_hash(image[::-1]) != content_hash(image)
    assert content_hash(image[::-1][::-1]) == content_hash(image)


def test_content_hash_is_sha256_of_shape_and_pixels() -> None:
    """Stored splits and references hold these hashes: another definition would orphan all of them."""
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert content_hash(image) == hashlib.sha256(b"(2, 2, 3)" + bytes(range(12))).digest()


def test_rows_are_the_hashes_as_bytes(three_classes: Dataset) -> None:
    assert rows(three_classes.hashes) == [content_hash(image) for image in three_classes.images[:]]


def test_positions_lead_back_to_the_row_that_equals() -> None:
    table = np.arange(4 * 32, dtype=np.uint8).reshape(4, 32)
    hashes = np.concatenate([table[[2, 0]], np.full((1, 32), 255, np.uint8), table[[2]]])
    assert positions(hashes, table).tolist() == [2, 0, -1, 2]
    assert positions(hashes, table[:0]).tolist() == [-1] * 4


def test_chosen_images_are_stratified_and_do_not_depend_on_the_order(three_classes: Dataset) -> None:
    index = np.arange(len(three_classes))
    chosen = stratified(three_classes, index, 6)
    assert np.bincount(three_classes.labels[chosen]).tolist() == [2, 2, 2]
    assert stratified(three_classes, index[::-1], 6).tolist() == chosen.tolist()


def test_choosing_more_images_adds_to_fewer(three_classes: Dataset) -> None:
    index = np.arange(len(three_classes))
    chosen = stratified(three_classes, index, 100)
    assert sorted(chosen) == index.tolist()
    assert stratified(three_classes, index, 5).tolist() == chosen[:5].tolist()
