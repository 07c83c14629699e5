"""Class folders as people have them: by content, to the bottom, and nothing left out without a word."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, load, load_pictures
from bctoolkit.data.quality.clean import clean
from bctoolkit.data.quality.inspect import inspect
from bctoolkit.data.sources.folders import open_class_folders
from bctoolkit.errors import DatasetError
from tests.support.cli import Bctk
from tests.support.progress import Recorder

MakeImages = Callable[..., NDArray[np.uint8]]
Save = Callable[..., str]


@pytest.fixture
def folders(make_images: MakeImages, save_folders: Save) -> Path:
    """A good set of two classes of three images, to be spoilt."""
    return Path(save_folders(make_images(6), [0, 1, 0, 1, 0, 1], ("left", "right")))


def loaded(root: Path, contract: InputContract, most: int = 2**30) -> tuple[Dataset, list[str]]:
    progress = Recorder()
    dataset = load(str(root), contract, progress, most_in_memory=most)
    return dataset, progress.lines


def damaged(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((60, 60, 3), np.uint8)).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:300])
    return path


def test_a_good_set_is_loaded_without_a_word(folders: Path, eight: InputContract) -> None:
    dataset, lines = loaded(folders, eight)
    assert len(dataset) == 6
    assert lines == []


@pytest.mark.parametrize("most", [2**30, 1])
def test_what_cannot_be_read_is_left_out_and_counted_by_class(folders: Path, eight: InputContract, most: int) -> None:
    before, _ = loaded(folders, eight)
    damaged(folders / "left" / "cut.jpg")
    damaged(folders / "right" / "0000.jpg")
    (folders / "right" / "text.png").write_text("no image")
    dataset, lines = loaded(folders, eight, most)
    assert dataset.sha256 == before.sha256
    assert np.array_equal(dataset.images[:], before.images[:])
    assert dataset.labels.tolist() == before.labels.tolist()
    assert (before.unreadable, dataset.unreadable) == ({}, {"left": 1, "right": 2})
    (line,) = lines
    assert line.startswith(f"NOT READ: 3 of 9 images of {folders}, which are left out: left 1, right 2; the first: ")
    assert f"{folders}/left/cut.jpg: cannot be decoded" in line
    assert line.endswith(f"write the set without them with: bctk data clean {folders} --out DIR")


def test_a_class_of_which_nothing_can_be_read_is_refused(folders: Path, eight: InputContract) -> None:
    damaged(folders / "up" / "cut.jpg")
    with pytest.raises(
        DatasetError, match=r"of class 'up' none of 1 images can be read; the first: .*cut\.jpg"
    ) as error:
        load(str(folders), eight)
    assert str(error.value).endswith(f"see them all with: bctk data inspect {folders}")


def test_an_empty_class_folder_is_no_class(folders: Path, eight: InputContract) -> None:
    (folders / "middle" / "below").mkdir(parents=True)
    (folders / "notes").mkdir()
    (folders / "notes" / "readme.txt").write_text("no image")
    dataset, lines = loaded(folders, eight)
    assert dataset.classes == ("left", "right")
    assert lines == [
        f"{folders}: class folder 'middle' holds no image: it is left out",
        f"{folders}: class folder 'notes' holds no image: it is left out",
        f"{folders}: left out as no images: 1 × .txt",
    ]


def test_images_in_folders_below_belong_to_the_class(folders: Path, eight: InputContract) -> None:
    before, _ = loaded(folders, eight)
    for number, file in enumerate(sorted((folders / "left").iterdir())):
        slide = folders / "left" / f"slide_{number}" / "tiles"
        slide.mkdir(parents=True)
        file.rename(slide / "tile.png")
    dataset, lines = loaded(folders, eight)
    assert dataset.sha256 == before.sha256
    assert lines == []
    names = {name for finding in inspect(str(folders)).findings for name in finding.images}
    assert names == set()


def test_images_of_one_name_below_a_class_do_not_replace_each_other(folders: Path, tmp_path: Path) -> None:
    files = sorted((folders / "left").iterdir())
    for number, file in enumerate(files):
        slide = folders / "left" / f"slide_{number}"
        slide.mkdir()
        file.rename(slide / "tile.png")
    manifest, _ = clean(str(folders), tmp_path / "cleaned")
    assert manifest.counts_after == {"left": 3, "right": 3}
    assert len(list((tmp_path / "cleaned" / "left").rglob("tile.png"))) == 3
    clean(str(folders), tmp_path / "cleaned")


@pytest.mark.parametrize("name", ["__MACOSX", "@eaDir", ".cache", "#recycle", "$RECYCLE.BIN", "lost+found"])
def test_housekeeping_folders_are_no_classes_and_hold_no_images(folders: Path, eight: InputContract, name: str) -> None:
    file = next((folders / "left").iterdir())
    for place in (folders / name, folders / "left" / name, folders / "left" / "slide" / name):
        place.mkdir(parents=True)
        shutil.copy(file, place / "thumbnail.png")
    dataset, lines = loaded(folders, eight)
    assert (len(dataset), dataset.classes, lines) == (6, ("left", "right"), [])


@pytest.mark.parametrize("name", ["Thumbs.db", ".DS_Store", "desktop.ini", "._0000.png", "THUMBS.DB"])
def test_housekeeping_files_are_passed_over(folders: Path, eight: InputContract, name: str) -> None:
    (folders / "left" / name).write_bytes(b"\xff\xd8\xff\xe0 not an image")
    dataset, lines = loaded(folders, eight)
    assert (len(dataset), lines) == (6, [])


@pytest.mark.parametrize("name", ["picture", "picture.PNG", "picture.jfif", "picture.dat", "PICTURE.TIFF", "a.b.c"])
def test_what_a_file_is_its_content_says(
    folders: Path, make_images: MakeImages, eight: InputContract, name: str
) -> None:
    Image.fromarray(make_images(1, seed=9)[0]).save(folders / "right" / name, "PNG")
    dataset, lines = loaded(folders, eight)
    assert (len(dataset), lines) == (7, [])


@pytest.mark.parametrize(
    "content", [b"", b"text", b"BM is how this text begins, and nothing else", b"RIFF\x24\0\0\0WAVEfmt ", b"\0" * 99]
)
def test_a_file_that_is_no_image_is_counted_by_its_suffix(folders: Path, eight: InputContract, content: bytes) -> None:
    for name in ("one", "two.csv", "three.CSV"):
        (folders / "left" / name).write_bytes(content)
    dataset, lines = loaded(folders, eight)
    assert len(dataset) == 6
    assert lines == [f"{folders}: left out as no images: 2 × .csv, 1 × without suffix"]


def test_images_beside_the_class_folders_are_counted(folders: Path, eight: InputContract) -> None:
    shutil.copy(next((folders / "left").iterdir()), folders / "loose")
    dataset, lines = loaded(folders, eight)
    assert (len(dataset), lines) == (6, [f"{folders}: 1 images lie beside the class folders and belong to no class"])


def divided(folders: Path, root: Path, *names: str) -> Path:
    """A set in parts, each with pictures of its own of every class."""
    for shade, name in enumerate(names):
        for folder in folders.iterdir():
            for file in folder.iterdir():
                with Image.open(file) as picture:
                    pixels = np.asarray(picture) // 2 + np.uint8(20 * shade)
                (root / name / folder.name).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(root / name / folder.name / file.name)
    return root


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "valid", "TEST")])
def test_a_set_that_comes_in_parts_is_read_as_one_and_stays_divided(
    folders: Path, eight: InputContract, tmp_path: Path, names: tuple[str, ...]
) -> None:
    dataset, lines = loaded(divided(folders, tmp_path / "set", *names), eight)
    assert (len(dataset), dataset.classes) == (18, ("left", "right"))
    assert dataset.published is not None
    assert dataset.files is not None
    for position, name in enumerate(names):
        assert {Path(file).parts[-3] for file in dataset.files[dataset.published == position]} == {name}
    (line,) = lines
    assert "comes divided, and stays so: " in line
    for name, part in zip(names, ("train", "validation", "test"), strict=True):
        assert f"{name}/ is for {part}" in line


def test_a_stray_picture_in_a_part_makes_no_class_of_it(folders: Path, eight: InputContract, tmp_path: Path) -> None:
    root = divided(folders, tmp_path / "set", "train", "test")
    for name in ("train", "test"):
        shutil.copy(next((root / name / "left").iterdir()), root / name / "stray.png")
    dataset, lines = loaded(root, eight)
    assert (len(dataset), dataset.classes) == (12, ("left", "right"))
    assert lines[1:] == [f"{root}: 2 images lie beside the class folders and belong to no class"]


@pytest.mark.parametrize(
    "names", [("val", "test"), ("val",), ("train",), ("train", "training"), ("train", "test", "left")]
)
def test_parts_that_are_none_are_not_taken_for_classes(
    folders: Path, eight: InputContract, tmp_path: Path, names: tuple[str, ...]
) -> None:
    root = divided(folders, tmp_path / "parts", *names)
    with pytest.raises(
        DatasetError, match="look like parts of a set, not like classes, but are not train beside val or"
    ):
        load(str(root), eight)


def test_classes_may_be_called_like_parts_where_they_hold_images(folders: Path, eight: InputContract) -> None:
    (folders / "left").rename(folders / "train")
    (folders / "right").rename(folders / "test")
    assert loaded(folders, eight)[0].classes == ("test", "train")


def test_a_link_that_leads_back_up_is_not_followed(folders: Path, eight: InputContract, tmp_path: Path) -> None:
    (folders / "left" / "round").symlink_to(folders, target_is_directory=True)
    (folders / "left" / "self").symlink_to(folders / "left", target_is_directory=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(elsewhere / "linked.png")
    (folders / "right" / "slide").symlink_to(elsewhere, target_is_directory=True)
    opened = open_class_folders(folders)
    assert [file.name for file in opened.files[1]].count("linked.png") == 1
    assert len(loaded(folders, eight)[0]) < 20


def test_what_is_neither_file_nor_folder_is_passed_over(folders: Path, eight: InputContract) -> None:
    os.mkfifo(folders / "left" / "pipe")
    (folders / "left" / "nowhere").symlink_to(folders / "absent")
    dataset, lines = loaded(folders, eight)
    assert len(dataset) == 6
    assert lines == [f"{folders}: left out as no images: 2 × without suffix"]


def test_pictures_in_a_plain_folder_may_have_housekeeping_beside_them(
    tmp_path: Path, make_images: MakeImages, eight: InputContract
) -> None:
    for index, image in enumerate(make_images(3)):
        Image.fromarray(image).save(tmp_path / f"{index}", "BMP")
    (tmp_path / "@eaDir").mkdir()
    damaged(tmp_path / "cut.jpg")
    progress = Recorder()
    dataset = load_pictures(str(tmp_path), eight, progress)
    assert (len(dataset), dataset.classes) == (3, ("unlabelled",))
    assert "NOT READ: 1 of 4 images" in progress.lines[0]


def test_files_of_16_bits_are_inspected_and_cleaned_where_white_is_said(folders: Path, tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 4096, (8, 8)).astype(np.uint16)
    Image.fromarray(deep).save(folders / "left" / "deep.png")
    assert inspect(str(folders)).flagged == {"unreadable": 1}
    assert inspect(str(folders), white=4095).flagged == {}
    manifest, inspection = clean(str(folders), tmp_path / "cleaned", white=4095)
    assert manifest.counts_after == {"left": 4, "right": 3}
    assert inspection.white == 4095


@pytest.mark.slow
def test_train_and_evaluate_say_what_they_do_not_read(
    bctk: Bctk, bundle: Path, class_folders: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(class_folders, tmp_path / "set"))
    damaged(root / "left" / "slide_1" / "cut.jpg")
    (root / "empty").mkdir()
    for index, kind in enumerate(("TIFF", "BMP", "WEBP")):
        Image.fromarray(np.full((40, 40, 3), 50 * index, np.uint8)).save(root / "up" / f"{index}", kind)
    recipe = tmp_path / "own.toml"
    recipe.write_text(
        'model = "baseline_cnn"\ninput = { height = 32, width = 32, white = 4095 }\n'
        '[[phases]]\nname = "all"\nepochs = 1\nlearning_rate = 1e-3\n'
    )
    for arguments in (("train", "--recipe", recipe, "--name", "one"), ("evaluate", bundle, "--part", "all")):
        done = bctk(*arguments, "--data", root)
        assert done.returncode == 0, done.stderr
        assert "class folder 'empty' holds no image: it is left out" in done.stderr
        assert f"NOT READ: 1 of 124 images of {root}, which are left out: left 1; the first: " in done.stderr
        assert f"bctk data clean {root} --out DIR" in done.stderr
    assert "on 123 real images" in done.stdout
    assert "not read, and left out of the set: 1 files (left 1)" in done.stdout
    inspected = bctk("data", "inspect", root)
    assert "124 images" in inspected.stdout
    assert "white = 4095" in (tmp_path / "training" / "runs" / "one" / "recipe.toml").read_text()
