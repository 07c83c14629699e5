"""Calibration: which images, and which ranges follow from them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bctoolkit.data import Dataset, Parts, split
from bctoolkit.documents.quantization import Method
from bctoolkit.errors import DatasetError, ExportError
from bctoolkit.export.calibration.ranges import RangeCollector, choose
from bctoolkit.recipes import Split

Values = NDArray[np.float32]
METHODS: tuple[Method, ...] = ("minmax", "percentile", "entropy")
batches = st.lists(
    hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-1e6, 1e6, width=32)), min_size=1, max_size=4
)


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """Two hundred one-colour images of three classes; the last class is rare."""
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(200) < 12, 2, np.arange(200) % 2)
    images = rng.integers(0, 256, (200, 1, 1, 3), dtype=np.uint8) * np.ones((1, 4, 4, 1), np.uint8)
    return Dataset(images, labels, ("ant", "bee", "cat"), rng.integers(0, 256, (200, 32), np.uint8), "drawn")


@pytest.fixture(scope="session")
def parts(dataset: Dataset) -> Parts:
    return split(dataset, Split())


def collected(method: Method, *given: Values, percentile: float = 99.0) -> tuple[float, float]:
    collector = RangeCollector(method, percentile)
    for values in given:
        collector.update({"tensor": values})
    return collector.ranges()["tensor"]


def test_images_are_of_every_class_in_turn_and_of_the_training_part_only(dataset: Dataset, parts: Parts) -> None:
    found = choose(dataset, parts, 30)
    train = {bytes(row) for row in dataset.hashes[parts.train]}
    assert {bytes(row) for row in found.hashes} <= train
    rare = int((dataset.labels[parts.train] == 2).sum())
    assert found.counts == {"ant": 10, "bee": 10, "cat": 10} if rare >= 10 else {"cat": rare}
    for image, key in zip(found.images, found.hashes, strict=True):
        (place,) = np.flatnonzero((dataset.hashes == key).all(1))
        np.testing.assert_array_equal(image, dataset.images[np.array([place])][0])


def test_the_choice_does_not_depend_on_the_order_of_the_set(dataset: Dataset, parts: Parts) -> None:
    order = np.random.default_rng(1).permutation(len(dataset))
    shuffled = dataset.take(order)
    np.testing.assert_array_equal(
        choose(shuffled, split(shuffled, Split()), 30).hashes, choose(dataset, parts, 30).hashes
    )


def test_no_more_images_than_there_are(dataset: Dataset, parts: Parts) -> None:
    assert len(choose(dataset, parts, 10_000).images) == len(parts.train)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_an_image_that_is_also_held_out_is_refused(dataset: Dataset, parts: Parts, part: str) -> None:
    leaky = replace(parts, **{part: np.append(getattr(parts, part), parts.train[:3])})
    with pytest.raises(DatasetError, match=f"3 of {len(parts.train)} calibration images are in the {part} part too"):
        choose(dataset, leaky, 10_000)


def test_a_copy_in_the_test_part_is_known_by_its_content(dataset: Dataset, parts: Parts) -> None:
    hashes = dataset.hashes.copy()
    hashes[parts.test[0]] = hashes[parts.train[0]]
    with pytest.raises(DatasetError, match=r"1 of .* in the test part too"):
        choose(replace(dataset, hashes=hashes), parts, 10_000)


def test_an_empty_training_part_is_refused(dataset: Dataset, parts: Parts) -> None:
    with pytest.raises(DatasetError, match="train part is empty"):
        choose(dataset, replace(parts, train=parts.train[:0]), 10)


@given(given=batches)
def test_minmax_is_exact(given: list[Values]) -> None:
    together = np.concatenate(given)
    assert collected("minmax", *given) == (together.min(), together.max())


@given(given=batches, method=st.sampled_from(METHODS))
def test_a_range_lies_within_the_values_and_does_not_depend_on_the_batches(given: list[Values], method: Method) -> None:
    together = np.concatenate(given)
    low, high = collected(method, *given)
    assert together.min() <= low <= high <= together.max()
    assert collected(method, together[::-1]) == (low, high)


@pytest.mark.parametrize("percentile", [90.0, 99.0, 99.99, 100.0])
def test_percentile_keeps_its_share_inside(percentile: float) -> None:
    sample = np.random.default_rng(0).standard_t(4, 50_000).astype(np.float32)
    low, high = collected("percentile", *np.split(sample, 10), percentile=percentile)
    tail = (100 - percentile) / 2
    bin_width = (sample.max() - sample.min()) / 4096
    np.testing.assert_allclose([low, high], np.percentile(sample, [tail, 100 - tail]), rtol=0, atol=bin_width)


def test_entropy_leaves_a_lone_outlier_outside() -> None:
    sample = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    for outlier in (100.0, 1000.0):
        low, high = collected("entropy", sample, np.array([outlier], np.float32))
        assert low < -3
        assert 3 < high < outlier / 10


def test_entropy_keeps_values_that_are_evenly_spread() -> None:
    sample = np.random.default_rng(0).uniform(-3, 3, 100_000).astype(np.float32)
    np.testing.assert_allclose(collected("entropy", sample), (sample.min(), sample.max()), rtol=0.04)


def test_entropy_after_a_relu_is_not_ruled_by_the_zeros() -> None:
    positive = np.abs(np.random.default_rng(0).normal(size=50_000)).astype(np.float32)
    _, alone = collected("entropy", positive)
    low, high = collected("entropy", positive, np.zeros(200_000, np.float32))
    assert low == 0
    assert high == pytest.approx(alone, rel=0.1)


def test_entropy_of_values_far_from_zero_stays_a_range() -> None:
    sample = np.random.default_rng(0).normal(1000, 1, 10_000).astype(np.float32)
    low, high = collected("entropy", sample)
    assert low < 999
    assert high > 1001


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 3.5, -1e-30])
def test_a_constant_tensor_has_a_range_without_width(method: Method, value: float) -> None:
    constant = np.full((2, 3), value, np.float32)
    assert collected(method, constant, constant) == (float(constant[0, 0]), float(constant[0, 0]))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_by_name(method: Method, value: float) -> None:
    collector = RangeCollector(method)
    with pytest.raises(ExportError, match="stage_0/expand: 2 of 6 values are not finite"):
        collector.update({"stage_0/expand": np.array([[1, value, 2], [value, 3, 4]], np.float32)})


def test_tensors_are_kept_apart_and_may_change_their_shape() -> None:
    collector = RangeCollector()
    collector.update({"a": np.ones((2, 2), np.float32), "b": np.full(3, -5, np.float32)})
    collector.update({"a": np.full((1, 7), 4, np.float32)})
    assert collector.ranges() == {"a": (1, 4), "b": (-5, -5)}
