"""Loading: every container gives the same images, and nothing odd gets in silently."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import InputContract, prepare
from bctoolkit.data import Dataset, load, load_unlabelled
from bctoolkit.data.dataset import content_hash, rows
from tests.support.progress import Recorder

MakeImages = Callable[..., NDArray[np.uint8]]
Save = Callable[..., str]


def named(dataset: Dataset) -> dict[bytes, str]:
    """Image hash → class name."""
    return {
        key: dataset.classes[label] for key, label in zip(rows(dataset.hashes), dataset.labels.tolist(), strict=True)
    }


def test_a_folder_gives_classes_in_alphabetical_order(
    make_images: MakeImages, save_folders: Save, eight: InputContract
) -> None:
    images, labels, classes = make_images(6), [0, 1, 2, 0, 1, 2], ("cat", "ant", "bee")
    root = save_folders(images, labels, classes)
    dataset = load(root, eight)
    assert dataset.classes == ("ant", "bee", "cat")
    assert named(dataset) == {content_hash(image): classes[label] for image, label in zip(images, labels, strict=True)}
    assert dataset.images.shape == (6, 8, 8, 3)
    assert dataset.images.dtype == np.uint8
    assert (dataset.source, dataset.kind, dataset.published) == (root, "real", None)


def test_images_stay_beside_their_hashes_and_labels(
    make_images: MakeImages, save_folders: Save, eight: InputContract
) -> None:
    """Files are read by several threads; none may write in another's row."""
    images = make_images(300)
    dataset = load(save_folders(images, np.arange(300) % 3, ("a", "b", "c")), eight)
    assert rows(dataset.hashes) == [content_hash(image) for image in dataset.images[:]]
    expected = np.concatenate([images[start::3] for start in range(3)])
    np.testing.assert_array_equal(dataset.images, expected)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG", ".png", ".PNG"])
def test_jpeg_and_png_are_read_as_pillow_decodes_them(
    tmp_path: Path, make_images: MakeImages, eight: InputContract, suffix: str
) -> None:
    (tmp_path / "only").mkdir()
    file = tmp_path / "only" / f"picture{suffix}"
    Image.fromarray(make_images(1)[0]).save(file)
    dataset = load(str(tmp_path), eight)
    with Image.open(file) as picture:
        np.testing.assert_array_equal(dataset.images[:][0], np.asarray(picture))


def test_hidden_and_foreign_files_are_left_out(
    tmp_path: Path, make_images: MakeImages, save_folders: Save, eight: InputContract
) -> None:
    root = Path(save_folders(make_images(4), [0, 1, 0, 1], ("a", "b")))
    (root / "a" / ".hidden.png").write_bytes(b"not an image")
    (root / "a" / "._0000.jpg").write_bytes(b"what a Mac leaves on a stick")
    (root / "a" / "notes.txt").write_text("not an image")
    (root / ".cache").mkdir()
    (root / "readme.md").write_text("not a class")
    dataset = load(str(root), eight)
    assert len(dataset) == 4
    assert dataset.classes == ("a", "b")


def test_whole_number_labels_name_their_classes(make_images: MakeImages, save_npz: Save, eight: InputContract) -> None:
    images = make_images(5)
    dataset = load(save_npz(images=images, labels=[2, 0, 1, 1, 0]), eight)
    assert dataset.classes == ("class_0", "class_1", "class_2")
    np.testing.assert_array_equal(dataset.labels, [2, 0, 1, 1, 0])
    assert dataset.labels.dtype == np.int64
    np.testing.assert_array_equal(dataset.images, images)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64", "uint32", "uint64"])
def test_labels_of_any_whole_number_type_are_taken(
    make_images: MakeImages, save_npz: Save, eight: InputContract, dtype: str
) -> None:
    dataset = load(save_npz(images=make_images(3), labels=np.array([1, 0, 1], dtype)), eight)
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.labels.dtype == np.int64


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_names_as_labels_become_classes(
    make_images: MakeImages, save_npz: Save, eight: InputContract, dtype: str
) -> None:
    names = ["bee", "ant", "bee", "cat"]
    dataset = load(save_npz(images=make_images(4), labels=np.array(names, dtype)), eight)
    assert dataset.classes == ("ant", "bee", "cat")
    assert [dataset.classes[label] for label in dataset.labels] == names


def test_classes_name_the_labels(make_images: MakeImages, save_npz: Save, eight: InputContract) -> None:
    dataset = load(save_npz(images=make_images(3), labels=[1, 0, 1], classes=["zebra", "ant"]), eight)
    assert dataset.classes == ("zebra", "ant")
    assert dataset.labels.tolist() == [1, 0, 1]


def test_classes_set_the_order_of_named_labels_too(
    make_images: MakeImages, save_npz: Save, eight: InputContract
) -> None:
    dataset = load(save_npz(images=make_images(3), labels=["ant", "zebra", "ant"], classes=["zebra", "ant"]), eight)
    assert dataset.classes == ("zebra", "ant")
    assert dataset.labels.tolist() == [1, 0, 1]


def test_a_column_of_labels_is_taken_as_medmnist_stores_it(
    make_images: MakeImages, save_npz: Save, eight: InputContract
) -> None:
    column = np.array([[1], [0], [1]], np.uint8)
    dataset = load(save_npz(images=make_images(3), labels=column), eight)
    assert dataset.labels.tolist() == [1, 0, 1]


def test_medmnist_parts_are_joined_and_remembered(
    make_images: MakeImages, save_npz: Save, eight: InputContract
) -> None:
    images = make_images(9)
    path = save_npz(
        test_images=images[7:],
        test_labels=[[1], [0]],
        train_images=images[:4],
        train_labels=[[0], [1], [0], [1]],
        val_images=images[4:7],
        val_labels=[[1], [1], [0]],
    )
    dataset = load(path, eight)
    np.testing.assert_array_equal(dataset.images, images)
    assert dataset.labels.tolist() == [0, 1, 0, 1, 1, 1, 0, 1, 0]
    assert dataset.published is not None
    assert dataset.published.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    "contract",
    [
        InputContract(height=16, width=16),
        InputContract(height=16, width=24, crop="none", resize="bilinear"),
        InputContract(height=12, width=12, crop=20, resize="nearest"),
        InputContract(height=20, width=20, crop=20),
    ],
    ids=["square", "squeezed", "crop-20", "crop-only"],
)
def test_other_sizes_are_cropped_and_resized_as_the_contract_says(
    make_images: MakeImages, save_npz: Save, save_folders: Save, contract: InputContract
) -> None:
    images = make_images(4, height=30, width=26)
    expected = np.stack([prepare(image, contract) for image in images])
    from_array = load(save_npz(images=images, labels=[0, 0, 1, 1]), contract)
    from_files = load(save_folders(images, [0, 0, 1, 1], ("a", "b")), contract)
    np.testing.assert_array_equal(from_array.images, expected)
    np.testing.assert_array_equal(from_files.images, expected)
    assert rows(from_files.hashes) == [content_hash(image) for image in images]


def test_images_of_different_sizes_in_one_folder_are_brought_to_one(tmp_path: Path, make_images: MakeImages) -> None:
    (tmp_path / "mixed").mkdir()
    for index, (height, width) in enumerate([(8, 8), (20, 9), (9, 31)]):
        picture = Image.fromarray(make_images(1, seed=index, height=height, width=width)[0])
        picture.save(tmp_path / "mixed" / f"{index}.png")
    assert load(str(tmp_path), InputContract(height=10, width=10)).images.shape == (3, 10, 10, 3)


def test_images_are_kept_as_bytes_for_a_float32_model(make_images: MakeImages, save_npz: Save) -> None:
    images = make_images(2)
    dataset = load(save_npz(images=images, labels=[0, 1]), InputContract(height=8, width=8, dtype="float32"))
    assert dataset.images.dtype == np.uint8
    np.testing.assert_array_equal(dataset.images, images)


def test_progress_ends_at_the_number_of_images(make_images: MakeImages, save_npz: Save, eight: InputContract) -> None:
    progress = Recorder()
    load(save_npz(images=make_images(600), labels=np.arange(600) % 2), eight, progress)
    assert progress.steps[-1] == ("reading images", 600, 600, "")
    done = [step[1] for step in progress.steps]
    assert len(done) >= 3
    assert done == sorted(done)


def test_a_moved_set_keeps_its_sha256(
    tmp_path: Path, make_images: MakeImages, save_folders: Save, eight: InputContract
) -> None:
    root = Path(save_folders(make_images(4), [0, 1, 0, 1], ("a", "b")))
    before = load(str(root), eight).sha256
    shutil.move(root, tmp_path / "elsewhere")
    for file in (tmp_path / "elsewhere").rglob("*.png"):
        file.rename(file.with_name(f"renamed-{file.name}"))
    assert load(str(tmp_path / "elsewhere"), eight).sha256 == before


def test_unlabelled_images_come_by_name_as_one_class(
    tmp_path: Path, make_images: MakeImages, eight: InputContract
) -> None:
    images = make_images(3)
    for name, image in zip(("b.png", "c.png", "a.png"), images, strict=True):
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / ".hidden.png").write_bytes(b"no image")
    dataset = load_unlabelled(tmp_path, eight)
    np.testing.assert_array_equal(dataset.images, images[[2, 0, 1]])
    assert dataset.classes == ("unlabelled",)
    assert dataset.labels.tolist() == [0, 0, 0]
