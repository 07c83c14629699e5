"""Arrays on disk: a folder of `.npy` files, an `.npz` stored or compressed, and what is wrong with either."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.data import load
from bctoolkit.data.sources.arrays import open_arrays
from bctoolkit.data.sources.image_array import PIECE_IMAGES
from bctoolkit.errors import DatasetError

MakeImages = Callable[..., NDArray[np.uint8]]
Save = Callable[..., str]
Spoil = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path, make_images: MakeImages) -> Path:
    """A good folder of arrays, to be spoilt: six images of two classes."""
    np.save(tmp_path / "images.npy", make_images(6))
    np.save(tmp_path / "labels.npy", np.arange(6) % 2)
    return tmp_path


def test_a_folder_of_arrays_is_a_set(folder: Path, make_images: MakeImages, eight: InputContract) -> None:
    dataset = load(str(folder), eight)
    np.testing.assert_array_equal(dataset.images, make_images(6))
    assert dataset.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert dataset.classes == ("class_0", "class_1")
    assert (dataset.source, dataset.kind, dataset.published) == (str(folder), "real", None)


@pytest.mark.parametrize("text", ["zebra\nant", "zebra\nant\n", " zebra \r\n\r\nant\n\n"])
def test_classes_txt_names_the_labels(folder: Path, eight: InputContract, text: str) -> None:
    (folder / "classes.txt").write_bytes(text.encode())
    assert load(str(folder), eight).classes == ("zebra", "ant")


def test_names_as_labels_become_classes(folder: Path, eight: InputContract) -> None:
    np.save(folder / "labels.npy", ["bee", "ant"] * 3)
    dataset = load(str(folder), eight)
    assert dataset.classes == ("ant", "bee")
    assert dataset.labels.tolist() == [1, 0] * 3


def test_names_beside_an_archive_are_used_unless_it_has_its_own(
    tmp_path: Path, make_images: MakeImages, save_npz: Save, eight: InputContract
) -> None:
    (tmp_path / "set.classes.txt").write_text("zebra\nant\n")
    images, labels = make_images(4), [0, 1, 0, 1]
    assert load(save_npz(images=images, labels=labels), eight).classes == ("zebra", "ant")
    assert load(save_npz(images=images, labels=labels, classes=["a", "b"]), eight).classes == ("a", "b")
    assert load(save_npz("other.npz", images=images, labels=labels), eight).classes == ("class_0", "class_1")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("count", [1, PIECE_IMAGES, PIECE_IMAGES + 1, 2 * PIECE_IMAGES + 3])
def test_pieces_are_all_images_in_order(
    tmp_path: Path, make_images: MakeImages, save: Callable[..., None], count: int
) -> None:
    images = make_images(count, height=2, width=3)
    save(tmp_path / "set.npz", images=images, labels=np.zeros(count, int))
    part = open_arrays(tmp_path / "set.npz").parts[0]
    pieces = list(part.pieces())
    assert max(map(len, pieces)) <= PIECE_IMAGES
    np.testing.assert_array_equal(np.concatenate(pieces), images)


def test_single_images_are_found_wherever_they_lie_in_the_archive(tmp_path: Path, make_images: MakeImages) -> None:
    images = make_images(7, height=3, width=4)
    np.savez(tmp_path / "set.npz", note=np.arange(999), labels=np.zeros(7, int), images=images)
    part = open_arrays(tmp_path / "set.npz").parts[0]
    assert part.offsets is not None
    for offset, image in zip(part.offsets.tolist(), images, strict=True):
        np.testing.assert_array_equal(part.read(offset), image)


def test_a_compressed_array_has_no_offsets(save_npz: Save, make_images: MakeImages) -> None:
    assert open_arrays(Path(save_npz(images=make_images(2), labels=[0, 1]))).parts[0].offsets is None


def test_a_compressed_archive_that_does_not_fit_says_how_to_write_it(
    save_npz: Save, make_images: MakeImages, eight: InputContract
) -> None:
    path = save_npz(images=make_images(8), labels=np.arange(8) % 2)
    with pytest.raises(DatasetError) as caught:
        load(path, eight, most_in_memory=100)
    message = str(caught.value)
    assert message.startswith(f"{path}: 8 images take ")
    assert "at 8×8 pixels, more than " in message
    assert "write it again with np.savez, or as a folder with images.npy and labels.npy" in message


def test_an_archive_with_one_compressed_part_does_not_fit_either(
    tmp_path: Path, make_images: MakeImages, eight: InputContract
) -> None:
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        for part, kind in (("train", zipfile.ZIP_STORED), ("test", zipfile.ZIP_DEFLATED)):
            for name, array in (("images", make_images(2)), ("labels", np.arange(2))):
                np.save(tmp_path / "one.npy", array)
                archive.write(tmp_path / "one.npy", f"{part}_{name}.npy", kind)
    assert len(load(str(tmp_path / "set.npz"), eight)) == 4
    with pytest.raises(DatasetError, match=r"a compressed \.npz cannot be read in parts"):
        load(str(tmp_path / "set.npz"), eight, most_in_memory=0)


def cut_images(folder: Path) -> str:
    content = (folder / "images.npy").read_bytes()
    (folder / "images.npy").write_bytes(content[:-100])
    return f"images.npy: cannot be read as .npy (cut off: {len(content) - 100:,} bytes, 6 images take {len(content):,})"


def cut_header(folder: Path) -> str:
    (folder / "images.npy").write_bytes((folder / "images.npy").read_bytes()[:50])
    return "images.npy: cannot be read as .npy ("


def not_npy(folder: Path) -> str:
    (folder / "images.npy").write_bytes(b"an image, believe me")
    return "images.npy: cannot be read as .npy ("


def numbers_that_are_complex(folder: Path) -> str:
    np.save(folder / "images.npy", np.zeros((6, 8, 8, 3), np.complex64))
    return (
        "images.npy has shape (6, 8, 8, 3) and dtype complex64; "
        "wanted N×height×width×3 (RGB) or N×height×width (grey), of numbers"
    )


def black(folder: Path) -> str:
    np.save(folder / "images.npy", np.zeros((6, 8, 8), np.uint8))
    return "images.npy: its images hold nothing but 0; of the arrays before any cast: images = np.rint("


def fortran(folder: Path) -> str:
    np.save(folder / "images.npy", np.asfortranarray(np.ones((6, 8, 8, 3), np.uint8)))
    return "images.npy is in Fortran order; save it in C order: images = np.ascontiguousarray(images)"


def pickled(folder: Path) -> str:
    np.save(folder / "images.npy", np.array([{"an": "object"}] * 6), allow_pickle=True)
    return (
        "images.npy: cannot be read as .npy (a header that cannot be read, or of objects, which are never loaded; of "
    )


def pickled_labels(folder: Path) -> str:
    np.save(folder / "labels.npy", np.array([{"an": "object"}] * 6), allow_pickle=True)
    return (
        "labels.npy: cannot be read as .npy (a header that cannot be read, or of objects, which are never loaded; of "
    )


def no_images(folder: Path) -> str:
    np.save(folder / "images.npy", np.zeros((0, 8, 8, 3), np.uint8))
    return "images.npy has shape (0, 8, 8, 3): no pixels"


def no_labels(folder: Path) -> str:
    (folder / "labels.npy").unlink()
    return "holds images.npy but no labels.npy"


def too_few_labels(folder: Path) -> str:
    np.save(folder / "labels.npy", np.arange(5) % 2)
    return "6 images in 'images' but 5 labels in 'labels'"


def label_out_of_range(folder: Path) -> str:
    (folder / "classes.txt").write_text("ant\nbee\n")
    np.save(folder / "labels.npy", [0, 1, 0, 1, 0, 2])
    return "label 2 but only 2 names in 'classes'"


def negative_label(folder: Path) -> str:
    np.save(folder / "labels.npy", [0, 1, 0, 1, 0, -1])
    return "'labels' must be class names or whole numbers from 0"


def names_of_bytes(folder: Path) -> str:
    (folder / "classes.txt").write_bytes(b"\xff\xfe\n")
    return "classes.txt: not UTF-8 text; write one class name a line"


SPOILT = (
    cut_images,
    cut_header,
    not_npy,
    numbers_that_are_complex,
    black,
    fortran,
    pickled,
    pickled_labels,
    no_images,
    no_labels,
    too_few_labels,
    label_out_of_range,
    negative_label,
    names_of_bytes,
)


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("most", [0, 2**30], ids=["lazy", "eager"])
def test_a_spoilt_folder_is_refused(
    folder: Path, eight: InputContract, spoil: Callable[[Path], str], most: int
) -> None:
    message = spoil(folder)
    with pytest.raises(DatasetError) as caught:
        load(str(folder), eight, most_in_memory=most)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


def test_a_single_npy_is_told_where_its_labels_go(folder: Path, eight: InputContract) -> None:
    (folder / "images.npy").rename(folder / "cells.npy")
    with pytest.raises(DatasetError, match=r"no labels lie beside it; save them as cells\.labels\.npy$"):
        load(str(folder / "cells.npy"), eight)
    (folder / "labels.npy").rename(folder / "cells.labels.npy")
    assert len(load(str(folder / "cells.npy"), eight)) == 6


@pytest.mark.parametrize("most", [0, 2**30], ids=["lazy", "eager"])
def test_one_flipped_bit_in_a_stored_archive_is_noticed(
    tmp_path: Path, make_images: MakeImages, eight: InputContract, most: int
) -> None:
    np.savez(tmp_path / "set.npz", images=make_images(50), labels=np.arange(50) % 2)
    content = bytearray((tmp_path / "set.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "set.npz").write_bytes(content)
    with pytest.raises(DatasetError, match=r"set\.npz: cannot be read as a zip archive \(Bad CRC-32"):
        load(str(tmp_path / "set.npz"), eight, most_in_memory=most)


def test_an_array_that_promises_more_than_there_is_is_refused(tmp_path: Path, eight: InputContract) -> None:
    """The archive is sound, its member is not."""
    np.save(tmp_path / "images.npy", np.ones((6, 8, 8, 3), np.uint8))
    np.save(tmp_path / "labels.npy", np.arange(6) % 2)
    (tmp_path / "images.npy").write_bytes((tmp_path / "images.npy").read_bytes()[:-300])
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        for name in ("images.npy", "labels.npy"):
            archive.write(tmp_path / name, name)
    with pytest.raises(
        DatasetError, match=r"set\.npz: cannot be read as a zip archive \('images' has 980 bytes, 6 images take 1,280\)"
    ):
        load(str(tmp_path / "set.npz"), eight)


def test_members_that_are_no_arrays_are_refused(tmp_path: Path, make_images: MakeImages, eight: InputContract) -> None:
    np.save(tmp_path / "images.npy", make_images(2))
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.write(tmp_path / "images.npy", "images.npy")
        archive.writestr("labels", "0 1")
    with pytest.raises(DatasetError, match="holds images but no labels; it holds: images"):
        load(str(tmp_path / "set.npz"), eight)
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("images", "pixels")
        archive.writestr("labels", "0 1")
    with pytest.raises(DatasetError, match=r"holds no images or X or data, .*; it holds: nothing"):
        load(str(tmp_path / "set.npz"), eight)


def test_a_folder_of_arrays_needs_labels(tmp_path: Path, make_images: MakeImages) -> None:
    np.save(tmp_path / "images.npy", make_images(1))
    with pytest.raises(DatasetError, match=r"holds images\.npy but no labels\.npy"):
        open_arrays(tmp_path)


PEAK = """
import sys
import PIL.Image
from bctoolkit.system.counters import peak_rss
from bctoolkit.contract import InputContract
from bctoolkit.data import load, split
from bctoolkit.recipes import Split
before = peak_rss()
dataset = load(sys.argv[1], InputContract(height=96, width=96), most_in_memory=2**20)
split(dataset, Split())
dataset.sha256
for start in range(0, len(dataset), 512):
    dataset.images[start : start + 32]
print(len(dataset), peak_rss() - before)
"""


def test_memory_stays_bounded_where_values_are_looked_at(tmp_path: Path) -> None:
    """1,500 images of 96×96 are 166 MB as float32 and 41 MB once they are read."""
    count, rng = 1500, np.random.default_rng(0)
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.float32, (count, 96, 96, 3))
    images[:] = rng.random((96, 96, 3), np.float32)
    images[:, 0, 0, 0] = np.arange(count) / count
    images.flush()
    np.save(tmp_path / "labels.npy", np.arange(count) % 2)
    done = subprocess.run([sys.executable, "-c", PEAK, tmp_path], capture_output=True, text=True, check=True)
    loaded, grown = map(int, done.stdout.split())
    assert loaded == count
    assert grown < 110 * 2**20


@pytest.mark.parametrize("form", ["arrays", "set.npz"])
def test_memory_stays_bounded(tmp_path: Path, form: str) -> None:
    """10,000 images of 96×96 are 276 MB; a fresh process is to hold a small share of them at any time."""
    count = 10_000
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (count, 96, 96, 3))
    images[:, 0, :2, 0] = np.arange(count)[:, None] // (1, 256) % 256
    np.save(tmp_path / "labels.npy", np.arange(count) % 2)
    if form == "set.npz":
        np.savez(tmp_path / "set.npz", images=images, labels=np.arange(count) % 2)
    source = tmp_path / form if form == "set.npz" else tmp_path
    done = subprocess.run([sys.executable, "-c", PEAK, source], capture_output=True, text=True, check=True)
    loaded, grown = map(int, done.stdout.split())
    assert loaded == count
    assert grown < 100 * 2**20
