"""What words on a command line mean."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.errors import DatasetError
from bctoolkit.progress import Silent
from bctoolkit.scoring.inputs import Inputs, Item, Stored

CONTRACT = InputContract(height=4, width=4)


def files(*words: object) -> list[str]:
    return [item.file for item in Inputs([str(word) for word in words])]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_folder_gives_the_pictures_below_it_without_housekeeping(tmp_path: Path) -> None:
    wanted = ["b.JPG", "c.tif", "A/1.png", "A/2.jpeg", "A/3.jfif", "A/deep/3.webp", "z/4.bmp", "z/none"]
    others = [".hidden.png", ".cache/5.png", "__MACOSX/6.png", "@eaDir/7.png", "Thumbs.db", "notes.txt", "A/._1.png"]
    touch(*(tmp_path / name for name in [*wanted, *others, "labels.csv"]))
    (tmp_path / "z" / "none").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert files(tmp_path) == [str(tmp_path / name) for name in wanted]


def test_words_keep_their_order_and_may_repeat(tmp_path: Path) -> None:
    touch(tmp_path / "set" / "a.png", tmp_path / "one.png")
    words = (tmp_path / "one.png", tmp_path / "set", tmp_path / "one.png", "absent.png")
    assert files(*words) == [str(words[0]), str(tmp_path / "set" / "a.png"), str(words[0]), "absent.png"]


def test_links_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    touch(tmp_path / "store" / "a.png", tmp_path / "set" / "b.png")
    (tmp_path / "set" / "link").symlink_to(tmp_path / "store")
    (tmp_path / "set" / "round").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "dead.png").symlink_to(tmp_path / "nowhere")
    assert files(tmp_path / "set") == [str(tmp_path / "set" / name) for name in ("b.png", "dead.png", "link/a.png")]


def test_folders_without_end_are_refused(tmp_path: Path) -> None:
    touch(tmp_path.joinpath(*["d"] * 70) / "a.png")
    with pytest.raises(DatasetError, match="lies in 64 folders"):
        files(tmp_path)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_list_has_a_path_a_line(tmp_path: Path, end: str, mark: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes((mark + end.join(["a.png", "", "sub dir/b.png", "#c.png"])).encode())
    assert files(path) == files(f"@{path}") == ["a.png", "sub dir/b.png", "#c.png"]


def test_any_file_is_a_list_behind_an_at_sign(tmp_path: Path) -> None:
    (tmp_path / "paths").write_text("a.png\n")
    assert files(f"@{tmp_path / 'paths'}") == ["a.png"]
    assert files(f"{tmp_path / 'paths'}") == [str(tmp_path / "paths")]


def test_a_csv_list_has_a_column_of_files(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes('\ufeffclass,file,note\r\nx,a.png,\r\ny,"b,\n1.png",z\r\nshort\r\n'.encode())
    assert files(path) == ["a.png", "b,\n1.png"]


def test_names_that_are_no_utf_8_come_through(tmp_path: Path) -> None:
    names = [b"\xff.png", b"caf\xe9.png"]
    (tmp_path / "list.txt").write_bytes(b"\n".join(names))
    (tmp_path / "list.csv").write_bytes(b"file\n" + b"\n".join(names))
    for name in names:
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))).touch()
    for word in ("list.txt", "list.csv"):
        assert [os.fsencode(file) for file in files(tmp_path / word)] == names
    assert {os.fsencode(Path(file).name) for file in files(tmp_path)} == set(names)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.csv", b"path,label\na.png,x\n", "has not one column 'file'; it has: path, label"),
        ("list.csv", b"", "has not one column 'file'; it has: none"),
        ("list.csv", b"file,file\na,b\n", "has not one column 'file'"),
        ("list.csv", b'file\n"' + b"x" * 140_000, "2 has 65,536 bytes or more"),
        ("list.csv", b'file\n"' + b"x\n" * 140_000, "cannot be read as CSV"),
        ("list.txt", b"x" * 70_000, "line 1 has 65,536 bytes or more, which no path has"),
        ("set.npz", b"no archive", "cannot be read as a zip archive"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message) as caught:
        files(path)
    assert str(path) in str(caught.value)


def test_a_list_that_is_not_there_is_an_error_and_an_image_is_not(tmp_path: Path) -> None:
    for word in ("@absent", "absent.txt", "absent.csv", "absent.npz", ""):
        with pytest.raises(DatasetError):
            Inputs([word])
    assert files("absent.png", "absent") == ["absent.png", "absent"]


def pixels(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, 5, 6, 3), np.uint8)


def shown(items: Inputs) -> list[tuple[str, int | None, bytes]]:
    return [(item.file, item.place, np.asarray(item.read()).tobytes()) for item in items]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_need_no_labels(tmp_path: Path, save: object) -> None:
    path, images = tmp_path / "set.npz", pixels(3)
    save(path, images=images)  # type: ignore[operator]
    assert shown(Inputs([str(path)])) == [(str(path), n, images[n].tobytes()) for n in range(3)]


def test_the_parts_of_an_archive_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "medmnist.npz"
    np.savez(path, train_images=pixels(2), train_labels=np.zeros(2, int), test_images=pixels(1))
    assert [(item.file, item.place) for item in Inputs([str(path)])] == [
        (f"{path}:train_images", 0),
        (f"{path}:train_images", 1),
        (f"{path}:test_images", 0),
    ]


def test_a_folder_of_arrays_is_one(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", pixels(2))
    touch(tmp_path / "look.png")
    items = list(Inputs([str(tmp_path)]))
    assert [item.place for item in items] == [0, 1]
    assert all(isinstance(item.picture, Stored) for item in items)


@pytest.mark.parametrize("images", [np.zeros((2, 5, 6, 4), np.uint8), np.zeros((2, 5, 6, 2), np.uint8)])
def test_arrays_of_another_form_are_refused_before_any_work(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    np.savez(tmp_path / "set.npz", images=images)
    with pytest.raises(DatasetError, match=r"set.npz: its images are 5×6×[24]; the model wants uint8 array"):
        Inputs([str(tmp_path / "set.npz")]).require(CONTRACT, Silent())


def test_a_damaged_archive_is_refused_before_any_work(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, images=pixels(40))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"set\.npz: .*CRC"):
        Inputs([str(path)]).require(CONTRACT, Silent())


def test_nothing_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n\n")
    for word in (tmp_path, tmp_path / "list.txt"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(DatasetError, match="no image in "):
            Inputs([str(tmp_path / "empty" if word == tmp_path else word)]).survey()


def test_a_survey_sees_every_change(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "b" / "c.png")
    np.savez(tmp_path / "set.npz", images=pixels(2))
    inputs = Inputs([str(tmp_path), str(tmp_path / "set.npz")])
    first = inputs.survey()
    assert first.images == 4
    assert inputs.survey() == first
    (tmp_path / "a.png").write_bytes(b"x")
    larger = inputs.survey()
    os.utime(tmp_path / "a.png", ns=(1, 1))
    older = inputs.survey()
    (tmp_path / "a.png").unlink()
    fewer = inputs.survey()
    np.savez(tmp_path / "set.npz", images=pixels(3))
    assert len({each.sha256 for each in (first, larger, older, fewer, Inputs(inputs._words).survey())}) == 5
    assert (fewer.images, inputs.survey().images) == (3, 3)


@given(st.lists(st.text("ab/.\udcff é", min_size=1, max_size=8), min_size=1, max_size=6), st.randoms())
def test_a_survey_is_of_an_order(names: list[str], dice: random.Random) -> None:
    """Of names that may or may not be files; none of these is a folder."""
    words = [f"{name}.png" for name in names]
    other = dice.sample(words, len(words))
    assert (Inputs(words).survey() == Inputs(other).survey()) == (words == other)


def test_an_item_of_pixels_is_read_as_it_is() -> None:
    image = pixels(1)[0]
    assert Item("x", 0, image).read() is image
