"""The synthetic set: the same everywhere, labelled as what it is, and worth classifying."""

import numpy as np
import pytest

from bctoolkit.contract import InputContract
from bctoolkit.data import load
from bctoolkit.data.sources.synthetic import CLASSES, draw


def test_same_arguments_draw_the_same_pictures() -> None:
    first, second = draw(3, seed=5, size=32), draw(3, seed=5, size=32)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert first[2] == second[2]


def test_another_seed_draws_other_pictures() -> None:
    first, second = draw(2, seed=0, size=32)[0], draw(2, seed=1, size=32)[0]
    assert not any(np.array_equal(one, other) for one in first for other in second)


def test_every_class_name_says_synthetic() -> None:
    assert len(set(CLASSES)) == 8
    assert all(name.startswith("synthetic_") for name in CLASSES)


@pytest.mark.parametrize("size", [16, 48])
def test_pictures_have_the_size_asked_for(size: int) -> None:
    images, labels, classes = draw(2, seed=0, size=size)
    assert images.shape == (16, size, size, 3)
    assert images.dtype == np.uint8
    assert classes == CLASSES
    np.testing.assert_array_equal(np.bincount(labels), [2] * 8)


def test_pictures_are_neither_blank_nor_alike() -> None:
    images = draw(10, seed=0, size=32)[0]
    assert images.std(axis=(1, 2, 3)).min() > 5
    assert len({image.tobytes() for image in images}) == len(images)


def test_classes_can_be_told_apart() -> None:
    """The nearest class mean of tiny thumbnails already does far better than chance (1 in 8)."""
    thumbnails = {
        seed: draw(20, seed, size=32)[0].reshape(160, 8, 4, 8, 4, 3).mean((2, 4)).reshape(160, -1) for seed in (0, 1)
    }
    labels = np.repeat(np.arange(8), 20)
    means = np.stack([thumbnails[0][labels == i].mean(0) for i in range(8)])
    nearest = np.linalg.norm(thumbnails[1][:, None] - means, axis=2).argmin(1)
    assert (nearest == labels).mean() > 0.4


def test_loading_synthetic_says_so_and_fits_the_contract() -> None:
    dataset = load("synthetic", InputContract(height=24, width=32))
    assert dataset.images.shape == (960, 24, 32, 3)
    assert dataset.images.dtype == np.uint8
    assert (dataset.kind, dataset.source, dataset.classes) == ("synthetic", "synthetic", CLASSES)
    np.testing.assert_array_equal(np.bincount(dataset.labels), [120] * 8)
