"""Cleaning takes what does not belong, keeps what does, and never touches what it reads."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import InputContract
from bctoolkit.data import load
from bctoolkit.data.quality import write_clean
from bctoolkit.data.quality.clean import clean
from bctoolkit.data.quality.manifest import Manifest
from bctoolkit.documents import parse
from bctoolkit.errors import BctkError, DatasetError, RecipeError

Pixels = NDArray[np.uint8]
MakeImages = Callable[..., Pixels]
Save = Callable[..., str]


def contents(root: Path) -> dict[str, str]:
    """Every file below `root` with the hash of its content."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_files_are_copied_byte_for_byte_and_the_manifest_adds_up(own: Path, tmp_path: Path) -> None:
    file = next(own.glob("*/*.png"))
    shutil.copy(file, file.with_name("copy.png"))
    manifest, _ = clean(str(own), tmp_path / "out")
    before, after = contents(own), contents(tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert parse(Manifest, stored, "manifest", BctkError) == manifest
    assert len(after) == 201
    assert all(before[name] == digest for name, digest in after.items() if name != "manifest.json")
    (gone,) = manifest.removed
    assert gone.reason == "duplicate"
    assert {gone.image, gone.kept_instead} == {f"{file.parent.name}/{name}" for name in (file.name, "copy.png")}
    assert sum(manifest.counts_before.values()) == 201
    assert sum(manifest.counts_after.values()) == 200


def test_the_manifest_s_hash_is_the_one_training_records(own: Path, tmp_path: Path) -> None:
    manifest, _ = clean(str(own), tmp_path / "out")
    loaded = load(str(tmp_path / "out"), InputContract(height=64, width=64))
    assert loaded.sha256 == manifest.dataset_sha256


def test_copies_under_different_labels_all_go_unless_they_are_to_stay(own: Path, tmp_path: Path) -> None:
    here, there = sorted(own.iterdir())[:2]
    file = next(here.glob("*.png"))
    shutil.copy(file, there / "other.png")
    both = {f"{here.name}/{file.name}", f"{there.name}/other.png"}
    manifest, _ = clean(str(own), tmp_path / "out")
    assert {entry.image for entry in manifest.removed} == both
    kept, _ = clean(str(own), tmp_path / "kept", keep=("label-conflict",))
    assert not kept.removed
    assert kept.flagged_but_kept == {"label-conflict": 2}


def test_near_copies_stay_unless_they_are_to_go(own: Path, tmp_path: Path) -> None:
    file = next(own.glob("*/*.png"))
    with Image.open(file) as picture:
        picture.resize((60, 60), Image.Resampling.LANCZOS).save(file.with_name("zz.jpg"), quality=90)
    manifest, _ = clean(str(own), tmp_path / "out")
    assert manifest.flagged_but_kept["near-duplicate"] == 2
    assert not manifest.removed
    dropped, _ = clean(str(own), tmp_path / "out", drop=("near-duplicate",))
    assert [entry.image for entry in dropped.removed] == [f"{file.parent.name}/zz.jpg"]


def test_damaged_and_odd_files_go_and_the_rest_trains(own: Path, tmp_path: Path) -> None:
    folder = sorted(own.iterdir())[0]
    (folder / "empty.png").write_bytes(b"")
    Image.new("CMYK", (64, 64)).save(folder / "print.jpg")
    Image.new("L", (64, 64), 99).save(folder / "grey.png")
    manifest, _ = clean(str(own), tmp_path / "out", keep=("foreign",))
    assert {entry.image.split("/")[1]: entry.reason for entry in manifest.removed} == {
        "empty.png": "unreadable",
        "print.jpg": "unreadable",
    }
    assert len(load(str(tmp_path / "out"), InputContract(height=64, width=64))) == 201


def test_an_archive_keeps_its_parts(make_images: MakeImages, save_npz: Save, tmp_path: Path) -> None:
    pixels = make_images(6)
    source = save_npz(
        train_images=pixels[:4],
        train_labels=np.array([[0], [1], [0], [1]]),
        test_images=np.stack([pixels[0], pixels[5]]),
        test_labels=np.array([[0], [1]]),
    )
    manifest, _ = clean(source, tmp_path / "out.npz")
    assert [entry.image for entry in manifest.removed] == ["test_images[0]"]
    with np.load(tmp_path / "out.npz") as stored:
        assert sorted(stored.files) == [
            "classes",
            "manifest.json",
            "test_images",
            "test_labels",
            "train_images",
            "train_labels",
        ]
        assert (stored["train_images"] == pixels[:4]).all()
        assert (stored["test_images"] == pixels[5:]).all()
        assert stored["test_labels"].tolist() == [1]
    again = load(str(tmp_path / "out.npz"), InputContract(height=8, width=8))
    assert again.sha256 == manifest.dataset_sha256
    with zipfile.ZipFile(tmp_path / "out.npz") as archive:
        assert parse(Manifest, json.loads(archive.read("manifest.json")), "manifest", BctkError) == manifest


def test_a_folder_becomes_an_archive_and_an_archive_a_folder(cell_folders: Path, tmp_path: Path) -> None:
    contract = InputContract(height=64, width=64)
    clean(str(cell_folders), tmp_path / "out.npz")
    clean(str(tmp_path / "out.npz"), tmp_path / "again")
    hashes = {load(str(path), contract).sha256 for path in (cell_folders, tmp_path / "out.npz", tmp_path / "again")}
    assert len(hashes) == 1


def test_an_archive_has_room_for_one_size(own: Path, tmp_path: Path) -> None:
    file = next(own.glob("*/*.png"))
    with Image.open(file) as picture:
        picture.resize((32, 32)).save(file.with_name("small.png"))
    with pytest.raises(DatasetError, match=r"32×32 and of 64×64 pixels.*clean into a folder"):
        clean(str(own), tmp_path / "out.npz")
    assert not list(tmp_path.glob("*out*"))


def test_a_class_that_would_be_empty_is_named(own: Path, tmp_path: Path) -> None:
    folder = own / "zebra"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"'zebra' would have no image left of 1 \(1 unreadable\).*--keep REASON"):
        clean(str(own), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("where", ["set", "set/inside", "."])
def test_the_set_that_is_read_is_never_written_to(own: Path, tmp_path: Path, where: str) -> None:
    before = contents(tmp_path)
    with pytest.raises(RecipeError, match="never written to"):
        clean(str(own), tmp_path / where)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["notes.txt", "manifest.json"])
def test_a_folder_that_is_no_cleaned_set_is_left_alone(cell_folders: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text('{"name": "a bundle"}')
    with pytest.raises(RecipeError, match="exists and is no earlier cleaned set"):
        clean(str(cell_folders), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_an_archive_that_is_no_cleaned_set_is_left_alone(cell_folders: Path, tmp_path: Path) -> None:
    (tmp_path / "out.npz").write_bytes(b"precious")
    with pytest.raises(RecipeError, match="exists and is no earlier cleaned set"):
        clean(str(cell_folders), tmp_path / "out.npz")
    assert (tmp_path / "out.npz").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("keep", "drop", "message"),
    [
        (("ugly",), (), "unknown reason 'ugly'; there are: unreadable, repeated"),
        ((), ("duplicates",), "unknown reason 'duplicates'"),
        (("foreign",), ("foreign",), "both to be kept and to be dropped"),
        (("unreadable",), (), "cannot be kept"),
    ],
)
def test_reasons_that_make_no_sense_are_refused(
    cell_folders: Path, tmp_path: Path, keep: tuple[str, ...], drop: tuple[str, ...], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        clean(str(cell_folders), tmp_path / "out", keep=keep, drop=drop)


@pytest.mark.parametrize("target", ["out", "out.npz"])
def test_a_failure_half_way_leaves_nothing(
    cell_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    def full(document: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write_clean, "to_json", full)
    with pytest.raises(DatasetError, match=f"cannot write .*{target}: No space left on device; nothing is left of it"):
        clean(str(cell_folders), tmp_path / target)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["out", "out.npz"])
def test_a_disk_that_does_not_take_the_set_is_one_line_and_nothing_is_left(
    own: Path, tmp_path: Path, name: str, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    before = contents(own)
    problem = rf"cannot write .*{name}: .*File too large; nothing is left of it"
    with full_disk(2_000), pytest.raises(DatasetError, match=problem):
        clean(str(own), tmp_path / "made" / name)
    assert contents(own) == before
    assert not (tmp_path / "made").exists()


@pytest.fixture
def fashion(make_images: MakeImages, save_npz: Save) -> str:
    """A set with a class that is called like a path."""
    return save_npz(images=make_images(6), labels=np.array(["T-shirt/top", "Coat"] * 3))


def test_a_class_called_like_a_path_is_cleaned_into_an_archive(fashion: str, tmp_path: Path) -> None:
    manifest, _ = clean(fashion, tmp_path / "out.npz")
    assert set(manifest.counts_after) == {"Coat", "T-shirt/top"}
    assert load(str(tmp_path / "out.npz"), InputContract(height=8, width=8)).sha256 == manifest.dataset_sha256


def test_a_class_called_like_a_path_is_no_folder(fashion: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"class 'T-shirt/top' cannot be the name of a folder; .*: --out out\.npz"):
        clean(fashion, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["..", "../x", "/tmp/x", "a\\b", ".hidden", "manifest.json"])
def test_no_label_becomes_a_path(make_images: MakeImages, save_npz: Save, tmp_path: Path, name: str) -> None:
    source = save_npz(images=make_images(4), labels=np.array(["fine", name] * 2))
    before = contents(tmp_path)
    with pytest.raises(RecipeError, match="write an archive"):
        clean(source, tmp_path / "out")
    assert contents(tmp_path) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from bctoolkit.data.quality.clean import clean
fatal, seen = int(sys.argv[3]), 0

def die_before_rename(event, arguments):
    global seen
    if event == "os.rename" and str(arguments[1]).startswith(sys.argv[2]):
        if seen == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

sys.addaudithook(die_before_rename)
clean(sys.argv[1], Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_an_archive_and_its_manifest_are_never_of_different_sets(
    make_images: MakeImages, save_npz: Save, tmp_path: Path
) -> None:
    """Killed before each of its renames, until none is left to be killed before."""
    out = tmp_path / "out.npz"
    old, _ = clean(save_npz(images=make_images(6), labels=[0, 1] * 3), out)
    pixels = make_images(8)
    source = save_npz(images=pixels, labels=[0, 1] * 4)
    for fatal in range(5):
        done = subprocess.run([sys.executable, "-c", KILLED, source, str(out), str(fatal)], check=False, timeout=120)
        with zipfile.ZipFile(out) as archive:
            stored = parse(Manifest, json.loads(archive.read("manifest.json")), "manifest", BctkError)
        loaded = load(str(out), InputContract(height=8, width=8))
        assert loaded.sha256 == stored.dataset_sha256
        assert len(loaded) == sum(stored.counts_after.values())
        if not done.returncode:
            break
    assert fatal == 1, "one rename is all there is"
    assert stored.dataset_sha256 != old.dataset_sha256
    assert [path.name for path in tmp_path.glob(".out*")] == []
