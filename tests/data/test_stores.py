"""Images left on disk behave as the same images in memory, wherever the set came from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, load
from bctoolkit.data.dataset import rows
from bctoolkit.data.stores import LazyImages, save_npy, take
from bctoolkit.errors import DatasetError

MakeImages = Callable[..., NDArray[np.uint8]]
COUNT = 40
CONTRACTS = {
    "untouched": InputContract(height=26, width=30, crop="none"),
    "resized": InputContract(height=12, width=16),
    "cropped": InputContract(height=20, width=20, crop=20),
    "float32": InputContract(height=12, width=12, dtype="float32"),
}


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory, make_images: MakeImages) -> dict[str, str]:
    """The same set in every form that can stay on disk. Read only."""
    root = tmp_path_factory.mktemp("sources")
    images, labels, names = make_images(COUNT, height=26, width=30), np.arange(COUNT) % 4, ["ant", "bee", "cat", "dog"]
    (root / "arrays").mkdir()
    np.save(root / "arrays" / "images.npy", images)
    np.save(root / "arrays" / "labels.npy", labels)
    (root / "arrays" / "classes.txt").write_text("\n".join(names))
    np.savez(root / "set.npz", images=images, labels=labels, classes=names)
    parts = {"train": slice(20), "val": slice(20, 32), "test": slice(32, COUNT)}
    medmnist: dict[str, Any] = {f"{part}_images": images[own] for part, own in parts.items()}
    medmnist |= {f"{part}_labels": labels[own, None] for part, own in parts.items()}
    np.savez(root / "medmnist.npz", **medmnist)
    for position, (image, label) in enumerate(zip(images, labels, strict=True)):
        (root / "folders" / names[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / "folders" / names[label] / f"{position:03d}.png")
    return {name: str(root / name) for name in ("arrays", "set.npz", "medmnist.npz", "folders")}


@pytest.fixture(params=["arrays", "set.npz", "medmnist.npz", "folders"])
def source(request: pytest.FixtureRequest, sources: dict[str, str]) -> str:
    return sources[request.param]


@pytest.fixture(scope="session")
def lazy(sources: dict[str, str]) -> Dataset:
    return load(sources["arrays"], CONTRACTS["resized"], most_in_memory=0)


@pytest.fixture(scope="session")
def eager(sources: dict[str, str]) -> Dataset:
    return load(sources["arrays"], CONTRACTS["resized"])


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_what_stays_on_disk_is_what_would_be_in_memory(source: str, contract: InputContract) -> None:
    lazy, eager = load(source, contract, most_in_memory=0), load(source, contract)
    assert isinstance(lazy.images, LazyImages)
    assert isinstance(eager.images, np.ndarray)
    assert (lazy.images.shape, lazy.images.dtype, len(lazy.images)) == (
        eager.images.shape,
        eager.images.dtype,
        len(eager.images),
    )
    assert lazy.images[:].dtype == np.uint8
    np.testing.assert_array_equal(lazy.images[:], eager.images)
    np.testing.assert_array_equal(lazy.hashes, eager.hashes)
    np.testing.assert_array_equal(lazy.labels, eager.labels)
    assert (lazy.classes, lazy.source, lazy.sha256) == (eager.classes, eager.source, eager.sha256)
    np.testing.assert_array_equal(lazy.published, eager.published)


def test_the_limit_is_on_the_prepared_images(sources: dict[str, str]) -> None:
    contract = InputContract(height=8, width=10)
    needed = COUNT * 8 * 10 * 3
    assert isinstance(load(sources["folders"], contract, most_in_memory=needed).images, np.ndarray)
    assert isinstance(load(sources["folders"], contract, most_in_memory=needed - 1).images, LazyImages)


@given(index=st.lists(st.integers(-COUNT, COUNT - 1), max_size=12))
def test_any_positions_in_any_order_are_given(lazy: Dataset, eager: Dataset, index: list[int]) -> None:
    positions = np.array(index, np.int64)
    np.testing.assert_array_equal(lazy.images[positions], eager.images[positions])


@given(cut=st.slices(COUNT))
def test_any_slice_is_given(lazy: Dataset, eager: Dataset, cut: slice) -> None:
    np.testing.assert_array_equal(lazy.images[cut], eager.images[cut])


@given(first=st.permutations(range(COUNT)), second=st.lists(st.integers(0, 19), max_size=8))
def test_what_is_taken_stays_on_disk(lazy: Dataset, eager: Dataset, first: list[int], second: list[int]) -> None:
    once, twice = np.array(first[:20]), np.array(second, np.int64)
    taken = lazy.take(once).take(twice)
    assert isinstance(taken.images, LazyImages)
    np.testing.assert_array_equal(taken.images[:], eager.images[once][twice])
    assert rows(taken.hashes) == rows(eager.hashes[once][twice])


def test_take_of_an_array_is_an_array(eager: Dataset) -> None:
    assert isinstance(take(eager.images, np.array([2, 0])), np.ndarray)


def test_a_position_outside_is_an_error(lazy: Dataset) -> None:
    with pytest.raises(IndexError):
        lazy.images[np.array([COUNT])]


@pytest.mark.parametrize("count", [1, 255, 256, 257, 600])
def test_a_written_npy_is_numpys_own(tmp_path: Path, make_images: MakeImages, count: int) -> None:
    images = make_images(count, height=3, width=5)
    save_npy(tmp_path / "ours.npy", images)
    np.save(tmp_path / "numpys.npy", images)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpys.npy").read_bytes()


def test_lazy_images_are_written_too(tmp_path: Path, lazy: Dataset, eager: Dataset) -> None:
    save_npy(tmp_path / "images.npy", lazy.take(np.arange(7)).images)
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), eager.images[:7])


class TestChangedMeanwhile:
    """A set on disk may be spoilt after it was loaded."""

    contract = CONTRACTS["resized"]

    @pytest.fixture
    def folders(self, tmp_path: Path, make_images: MakeImages) -> Path:
        for name in ("ant", "bee"):
            (tmp_path / name).mkdir()
            Image.fromarray(make_images(1, height=26, width=30)[0]).save(tmp_path / name / "1.png")
        return tmp_path

    def test_a_file_that_has_gone_is_named(self, folders: Path) -> None:
        dataset = load(str(folders), self.contract, most_in_memory=0)
        (folders / "bee" / "1.png").unlink()
        with pytest.raises(DatasetError, match=r"bee/1\.png: no such file"):
            dataset.images[:]

    def test_a_file_that_is_another_now_is_named(self, folders: Path) -> None:
        dataset = load(str(folders), InputContract(height=20, width=20, crop=20), most_in_memory=0)
        Image.new("RGB", (9, 9)).save(folders / "bee" / "1.png")
        with pytest.raises(DatasetError, match=r"bee/1\.png: .*9×9 pixels, less than the contract's crop"):
            dataset.images[:]

    def test_an_array_that_has_become_shorter_is_named(self, tmp_path: Path, make_images: MakeImages) -> None:
        np.savez(tmp_path / "set.npz", labels=[0, 1, 1], images=make_images(3, height=26, width=30))
        dataset = load(str(tmp_path / "set.npz"), self.contract, most_in_memory=0)
        (tmp_path / "set.npz").write_bytes((tmp_path / "set.npz").read_bytes()[:4000])
        with pytest.raises(DatasetError, match=r"set\.npz: cannot be read as \.npz \(it has become shorter"):
            dataset.images[:]
