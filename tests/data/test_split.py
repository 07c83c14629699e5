"""The split by content: stable, disjoint, proportionate, and never broken by copies."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.data import PARTS, Dataset, Parts, load, split
from bctoolkit.data.dataset import rows
from bctoolkit.data.split import SMALL, read, save
from bctoolkit.errors import DatasetError
from bctoolkit.recipes import Split
from tests.support.progress import Recorder

MakeImages = Callable[..., NDArray[np.uint8]]
MakeDataset = Callable[..., Dataset]
Save = Callable[..., str]

SHARES = Split()
POOL, BASE = 150, 60


def part_of(dataset: Dataset, parts: Parts) -> dict[bytes, str]:
    """Image hash → part; fails where copies of an image lie in two parts."""
    keys, parts_of = rows(dataset.hashes), dict[bytes, str]()
    for part in PARTS:
        for index in getattr(parts, part):
            assert parts_of.setdefault(keys[index], part) == part, "copies of one image straddle two parts"
    return parts_of


def within_binomial_bounds(count: int, total: int, share: float) -> bool:
    """Whether a count lies within five standard deviations of a binomial draw (missed once in a million)."""
    return abs(count - total * share) <= 5 * (total * share * (1 - share)) ** 0.5


@pytest.fixture(scope="session")
def pool(make_images: MakeImages, make_dataset: MakeDataset) -> Dataset:
    return make_dataset(make_images(POOL), np.arange(POOL) % 2)


@pytest.fixture(scope="session")
def pool_parts(pool: Dataset) -> dict[bytes, str]:
    return part_of(pool, split(pool, SHARES))


@settings(deadline=None, max_examples=50)
@given(
    rest=st.lists(st.integers(BASE, POOL - 1), unique=True),
    order=st.randoms(use_true_random=False),
    flipped=st.sets(st.integers(0, POOL - 1), max_size=20),
)
def test_an_image_keeps_its_part_whatever_the_set_around_it(
    pool: Dataset,
    pool_parts: dict[bytes, str],
    make_dataset: MakeDataset,
    rest: list[int],
    order: object,
    flipped: set[int],
) -> None:
    chosen = [*range(BASE), *rest]
    order.shuffle(chosen)  # type: ignore[attr-defined]
    labels = [int(pool.labels[i]) ^ (i in flipped) for i in chosen]
    other = make_dataset(pool.images[np.array(chosen)], labels)
    for key, part in part_of(other, split(other, SHARES)).items():
        assert part == pool_parts[key]


@settings(deadline=None, max_examples=50)
@given(copied=st.lists(st.tuples(st.integers(0, POOL - 1), st.integers(0, 1)), max_size=60))
def test_copies_never_straddle_even_under_two_labels(
    pool: Dataset, pool_parts: dict[bytes, str], make_dataset: MakeDataset, copied: list[tuple[int, int]]
) -> None:
    index = [*range(POOL), *(image for image, _ in copied)]
    labels = [*pool.labels.tolist(), *(label for _, label in copied)]
    doubled = make_dataset(pool.images[np.array(index)], labels)
    assert part_of(doubled, split(doubled, SHARES)) == pool_parts


@given(count=st.integers(BASE, POOL), validation=st.floats(0.1, 0.3), test=st.floats(0.1, 0.3))
def test_parts_are_disjoint_and_cover_the_set(pool: Dataset, count: int, validation: float, test: float) -> None:
    parts = split(pool.take(np.arange(count)), Split(validation=validation, test=test))
    together = np.concatenate([parts.train, parts.validation, parts.test])
    np.testing.assert_array_equal(np.sort(together), np.arange(count))


def test_the_container_does_not_decide_the_part(
    make_images: MakeImages, save_npz: Save, save_folders: Save, eight: InputContract
) -> None:
    images, labels, classes = make_images(80, seed=3), np.arange(80) % 2, ("a", "b")
    from_files = load(save_folders(images, labels, classes), eight)
    from_array = load(save_npz(images=images, labels=labels, classes=classes), eight)
    assert part_of(from_files, split(from_files, SHARES)) == part_of(from_array, split(from_array, SHARES))
    assert from_files.sha256 == from_array.sha256


def test_the_model_input_does_not_decide_the_part(make_images: MakeImages, save_npz: Save) -> None:
    path = save_npz(images=make_images(80, seed=3, height=10, width=12), labels=np.arange(80) % 2)
    small = load(path, InputContract(height=4, width=4))
    large = load(path, InputContract(height=16, width=16, crop="none", resize="nearest"))
    assert part_of(small, split(small, SHARES)) == part_of(large, split(large, SHARES))


def test_a_larger_test_share_only_adds_images_to_the_test_part(pool: Dataset) -> None:
    smaller = split(pool, Split(validation=0.15, test=0.15))
    larger = split(pool, Split(validation=0.15, test=0.3))
    assert set(smaller.test) < set(larger.test)


@pytest.mark.parametrize(
    ("first_bytes", "part"),
    [
        ("00", "test"),
        ("2666", "test"),
        ("2667", "validation"),
        ("4ccc", "validation"),
        ("4ccd", "train"),
        ("ff", "train"),
    ],
)
def test_the_rule_from_hash_to_part_is_fixed(pool: Dataset, first_bytes: str, part: str) -> None:
    """15 % of 2¹⁶ is 2666 in hexadecimal, 30 % is 4ccc. Another rule would test on what older runs trained on."""
    hashes = pool.hashes.copy()
    hashes[7] = np.frombuffer(bytes.fromhex(first_bytes).ljust(32, b"\0"), np.uint8)
    parts = split(Dataset(pool.images, pool.labels, pool.classes, hashes, "memory"), SHARES)
    assert 7 in getattr(parts, part)


@pytest.mark.parametrize("shares", [Split(), Split(validation=0.1, test=0.3)])
def test_every_class_is_split_in_the_same_proportions(
    make_images: MakeImages, make_dataset: MakeDataset, shares: Split
) -> None:
    sizes = {"rare": 300, "usual": 3_000, "common": 12_000}
    labels = np.repeat(np.arange(3), list(sizes.values()))
    dataset = make_dataset(make_images(len(labels), seed=1, height=2, width=2), labels, tuple(sizes))
    counts = split(dataset, shares).counts(dataset)
    expected = {"train": 1 - shares.validation - shares.test, "validation": shares.validation, "test": shares.test}
    for part, share in expected.items():
        for name, total in sizes.items():
            assert within_binomial_bounds(counts[part][name], total, share), (part, name, counts[part][name])
    assert {name: sum(counts[part][name] for part in PARTS) for name in sizes} == sizes


def test_a_published_split_is_kept(make_images: MakeImages, save_npz: Save, eight: InputContract) -> None:
    images = make_images(30)
    path = save_npz(
        train_images=images[:12],
        train_labels=np.arange(12)[:, None] % 2,
        val_images=images[12:20],
        val_labels=np.arange(8)[:, None] % 2,
        test_images=images[20:],
        test_labels=np.arange(10)[:, None] % 2,
    )
    parts = split(load(path, eight), SHARES)
    np.testing.assert_array_equal(parts.train, np.arange(12))
    np.testing.assert_array_equal(parts.validation, np.arange(12, 20))
    np.testing.assert_array_equal(parts.test, np.arange(20, 30))


def test_straddling_copies_of_a_published_split_stay_where_they_were_trained_on(
    make_images: MakeImages, make_dataset: MakeDataset
) -> None:
    images = make_images(12)
    images[9] = images[6] = images[1]  # train, validation, test
    images[10] = images[7]  # validation, test
    published = np.repeat([0, 1, 2], [6, 3, 3])
    dataset = make_dataset(images, np.arange(12) % 2, published=published)
    parts = split(dataset, SHARES)
    assert parts.train.tolist() == [0, 1, 2, 3, 4, 5, 6, 9]
    assert parts.validation.tolist() == [7, 8, 10]
    assert parts.test.tolist() == [11]
    part_of(dataset, parts)


def test_a_stored_split_reads_back_whatever_the_order(pool: Dataset, tmp_path: Path) -> None:
    parts = split(pool, SHARES)
    save(tmp_path / "split.npz", pool, parts)
    again = read(tmp_path / "split.npz", pool)
    for part in PARTS:
        np.testing.assert_array_equal(getattr(again, part), getattr(parts, part))
    shuffled = pool.take(np.random.default_rng(0).permutation(len(pool)))
    assert part_of(shuffled, read(tmp_path / "split.npz", shuffled)) == part_of(pool, parts)


def test_a_stored_split_leaves_out_images_it_does_not_know(
    pool: Dataset, make_images: MakeImages, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    save(tmp_path / "split.npz", pool, split(pool, SHARES))
    images = np.concatenate([make_images(20, seed=9), pool.images[:100]])
    grown = make_dataset(images, np.arange(120) % 2)
    parts = read(tmp_path / "split.npz", grown)
    together = np.concatenate([parts.train, parts.validation, parts.test])
    np.testing.assert_array_equal(np.sort(together), np.arange(20, 120))


def test_a_stored_split_needs_no_pickle(pool: Dataset, tmp_path: Path) -> None:
    save(tmp_path / "split.npz", pool, split(pool, SHARES))
    with np.load(tmp_path / "split.npz", allow_pickle=False) as stored:
        assert sorted(stored.files) == ["hashes", "part"]


def test_a_class_without_a_train_image_is_refused(pool: Dataset, make_dataset: MakeDataset) -> None:
    labels = np.zeros(POOL, int)
    labels[split(pool, SHARES).test] = 1
    dataset = make_dataset(pool.images, labels, ("plenty", "only_tested"))
    with pytest.raises(DatasetError, match=r"memory: class 'only_tested' has no image in the train part"):
        split(dataset, SHARES)


def test_a_set_of_one_class_is_refused(make_images: MakeImages, save_folders: Save, eight: InputContract) -> None:
    """It loads, as it may be evaluated, but nothing can be trained on it."""
    dataset = load(save_folders(make_images(60), np.zeros(60, int), ("only",)), eight)
    with pytest.raises(DatasetError, match=r"folders: holds one class only, 'only'; a classifier needs two or more"):
        split(dataset, SHARES)


def moved_out_of(part: str, pool: Dataset, make_dataset: MakeDataset, size: int, published: bool) -> Dataset:
    """The pool with a class `rare` of `size` images, none of them in `part`."""
    parts = split(pool, SHARES)
    labels = np.zeros(POOL, int)
    labels[parts.train[:size]] = 1
    where = np.zeros(POOL, np.int64)
    for position, name in enumerate(PARTS):
        where[getattr(parts, name)] = position
    other = next(name for name in PARTS[1:] if name != part)
    labels[getattr(parts, other)[0]], labels[parts.train[0]] = 1, 0
    return make_dataset(pool.images, labels, ("plenty", "rare"), where if published else None)


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize(("published", "remedy"), [(False, "a larger share"), (True, "move some of them there")])
def test_a_class_missing_in_a_part_is_refused(
    pool: Dataset, make_dataset: MakeDataset, part: str, published: bool, remedy: str
) -> None:
    dataset = moved_out_of(part, pool, make_dataset, SMALL, published)
    with pytest.raises(DatasetError) as caught:
        split(dataset, SHARES)
    assert f"memory: class 'rare' has none of its {SMALL} images in the {part} part; add images" in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_small_class_missing_in_a_part_by_chance_is_reported(
    pool: Dataset, make_dataset: MakeDataset, part: str
) -> None:
    recorder = Recorder()
    dataset = moved_out_of(part, pool, make_dataset, SMALL - 1, published=False)
    assert len(getattr(split(dataset, SHARES, recorder), part)) > 0
    assert recorder.lines == [
        f"memory: class 'rare' has none of its {SMALL - 1} images in the {part} part: no figure of that part says "
        "anything about it; add images of it"
    ]


@pytest.mark.parametrize("part", ["validation", "test"])
def test_an_empty_part_is_refused(pool: Dataset, part: str) -> None:
    keep = np.setdiff1d(np.arange(POOL), getattr(split(pool, SHARES), part))
    with pytest.raises(DatasetError, match=rf"memory: the {part} part is empty with {len(keep)} images"):
        split(pool.take(keep), SHARES)


@pytest.mark.real
@pytest.mark.soak
def test_real_images_load_and_split_in_proportion_without_copies_across_parts(real_cells: Dataset) -> None:
    assert real_cells.images.shape == (11_952, 96, 96, 3)
    assert len(real_cells.classes) == 8
    parts = split(real_cells, SHARES)
    assert sum(len(getattr(parts, part)) for part in PARTS) == len(real_cells)
    pixels = [{real_cells.images[i].tobytes() for i in getattr(parts, part)} for part in PARTS]
    assert sum(map(len, pixels)) == len(set.union(*pixels))
    counts = parts.counts(real_cells)
    totals = np.bincount(real_cells.labels)
    for part, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
        for total, (name, count) in zip(totals, counts[part].items(), strict=True):
            assert within_binomial_bounds(count, int(total), share), (part, name, count)


@pytest.mark.parametrize(
    "spoilt", [{"part": np.zeros(3, np.uint8)}, {"part": np.zeros(24)}, {"hashes": np.zeros((24, 8), np.uint8)}, {}]
)
def test_a_stored_split_that_is_none_is_refused(cells: Dataset, tmp_path: Path, spoilt: dict[str, Any]) -> None:
    arrays = {"hashes": cells.hashes, "part": np.zeros(24, np.uint8)} | spoilt
    np.savez(tmp_path / "split.npz", **(arrays if spoilt else {}))
    with pytest.raises(DatasetError, match=r"split\.npz"):
        read(tmp_path / "split.npz", cells)


def published(pool: Dataset, *parts: int) -> Dataset:
    """The pool as its publisher divided it, evenly into these parts."""
    return dataclasses.replace(pool, published=np.resize(np.repeat(parts, 2), len(pool)))


def test_a_published_split_is_kept_unless_it_is_not_wanted(pool: Dataset, pool_parts: dict[bytes, str]) -> None:
    divided = published(pool, 0, 1, 2)
    assert divided.published is not None
    kept = split(divided, SHARES)
    assert [len(part) for part in (kept.train, kept.validation, kept.test)] == np.bincount(divided.published).tolist()
    assert part_of(divided, split(divided, Split(by="content"))) == pool_parts


@pytest.mark.parametrize(
    ("there", "missing"), [((0, 2), "validation"), ((0, 1), "test"), ((0,), "validation and test")]
)
def test_a_part_that_is_missing_is_taken_from_training(
    pool: Dataset, pool_parts: dict[bytes, str], there: tuple[int, ...], missing: str
) -> None:
    divided, progress = published(pool, *there), Recorder()
    assert divided.published is not None
    parts = split(divided, SHARES, progress)
    assert f"comes without images for {missing}: they are taken from those for training" in progress.lines[0]
    for part in range(1, 3):
        index = getattr(parts, PARTS[part])
        if part in there:
            np.testing.assert_array_equal(index, np.flatnonzero(divided.published == part))
        else:
            assert {divided.published[i] for i in index} == {0}
            assert {pool_parts[key] for key in rows(divided.hashes[index])} == {PARTS[part]}


def test_an_image_of_two_published_parts_counts_for_the_first_and_is_counted(pool: Dataset) -> None:
    divided = published(pool, 0, 1, 2)
    twice = divided.take(np.concatenate([np.arange(POOL), [0, 1]]))
    assert twice.published is not None
    twice.published[-2:] = 2
    progress = Recorder()
    part_of(twice, split(twice, SHARES, progress))
    assert "2 images of a later part are in an earlier one, too" in progress.lines[0]
