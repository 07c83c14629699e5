"""What the features of a picture are, of any size and number of channels, and how far two lie apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bctoolkit.statistics.image_features import CHUNK, feature_count, image_features
from bctoolkit.statistics.neighbours import NEAREST, Neighbours


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.integers(1, 7))
def test_any_picture_has_finite_features(seed: int, height: int, width: int, channels: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (3, height, width, channels), dtype=np.uint8)
    features = image_features(images)
    assert features.shape == (3, feature_count(channels))
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_a_plain_picture_has_its_colour_and_no_contrast() -> None:
    features = image_features(np.full((1, 96, 96, 3), (200, 10, 60), np.uint8))[0]
    assert features[:12] == pytest.approx([200, 10, 60] * 4, rel=1e-4)
    assert features[12:24] == pytest.approx(0, abs=0.1)
    assert features[24:] == pytest.approx(np.log(0.5), abs=1e-3)


def test_rings_tell_the_middle_from_the_ground() -> None:
    image = np.full((1, 96, 96, 1), 200, np.uint8)
    image[:, 36:60, 36:60] = 50
    means = image_features(image)[0, :4]
    assert means[0] < 120
    assert means[2:] == pytest.approx(200)


def test_which_way_up_a_picture_is_hardly_matters() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 96, 96, 3), dtype=np.uint8)
    turned = image_features(np.rot90(images, axes=(1, 2)))
    features = image_features(images)
    assert turned[:, :24] == pytest.approx(features[:, :24], abs=0.05)
    assert turned[:, [25, 24]] == pytest.approx(features[:, 24:], abs=1e-4)


def test_features_do_not_depend_on_the_batch_or_the_type() -> None:
    images = np.random.default_rng(0).integers(0, 256, (CHUNK + 3, 17, 23, 3), dtype=np.uint8)
    together = image_features(images)
    assert image_features(images[-1:])[0] == pytest.approx(together[-1], rel=1e-5)
    assert np.array_equal(image_features(images.astype(np.float32)), together)


def test_the_distance_is_that_to_the_third_nearest() -> None:
    rng = np.random.default_rng(0)
    stored, new = rng.normal(size=(50, 6)).astype(np.float32), rng.normal(size=(7, 6)).astype(np.float32)
    scaled, other = ((each - stored.mean(0)) / stored.std(0) for each in (stored, new))
    expected = np.sort(np.linalg.norm(other[:, None] - scaled[None], axis=2), axis=1)[:, NEAREST - 1]
    neighbours = Neighbours(stored)
    assert neighbours.distances(new) == pytest.approx(expected, rel=1e-3)
    among = np.sort(np.linalg.norm(scaled[:, None] - scaled[None], axis=2), axis=1)[:, NEAREST]
    assert neighbours.among_themselves == pytest.approx(among, rel=1e-3)


def test_what_never_varied_may_vary_a_little() -> None:
    stored = np.tile(np.array([[5, 1]], np.float32), (10, 1))
    near, far = Neighbours(stored).distances(np.array([[5.1, 1], [90, 1]], np.float32))
    assert near == pytest.approx(1, rel=1e-3)
    assert far == pytest.approx(850, rel=1e-3)
