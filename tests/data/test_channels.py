"""Images of one channel and of many, from files and from arrays."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import InputContract, in_grey, prepare
from bctoolkit.data import load, load_synthetic
from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES, corrupt
from bctoolkit.data.sources.collection import open_collection
from bctoolkit.errors import DatasetError
from bctoolkit.rendering.html import picture

GREY, RGB, FIVE = (InputContract(height=8, width=8, channels=channels) for channels in (1, 3, 5))
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 12, 10, 5), dtype=np.uint8)


def write_files(root: Path, mode: str) -> Path:
    for index, image in enumerate(IMAGES[..., :3]):
        (root / f"class_{index % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).convert(mode).save(root / f"class_{index % 2}" / f"{index}.png")
    return root


def write_arrays(path: Path, images: NDArray[np.uint8]) -> Path:
    np.savez(path, images=images, labels=np.arange(6) % 2)
    return path


@pytest.mark.parametrize("most", [2**30, 1])
def test_grey_and_rgb_files_become_grey_in_memory_and_from_disk(tmp_path: Path, most: int) -> None:
    grey = load(str(write_files(tmp_path / "grey", "L")), GREY, most_in_memory=most)
    rgb = load(str(write_files(tmp_path / "rgb", "RGB")), GREY, most_in_memory=most)
    assert grey.images.shape == (6, 8, 8, 1)
    assert np.array_equal(grey.images[:], rgb.images[:])
    assert grey.images[:][0].tolist() == prepare(in_grey(IMAGES[0, ..., :3]), GREY).tolist()
    assert not np.array_equal(grey.hashes, rgb.hashes)  # of the pixels as they lie there


def test_the_hash_of_an_rgb_file_is_the_same_whatever_it_is_loaded_for(tmp_path: Path) -> None:
    files = str(write_files(tmp_path / "rgb", "RGB"))
    assert np.array_equal(load(files, GREY).hashes, load(files, RGB).hashes)


@pytest.mark.parametrize("most", [2**30, 1])
def test_arrays_with_and_without_an_axis_for_grey(tmp_path: Path, most: int) -> None:
    """MedMNIST's grey sets are N×28×28."""
    flat = load(str(write_arrays(tmp_path / "flat.npz", IMAGES[..., 0])), GREY, most_in_memory=most)
    axis = load(str(write_arrays(tmp_path / "axis.npz", IMAGES[..., :1])), GREY, most_in_memory=most)
    assert np.array_equal(flat.images[:], axis.images[:])
    assert np.array_equal(flat.hashes, axis.hashes)
    five = load(str(write_arrays(tmp_path / "five.npz", IMAGES)), FIVE, most_in_memory=most)
    assert five.images.shape == (6, 8, 8, 5)
    assert np.array_equal(five.images[:][0], prepare(IMAGES[0], FIVE))


@pytest.mark.parametrize(("channels", "contract"), [(5, RGB), (5, GREY), (3, FIVE), (1, FIVE)])
def test_arrays_of_other_channels_are_refused(tmp_path: Path, channels: int, contract: InputContract) -> None:
    path = write_arrays(tmp_path / "set.npz", IMAGES[..., :channels])
    with pytest.raises(DatasetError, match=rf"set\.npz: its images are 12×10×{channels}; the model wants uint8"):
        load(str(path), contract)


@pytest.mark.parametrize("most", [2**30, 1])
def test_grey_arrays_become_rgb_as_grey_files_do(tmp_path: Path, most: int) -> None:
    arrays = load(str(write_arrays(tmp_path / "grey.npz", in_grey(IMAGES[..., :3]))), RGB, most_in_memory=most)
    files = load(str(write_files(tmp_path / "grey", "L")), RGB)
    assert arrays.sha256 == files.sha256
    assert np.array_equal(arrays.images[:][arrays.labels == 1], files.images[:][files.labels == 1])


def test_grey_arrays_are_inspected_as_rgb_and_others_are_not(tmp_path: Path) -> None:
    (piece,) = open_collection(str(write_arrays(tmp_path / "grey.npz", IMAGES[..., 0]))).pieces()
    assert np.array_equal(np.asarray(piece), np.repeat(IMAGES[..., :1], 3, 3))
    with pytest.raises(DatasetError, match=r"its images are 12×10×5; the model wants"):
        open_collection(str(write_arrays(tmp_path / "five.npz", IMAGES)))


def test_synthetic_images_are_rgb_or_grey() -> None:
    assert np.array_equal(load_synthetic(GREY, 1).images[:][0], in_grey(load_synthetic(RGB, 1).images[:][0]))
    with pytest.raises(DatasetError, match="synthetic images are RGB or grey; the model wants uint8 array N×8×8×5"):
        load_synthetic(FIVE, 1)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_grey_image_is_corrupted_as_three_equal_channels(name: str) -> None:
    images, hashes = IMAGES[:2, ..., :1], np.zeros((2, 32), np.uint8)
    corrupted = corrupt(images, hashes, name, SEVERITIES[1])
    assert corrupted.shape == images.shape
    rgb = corrupt(np.repeat(images, 3, 3), hashes, name, SEVERITIES[1])
    assert np.array_equal(corrupted, np.stack([in_grey(image) for image in rgb]))


def test_the_suite_has_no_corruption_for_other_channels() -> None:
    with pytest.raises(DatasetError, match="made for RGB and grey images, these have 5 channels"):
        corrupt(IMAGES, np.zeros((6, 32), np.uint8), "brightness", "mild")


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_images_of_any_number_of_channels_can_be_shown_on_a_page(channels: int) -> None:
    assert picture(IMAGES[..., :channels], "six").startswith('<img alt="six" title="six" src="data:image/jpeg;base64,')
