"""What cannot be loaded is refused by name, with what was found."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import InputContract
from bctoolkit.data import load, load_unlabelled
from bctoolkit.errors import DatasetError

MakeImages = Callable[..., NDArray[np.uint8]]
Save = Callable[..., str]


def refusal(source: str, contract: InputContract) -> str:
    """The message `load` refuses with; one line, naming the source."""
    with pytest.raises(DatasetError) as caught:
        load(source, contract)
    message = str(caught.value)
    assert "\n" not in message
    assert source in message
    return message


@pytest.fixture
def folders(make_images: MakeImages, save_folders: Save) -> Path:
    """A good set of two classes, to be spoilt."""
    return Path(save_folders(make_images(6), [0, 1, 0, 1, 0, 1], ("left", "right")))


def test_missing_folder(tmp_path: Path, eight: InputContract) -> None:
    assert "no such folder or file" in refusal(str(tmp_path / "nowhere"), eight)


@pytest.mark.parametrize("name", ["images.zip", "images.xlsx", "picture.png"])
def test_file_that_is_no_set(tmp_path: Path, eight: InputContract, name: str) -> None:
    (tmp_path / name).write_bytes(b"something")
    assert "neither a folder of class folders nor a .csv or .npz" in refusal(str(tmp_path / name), eight)


def test_folder_without_class_folders(tmp_path: Path, make_images: MakeImages, eight: InputContract) -> None:
    Image.fromarray(make_images(1)[0]).save(tmp_path / "loose.png")
    assert "no class folders" in refusal(str(tmp_path), eight)


def test_image_smaller_than_the_crop_is_named(folders: Path, make_images: MakeImages, save_npz: Save) -> None:
    contract = InputContract(height=8, width=8, crop=9)
    message = refusal(str(folders), contract)
    assert "8×8 pixels, less than the contract's crop of 9×9" in message
    path = save_npz(images=make_images(2), labels=[0, 1])
    with pytest.raises(DatasetError, match=r"image 0: .*less than the contract's crop"):
        load(path, contract)


def test_unlabelled_folder_without_images(tmp_path: Path, eight: InputContract) -> None:
    with pytest.raises(DatasetError, match="holds no image"):
        load_unlabelled(tmp_path, eight)


def test_npz_without_images_lists_what_it_holds(make_images: MakeImages, save_npz: Save, eight: InputContract) -> None:
    message = refusal(save_npz(pixels=make_images(2), y=[0, 1]), eight)
    assert "holds no images or X or data, nor parts of them as train_images or X_train; it holds: pixels, y" in message


def test_npz_without_labels(make_images: MakeImages, save_npz: Save, eight: InputContract) -> None:
    assert "holds images but no labels; it holds: images" in refusal(save_npz(images=make_images(2)), eight)


def test_medmnist_part_without_labels(make_images: MakeImages, save_npz: Save, eight: InputContract) -> None:
    path = save_npz(train_images=make_images(2), train_labels=[0, 1], val_images=make_images(2, seed=1))
    assert "holds val_images but no val_labels; it holds: " in refusal(path, eight)


def test_pickled_npz_is_never_opened(make_images: MakeImages, save_npz: Save, eight: InputContract) -> None:
    labels = np.array(["left", {"not": "plain"}], object)
    assert "objects, which are never loaded" in refusal(save_npz(images=make_images(2), labels=labels), eight)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and nothing after it"], ids=["empty", "torn"])
def test_file_that_only_is_called_npz(tmp_path: Path, eight: InputContract, content: bytes) -> None:
    (tmp_path / "set.npz").write_bytes(content)
    assert "cannot be read as a zip archive" in refusal(str(tmp_path / "set.npz"), eight)


def test_single_array_called_npz(tmp_path: Path, make_images: MakeImages, eight: InputContract) -> None:
    np.save(tmp_path / "array.npy", make_images(2))
    (tmp_path / "array.npy").rename(tmp_path / "set.npz")
    assert "cannot be read as a zip archive" in refusal(str(tmp_path / "set.npz"), eight)


@pytest.mark.parametrize("where", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_npz_with_damaged_bytes(make_images: MakeImages, save_npz: Save, eight: InputContract, where: float) -> None:
    path = Path(save_npz(images=make_images(50) // 64, labels=np.arange(50) % 2))
    content = bytearray(path.read_bytes())
    at = int(len(content) * where)
    content[at : at + 40] = b"\xff" * 40
    path.write_bytes(content)
    refusal(str(path), eight)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_npz_that_was_cut_off(make_images: MakeImages, save_npz: Save, eight: InputContract, share: float) -> None:
    path = Path(save_npz(images=make_images(50), labels=np.arange(50) % 2))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert "cannot be read as a zip archive" in refusal(str(path), eight)


@pytest.mark.parametrize("dtype", ["complex64", "U3", "S3"])
def test_wrong_dtype(make_images: MakeImages, save_npz: Save, eight: InputContract, dtype: str) -> None:
    message = refusal(save_npz(images=make_images(2).astype(dtype), labels=[0, 1]), eight)
    assert f"dtype {np.dtype(dtype)}; wanted N×height×width×3 (RGB) or N×height×width (grey), of numbers" in message


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 8, 8, 2), "its images are 8×8×2; the model wants uint8 array N×8×8×3 (NHWC, RGB)"),
        ((2, 8, 8, 4), "its images are 8×8×4; the model wants"),
        ((2, 5, 8, 8), "its images are 5×8×8; the model wants"),
        ((384,), "shape (384,)"),
        ((2, 384), "shape (2, 384)"),
        ((2, 1, 8, 8, 3), "shape (2, 1, 8, 8, 3)"),
    ],
)
def test_wrong_shape(save_npz: Save, eight: InputContract, shape: tuple[int, ...], message: str) -> None:
    assert message in refusal(save_npz(images=np.zeros(shape, np.uint8), labels=[0, 1]), eight)


def test_medmnist_parts_of_different_sizes(make_images: MakeImages, save_npz: Save, eight: InputContract) -> None:
    path = save_npz(
        train_images=make_images(2), train_labels=[0, 1], test_images=make_images(2, height=9), test_labels=[0, 1]
    )
    assert "different shapes" in refusal(path, eight)


def test_lengths_that_differ(make_images: MakeImages, save_npz: Save, eight: InputContract) -> None:
    assert "3 images in 'images' but 2 labels in 'labels'" in refusal(
        save_npz(images=make_images(3), labels=[0, 1]), eight
    )


def test_medmnist_lengths_that_differ_part_by_part(
    make_images: MakeImages, save_npz: Save, eight: InputContract
) -> None:
    """The totals agree, so every label after the first part would belong to the image before it."""
    images = make_images(6)
    path = save_npz(train_images=images[:4], train_labels=[0, 1, 0], test_images=images[4:], test_labels=[1, 0, 1])
    assert "4 images in 'train_images' but 3 labels in 'train_labels'" in refusal(path, eight)


def test_label_beyond_the_names(make_images: MakeImages, save_npz: Save, eight: InputContract) -> None:
    path = save_npz(images=make_images(3), labels=[0, 1, 5], classes=["a", "b", "c"])
    assert "label 5 but only 3 names" in refusal(path, eight)


@pytest.mark.parametrize(
    "labels", [[-1, 0], [0.5, 1.0], [0.0, np.inf], [1j, 0]], ids=["negative", "half", "inf", "complex"]
)
def test_labels_that_are_no_positions(
    make_images: MakeImages, save_npz: Save, eight: InputContract, labels: list[object]
) -> None:
    assert "'labels' must be class names or whole numbers" in refusal(
        save_npz(images=make_images(2), labels=labels), eight
    )


def test_set_without_images(save_npz: Save, eight: InputContract) -> None:
    refusal(save_npz(images=np.zeros((0, 8, 8, 3), np.uint8), labels=np.zeros(0, int)), eight)


def test_class_without_image(make_images: MakeImages, save_npz: Save, eight: InputContract) -> None:
    assert "class 'class_1' has no image" in refusal(save_npz(images=make_images(3), labels=[0, 2, 2]), eight)
    named = save_npz("named.npz", images=make_images(2), labels=[0, 2], classes=["a", "b", "c", "d"])
    assert "class 'b' has no image" in refusal(named, eight)


def test_two_classes_of_one_name(make_images: MakeImages, save_npz: Save, eight: InputContract) -> None:
    """They would be told apart while training and merged by name afterwards."""
    refusal(save_npz(images=make_images(3), labels=[0, 1, 2], classes=["a", "b", "a"]), eight)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "a\u202eb", " "])
def test_a_class_whose_name_steers_a_terminal_is_refused(
    tmp_path: Path, make_images: MakeImages, eight: InputContract, name: str
) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, images=make_images(4), labels=np.array(["fine", name] * 2))
    assert "name it otherwise" in refusal(str(path), eight)


@pytest.mark.parametrize("name", ["T-shirt/top", "../../escaped", "/tmp/escaped", "a\\b", "a:b", ".hidden", ".."])
def test_a_class_may_be_called_like_a_path(
    make_images: MakeImages, save_npz: Save, eight: InputContract, name: str
) -> None:
    source = save_npz(images=make_images(4), labels=np.array(["fine", name] * 2))
    assert set(load(source, eight).classes) == {"fine", name}


def test_a_class_folder_whose_name_steers_a_terminal_is_refused(
    make_images: MakeImages, save_folders: Save, eight: InputContract
) -> None:
    source = save_folders(make_images(4), [0, 1, 0, 1], ("fine", "a\x1b[2Jb"))
    assert "U+001B" in refusal(source, eight)
