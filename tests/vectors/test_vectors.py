"""Conformance vectors: written from bundles, held against this implementation, and read as anybody's files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.contract import InputContract
from bctoolkit.errors import RecipeError, VectorsError
from bctoolkit.manifest import Manifest
from bctoolkit.runtime import Classifier, StubBackend
from bctoolkit.vectors import compare, read_vectors, write
from tests.support.bundles import write as write_bundle
from tests.support.cli import Bctk

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")

ZOO = Path(__file__).resolve().parents[2] / "exports" / "zoo"
NAMES = ("atto-onnx-int8-dynamic", "atto-tflite-int8-dynamic")
ANSWER = [0.75, 0.25]
REFUSED = {
    *("jpeg-cmyk", "jpeg-cut", "png-rgb-16-bit", "png-rgba-16-bit", "png-grey-16-bit", "png-grey-alpha-16-bit"),
    *("png-cut", "png-animated", "png-huge", "text", "empty"),
}


def subject(folder: Path, **changes: Any) -> tuple[bundles.Bundle, Classifier]:
    """A bundle of a contract of its own, and a classifier that always answers the same."""
    opened = write_bundle(folder, **changes)
    return opened, Classifier(StubBackend(ANSWER), opened.manifest.input, opened.manifest.labels)


def small(folder: Path, **contract: Any) -> tuple[bundles.Bundle, Classifier]:
    shape = {"height": 6, "width": 5} | contract
    golden = bundles.Golden(
        np.zeros((1, 6, 5, shape.get("channels", 3)), np.uint8), np.full((1, 2), 0.5, np.float32), np.array([-1])
    )
    return subject(folder, input=InputContract(**shape), golden=golden)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """Vectors of a bundle `one`. Read only."""
    root = tmp_path_factory.mktemp("vectors")
    opened, classifier = small(root / "one")
    write([(opened, classifier)], root / "vectors")
    return root / "vectors", opened.manifest


@pytest.fixture
def copy(written: tuple[Path, Manifest], tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(written[0], tmp_path / "copy"))


def answer(images: Any) -> Any:
    return np.array([ANSWER], np.float32)


def slugs(vectors: Any, refused: bool) -> set[str]:
    cases = [case for case in vectors.cases if (case.refused is not None) == refused]
    return {case.file.removeprefix("images/").partition("-")[2].partition(".")[0] for case in cases}


def test_sixty_four_files_of_which_some_are_refused(written: tuple[Path, Manifest]) -> None:
    vectors, arrays = read_vectors(written[0])
    assert len(vectors.cases) == 64
    assert slugs(vectors, True) == REFUSED
    assert {f"jpeg-orientation-{turn}" for turn in range(1, 10)} <= slugs(vectors, False)
    assert arrays.shape == (53, 6, 5, 3)
    assert sorted(path.name for path in (written[0] / "images").iterdir()) == [
        case.file.removeprefix("images/") for case in vectors.cases
    ]


def test_what_was_written_is_what_comes_of_it(written: tuple[Path, Manifest]) -> None:
    comparison = compare(*written, answer)
    assert comparison.faults == ()
    assert "arrays: 53 of 53 are the same, bit by bit" in comparison.lines
    assert "refusals: 11 of 11 files are refused" in comparison.lines


def test_the_same_bundle_gives_the_same_files(written: tuple[Path, Manifest], tmp_path: Path) -> None:
    write([small(tmp_path / "one")], tmp_path / "again")
    for path in written[0].rglob("*"):
        if path.is_file() and path.suffix != ".npz":  # holds the time
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(written[0])).read_bytes()


@pytest.mark.parametrize("white", [1023, 4095, 65_535])
def test_files_of_16_bits_are_read_where_white_is_declared(tmp_path: Path, white: int) -> None:
    opened, classifier = small(tmp_path / "one", white=white)
    vectors = write([(opened, classifier)], tmp_path / "vectors")
    deep = {slug for slug in REFUSED if "16-bit" in slug}
    assert deep <= slugs(vectors, False)
    assert slugs(vectors, True) - (REFUSED - deep) == ({"png-above-white"} if white < 65_535 else set())
    assert compare(tmp_path / "vectors", opened.manifest, answer).faults == ()


def test_a_grey_model_and_one_of_floats_have_vectors_too(tmp_path: Path) -> None:
    opened, classifier = small(tmp_path / "one", channels=1, dtype="float32", crop="none")
    write([(opened, classifier)], tmp_path / "vectors")
    assert read_vectors(tmp_path / "vectors")[1].shape == (53, 6, 5, 1)
    assert compare(tmp_path / "vectors", opened.manifest, answer).faults == ()


def test_a_picture_smaller_than_the_crop_is_refused_there_too(tmp_path: Path) -> None:
    opened, classifier = small(tmp_path / "one", crop=90)
    vectors = write([(opened, classifier)], tmp_path / "vectors")
    assert {"jpeg-small", "png-small", "jpeg-one-pixel", "jpeg-wide"} <= slugs(vectors, True)
    assert compare(tmp_path / "vectors", opened.manifest, answer).faults == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": InputContract(height=6, width=5, crop="none")}, "two has another contract or other labels than one"),
        ({"labels": ("b", "a")}, "two has another contract or other labels than one"),
    ],
)
def test_bundles_that_cannot_share_vectors(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    first = subject(tmp_path / "one", input=InputContract(height=6, width=5), labels=("a", "b"))
    other = subject(tmp_path / "two", **({"input": InputContract(height=6, width=5), "labels": ("a", "b")} | change))
    with pytest.raises(VectorsError, match=message):
        write([first, other], tmp_path / "vectors")
    with pytest.raises(VectorsError, match="two bundles are called one"):
        write([first, first], tmp_path / "vectors")
    assert not (tmp_path / "vectors").exists()


def test_a_model_that_takes_no_pictures_has_none(tmp_path: Path) -> None:
    with pytest.raises(VectorsError, match="which no image file holds"):
        write([small(tmp_path / "one", channels=5)], tmp_path / "vectors")


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path, written: tuple[Path, Manifest]) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").write_text("mine")
    with pytest.raises(RecipeError, match=r"not one of ours \(it holds no vectors\.json\)"):
        write([small(tmp_path / "one")], tmp_path / "own")
    assert (tmp_path / "own" / "notes.txt").read_text() == "mine"


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    raw = json.loads((folder / "vectors.json").read_bytes())
    change(raw)
    (folder / "vectors.json").write_text(json.dumps(raw))


def faults(folder: Path, manifest: Manifest, probabilities: list[float] = ANSWER) -> str:
    found = compare(folder, manifest, lambda images: np.array([probabilities], np.float32)).faults
    return " | ".join(found)


def test_what_differs_is_named(copy: Path, written: tuple[Path, Manifest]) -> None:
    manifest, images = written[1], read_vectors(copy)[1].copy()
    images[3, 2, 1] += 9
    np.savez_compressed(copy / "inputs.npz", images=images)
    found = faults(copy, manifest)
    assert found.startswith("images/03-jpeg-low-quality.jpg (RGB JPEG, baseline, quality 25, chroma 4:2:0, 99×123): ")
    assert "3 values differ, by up to" in found


def test_an_engine_that_answers_otherwise_is_found(copy: Path, written: tuple[Path, Manifest]) -> None:
    assert "max |Δp| 2.0e-01 is more than 1.0e-02" in faults(copy, written[1], [0.95, 0.05])
    assert "is b, but Zelle ü in the vectors" in faults(copy, written[1], [0.49, 0.51])
    assert faults(copy, written[1], [0.755, 0.245]) == ""


def test_a_file_that_should_be_refused_and_one_that_should_not(copy: Path, written: tuple[Path, Manifest]) -> None:
    def exchange(raw: dict[str, Any]) -> None:
        one, other = raw["cases"][0], next(case for case in raw["cases"] if "cmyk" in case["file"])
        for key in ("file", "sha256"):
            one[key], other[key] = other[key], one[key]

    edit(copy, exchange)
    found = faults(copy, written[1])
    assert "26-jpeg-cmyk.jpg (RGB JPEG, baseline, chroma 4:2:0, 131×97) is refused: " in found
    assert "00-jpeg-420.jpg (CMYK JPEG, 61×59) is read, but has to be refused: is CMYK" in found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw["cases"][0].update(file="../secret"), "is no plain name in images/"),
        (lambda raw: raw["cases"][0].update(file="images/../../secret"), "is no plain name"),
        (lambda raw: raw["cases"][0].update(file="/etc/passwd"), "is no plain name"),
        (lambda raw: raw["cases"][0].update(file="images/a\nb"), "is no plain name"),
        (lambda raw: raw["cases"][0].update(sha256="0"), "is no SHA-256"),
        (lambda raw: raw["cases"][0].update(array=None), "wanted either a reason"),
        (lambda raw: raw["cases"][0].update(array=7), "not numbered in order"),
        (lambda raw: raw["cases"][1].update(raw["cases"][0] | {"array": 1}), "a file is there twice"),
        (lambda raw: raw["bundles"]["one"]["answers"].pop(), "not one answer for each of 64 cases"),
        (lambda raw: raw["bundles"]["one"]["answers"][0].pop(), "does not fit the case or the labels"),
        (lambda raw: raw["bundles"].update({"../one": raw["bundles"]["one"]}), "cannot be the name of a folder"),
        (lambda raw: raw.update(labels=["a", "a"]), "stands there twice"),
        (lambda raw: raw.update(cases=[]), "wanted at least one of each"),
        (lambda raw: raw.update(schema=2), "schema"),
        (lambda raw: raw.update(more=1), "unknown key 'more'"),
        (lambda raw: raw["input"].update(height=5), r"'images': 53×6×5×3 uint8; wanted 53×5×5×3"),
        (lambda raw: raw["bundles"].update(two=raw["bundles"].pop("one")), "holds answers of two, not of this one"),
        (lambda raw: raw["bundles"]["one"].update(model_sha256="0" * 64), "not of this one"),
        (lambda raw: raw["input"].update(resize="nearest"), "made for another contract or other labels"),
    ],
)
def test_vectors_that_make_no_sense_are_one_line(
    copy: Path, written: tuple[Path, Manifest], change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(copy, change)
    with pytest.raises(VectorsError, match=message) as caught:
        compare(copy, written[1], answer)
    assert "\n" not in str(caught.value)


def test_a_damaged_a_missing_and_a_linked_file(copy: Path, written: tuple[Path, Manifest], tmp_path: Path) -> None:
    first = copy / "images" / "00-jpeg-420.jpg"
    first.write_bytes(first.read_bytes() + b"x")
    with pytest.raises(VectorsError, match=r"00-jpeg-420\.jpg: SHA-256 differs from the one in vectors\.json"):
        compare(copy, written[1], answer)
    first.unlink()
    with pytest.raises(VectorsError, match=r"00-jpeg-420\.jpg: no such file"):
        compare(copy, written[1], answer)
    shutil.copy(written[0] / "images" / first.name, tmp_path / "elsewhere.jpg")
    first.symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(VectorsError, match="is a link to a file outside"):
        compare(copy, written[1], answer)
    (copy / "inputs.npz").write_bytes(b"PK")
    with pytest.raises(VectorsError, match=r"inputs\.npz: cannot be read as a zip archive"):
        read_vectors(copy)
    with pytest.raises(VectorsError, match="no such file"):
        read_vectors(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_the_zoo_s_vectors_hold_here(name: str, bctk: Bctk) -> None:
    done = bctk("verify", ZOO / name, "--vectors", ZOO / "vectors")
    assert done.returncode == 0, done.stderr
    for line in ("vectors: 64 files", "arrays: 50 of 50", "refusals: 14 of 14", "labels: 50 of 50", "verified"):
        assert line in done.stdout


def test_bundles_of_one_contract_share_a_folder(bctk: Bctk, tmp_path: Path) -> None:
    done = bctk("vectors", *(ZOO / name for name in NAMES), "--out", "vectors")
    assert done.returncode == 0, done.stderr
    assert "vectors: 64 files, 14 of them to be refused" in done.stdout
    vectors, arrays = read_vectors(tmp_path / "vectors")
    stored, stored_arrays = read_vectors(ZOO / "vectors")
    assert set(vectors.bundles) == set(NAMES)
    assert [(case.file, case.what, case.array) for case in vectors.cases] == [
        (case.file, case.what, case.array) for case in stored.cases
    ]
    assert arrays.shape == stored_arrays.shape


def test_a_failed_comparison_ends_with_three(bctk: Bctk, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ZOO / "vectors", tmp_path / "vectors"))
    images = read_vectors(folder)[1].copy()
    images[0] ^= 1
    np.savez_compressed(folder / "inputs.npz", images=images)
    done = bctk("verify", ZOO / NAMES[0], "--vectors", folder)
    assert done.returncode == 3
    assert "FAILED: images/00-jpeg-420.jpg" in done.stderr
    assert "arrays: 49 of 50 are the same" in done.stdout
