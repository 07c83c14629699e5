"""Inspecting reports what is bad and stops at none of it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.data.quality.contact_sheet import FINDINGS_PER_REASON, write_contact_sheet
from bctoolkit.data.quality.duplicates import exact_copies, near_copies
from bctoolkit.data.quality.findings import REASONS
from bctoolkit.data.quality.inspect import Inspection, NamedFinding, inspect
from bctoolkit.data.quality.outliers import MIN_PICTURES, THRESHOLD, outlier_score
from bctoolkit.data.sources.synthetic import draw
from bctoolkit.errors import DatasetError

Pixels = NDArray[np.uint8]
MakeImages = Callable[..., Pixels]
Save = Callable[..., str]


@pytest.fixture
def folders(make_images: MakeImages, save_folders: Save) -> Path:
    """Ten images of two classes, to be spoilt."""
    return Path(save_folders(make_images(10, height=24, width=24), [0, 1] * 5, ("left", "right")))


def of(inspection: Inspection, reason: str) -> list[NamedFinding]:
    return [finding for finding in inspection.findings if finding.reason == reason]


def test_a_good_set_is_described_and_nothing_flagged(folders: Path) -> None:
    inspection = inspect(str(folders))
    assert inspection.count == inspection.pictures == 10
    assert inspection.flagged == {}
    assert [(size.width, size.height, size.count) for size in inspection.sizes] == [(24, 24, 10)]
    assert inspection.modes == {"RGB": 10}


def test_tones_are_those_of_the_pixels(tmp_path: Path) -> None:
    for name, colour in (("left", (200, 100, 50)), ("right", (0, 0, 0))):
        (tmp_path / name).mkdir()
        Image.new("RGB", (20, 30), colour).save(tmp_path / name / "1.png")
    left, right = inspect(str(tmp_path)).classes.values()
    assert left.mean_rgb == pytest.approx((200, 100, 50))
    assert left.saturation == pytest.approx(0.75)
    assert left.brightness == pytest.approx(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert left.sharpness == pytest.approx(0, abs=1e-3)
    assert (right.mean_rgb, right.saturation) == ((0, 0, 0), 0)


def test_a_sharper_class_has_the_greater_sharpness(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, side in (("blurred", 6), ("sharp", 48)):
        (tmp_path / name).mkdir()
        picture = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
        picture.resize((48, 48), Image.Resampling.BICUBIC).save(tmp_path / name / "1.png")
    blurred, sharp = inspect(str(tmp_path)).classes.values()
    assert (sharp.sharpness or 0) > 10 * (blurred.sharpness or 0) > 0


@pytest.mark.parametrize(
    ("content", "why"), [(b"", "the file is empty"), (b"text", "it is none of JPEG, PNG")], ids=["empty", "text"]
)
def test_an_unreadable_file_is_reported_with_its_reason(folders: Path, content: bytes, why: str) -> None:
    (folders / "left" / "bad.png").write_bytes(content)
    inspection = inspect(str(folders))
    (finding,) = of(inspection, "unreadable")
    assert finding.images == ("left/bad.png",)
    assert why in finding.why
    assert inspection.classes["left"].unreadable == 1
    assert inspection.count == 11


def test_a_cut_off_jpeg_is_reported(folders: Path, make_images: MakeImages) -> None:
    file = folders / "left" / "half.jpg"
    Image.fromarray(make_images(1, height=64, width=64)[0]).save(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    (finding,) = of(inspect(str(folders)), "unreadable")
    assert "truncated" in finding.why


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_other_kinds_of_pixels_are_counted(folders: Path, mode: str) -> None:
    Image.new(mode, (24, 24)).save(folders / "right" / "odd.png")
    inspection = inspect(str(folders))
    assert not of(inspection, "unreadable")
    assert inspection.modes == {"RGB": 10, mode: 1}


def test_sizes_are_counted_and_an_odd_one_flagged(folders: Path, make_images: MakeImages) -> None:
    Image.fromarray(make_images(1, seed=9, height=9, width=31)[0]).save(folders / "right" / "odd.png")
    inspection = inspect(str(folders))
    assert [(size.width, size.height, size.count) for size in inspection.sizes] == [(24, 24, 10), (31, 9, 1)]
    (finding,) = of(inspection, "odd-size")
    assert finding.why == "31×9 pixels, usual are 24×24"
    assert "different sizes" in " ".join(inspection.notes)


def test_images_of_one_pixel_and_of_one_class_are_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    Image.new("RGB", (1, 1)).save(tmp_path / "only" / "1.png")
    assert "one class" in " ".join(inspect(str(tmp_path)).notes)


def test_a_set_of_nothing_readable_is_described(tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "1.png").write_bytes(b"no")
    inspection = inspect(str(tmp_path))
    assert inspection.flagged == {"unreadable": 1}
    assert inspection.pictures == 0
    assert inspection.classes["only"].mean_rgb is None


def test_what_no_reader_would_see_is_noted(folders: Path) -> None:
    (folders / "middle").mkdir()
    shutil.copy(next((folders / "left").iterdir()), folders / "loose.png")
    (folders / "left" / "notes.txt").write_text("x")
    notes = " | ".join(inspect(str(folders)).notes)
    assert "class folder 'middle' holds no image: it is left out" in notes
    assert "1 images lie beside" in notes
    assert "left out as no images: 1 × .txt" in notes


def test_copies_are_told_by_pixels_whatever_the_format(folders: Path) -> None:
    file = sorted((folders / "left").iterdir())[0]
    with Image.open(file) as picture:
        picture.save(folders / "left" / "zz.png", compress_level=0)
    (finding,) = of(inspect(str(folders)), "duplicate")
    assert finding.images == (f"left/{file.name}", "left/zz.png")


def test_a_copy_under_another_label_is_a_conflict_and_no_duplicate(folders: Path) -> None:
    file = sorted((folders / "left").iterdir())[0]
    shutil.copy(file, folders / "right" / "zz.png")
    inspection = inspect(str(folders))
    (finding,) = of(inspection, "label-conflict")
    assert finding.labels == ("left", "right")
    assert inspection.flagged == {"label-conflict": 2}


def test_a_picture_saved_again_is_a_near_duplicate(folders: Path) -> None:
    smooth = Image.radial_gradient("L").convert("RGB")
    smooth.resize((96, 96)).save(folders / "left" / "a.png")
    smooth.resize((90, 94)).save(folders / "left" / "b.jpg", quality=60)
    (finding,) = of(inspect(str(folders)), "near-duplicate")
    assert finding.images == ("left/a.png", "left/b.jpg")


def test_few_pictures_are_not_judged(folders: Path) -> None:
    Image.new("RGB", (24, 24), "red").save(folders / "left" / "red.png")
    inspection = inspect(str(folders))
    assert not inspection.foreign_judged
    assert not of(inspection, "foreign")
    assert f"too few to tell foreign ones, which takes {MIN_PICTURES}" in " ".join(inspection.notes)


def test_a_set_multiplied_on_purpose_is_no_pollution(make_images: MakeImages, save_npz: Save) -> None:
    pixels = make_images(12).repeat(25, axis=0)
    inspection = inspect(save_npz(images=pixels, labels=np.repeat([0, 1], 150)))
    assert set(inspection.flagged) == {"duplicate"}


def test_small_images_of_an_archive(save_npz: Save) -> None:
    drawn, labels, _ = draw(per_class=40, seed=1, size=28)
    pixels = drawn.copy()
    pixels[7] = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    pixels[170] = 0
    source = save_npz(
        train_images=pixels[:80], train_labels=labels[:80], val_images=pixels[80:], val_labels=labels[80:]
    )
    foreign = of(inspect(source), "foreign")
    assert {finding.images[0] for finding in foreign} == {"train_images[7]", "val_images[90]"}


@pytest.mark.soak
def test_the_synthetic_set_is_clean() -> None:
    inspection = inspect("synthetic")
    assert inspection.count == 960
    assert inspection.flagged == {}


def test_the_same_set_gives_the_same_findings(folders: Path) -> None:
    shutil.copy(sorted((folders / "left").iterdir())[0], folders / "right" / "zz.png")
    assert inspect(str(folders)).findings == inspect(str(folders)).findings


@pytest.mark.parametrize("make", ["nothing", "file", "no-folders", "no-images"])
def test_what_is_no_set_is_refused(tmp_path: Path, make: str) -> None:
    source = tmp_path / "set"
    if make == "file":
        source.write_text("x")
    elif make != "nothing":
        source.mkdir()
    if make == "no-images":
        (source / "left").mkdir()
    with pytest.raises(DatasetError) as caught:
        inspect(str(source))
    assert str(source) in str(caught.value)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_exact_copies_group_equal_hashes(ids: list[int]) -> None:
    groups = exact_copies(np.array(ids, np.uint8)[:, None].repeat(32, axis=1))
    assert ((groups[:, None] == groups) == (np.array(ids)[:, None] == ids)).all()


@given(st.permutations(range(9)))
def test_near_copies_do_not_depend_on_the_order(order: list[int]) -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(20, 230, (3, 16, 16, 3)).repeat(3, axis=0)
    thumbnails = (base + rng.integers(-2, 3, base.shape)).astype(np.uint8)
    groups = near_copies(thumbnails[order])
    of_base = np.array(order) // 3
    assert ((groups[:, None] == groups) == (of_base[:, None] == of_base)).all()


def test_the_outlier_score_spares_a_small_second_kind_and_finds_the_lonely() -> None:
    rng = np.random.default_rng(0)
    many, some = rng.normal(0, 1, (970, 8)), rng.normal(0, 1, (30, 8)) + 6
    lonely = rng.choice([-1, 1], (6, 8)) * rng.uniform(9, 20, (6, 8))
    scores = outlier_score(np.vstack([many, some, lonely]).astype(np.float32))
    assert (scores[1000:] > THRESHOLD).all()
    assert (scores[:1000] <= THRESHOLD).all()


def test_the_page_shows_what_was_flagged_and_counts_the_rest(
    folders: Path, make_images: MakeImages, tmp_path: Path
) -> None:
    for index, image in enumerate(make_images(FINDINGS_PER_REASON + 7, seed=1, height=24, width=24)):
        for copy in ("", "again"):
            Image.fromarray(image).save(folders / "left" / f"<{index}>{copy}.png")
    inspection = inspect(str(folders))
    write_contact_sheet(inspection, tmp_path / "pages" / "page.html")
    page = (tmp_path / "pages" / "page.html").read_text(encoding="utf-8")
    assert "… and 7 more findings" in page
    assert page.count("<figure>") == sum(min(len(of(inspection, reason)), FINDINGS_PER_REASON) for reason in REASONS)
    assert "left/&lt;0&gt;.png" in page
    assert "<0>" not in page
    assert "data:image/jpeg;base64," in page
    assert "http" not in page.replace("http-equiv", "")
