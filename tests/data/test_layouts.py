"""Arrays as they lie about: every layout whose meaning is certain is read, the others say how to save them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import InputContract, in_grey
from bctoolkit.contract.values import certain, likely, spread
from bctoolkit.data import Dataset, load
from bctoolkit.data.sources.arrays import open_images
from bctoolkit.data.sources.members import labels_beside, pairs
from bctoolkit.errors import DatasetError
from tests.support.mending import mend_file
from tests.support.progress import Recorder

Arrays = dict[str, Any]
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 10, 9, 3), dtype=np.uint8)
GREY = PIXELS[..., 0]
LABELS = np.arange(12) % 3
RGB, DEEP = (InputContract(height=10, width=9, crop="none", white=white) for white in (None, 4095))
ONE_CHANNEL = InputContract(height=10, width=9, crop="none", channels=1)
both_stores = pytest.mark.parametrize("most", [2**30, 1], ids=["eager", "lazy"])


def saved(folder: Path, arrays: Arrays) -> Path:
    np.savez(folder / "set.npz", **arrays)
    return folder / "set.npz"


def loaded(path: Path, contract: InputContract = RGB, most: int = 2**30) -> Dataset:
    return load(str(path), contract, most_in_memory=most)


def halves(images: str, labels: str, first: str, second: str) -> Arrays:
    """Two parts, whose names are `train_{}`, `{}_test` and so on."""
    return {
        first.format(images): PIXELS[:8],
        first.format(labels): LABELS[:8],
        second.format(images): PIXELS[8:],
        second.format(labels): LABELS[8:],
    }


NAMED: dict[str, Arrays] = {
    "images": {"images": PIXELS, "labels": LABELS},
    "X": {"X": PIXELS, "y": LABELS},
    "x": {"x": PIXELS, "y": LABELS, "target_names": ["class_0", "class_1", "class_2"]},
    "data": {"data": PIXELS, "target": LABELS, "note": np.arange(3)},
    "keras": halves("x", "y", "{}_train", "{}_test"),
    "large": halves("X", "y", "{}_train", "{}_val"),
    "medmnist": halves("images", "labels", "train_{}", "test_{}"),
    "torch": halves("data", "targets", "train_{}", "test_{}"),
}


@both_stores
@pytest.mark.parametrize("arrays", NAMED.values(), ids=NAMED)
def test_images_and_labels_are_known_by_the_names_people_give_them(tmp_path: Path, arrays: Arrays, most: int) -> None:
    dataset = loaded(saved(tmp_path, arrays), most=most)
    assert np.array_equal(dataset.images[:], PIXELS)
    assert dataset.labels.tolist() == LABELS.tolist()
    assert dataset.classes == ("class_0", "class_1", "class_2")
    assert (dataset.published is None) == (len(arrays) < 4)


@both_stores
def test_a_folder_of_arrays_and_an_array_beside_its_labels_are_sets(tmp_path: Path, most: int) -> None:
    for name, array in NAMED["keras"].items():
        np.save(tmp_path / f"{name}.npy", array)
    whole, train = loaded(tmp_path, most=most), loaded(tmp_path / "x_train.npy", most=most)
    assert np.array_equal(whole.images[:], PIXELS)
    assert whole.published is not None
    assert whole.published.tolist() == [0] * 8 + [2] * 4
    assert np.array_equal(train.images[:], PIXELS[:8])
    assert train.published is None
    (tmp_path / "y_train.npy").unlink()
    with pytest.raises(DatasetError, match=r"no labels lie beside it; save them as x_train\.labels\.npy$"):
        loaded(tmp_path / "x_train.npy")


def test_an_array_beside_class_folders_does_not_make_the_folder_one_of_arrays(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(PIXELS[0]).save(tmp_path / name / "1.png")
    np.save(tmp_path / "data.npy", np.arange(3))
    assert loaded(tmp_path).classes == ("a", "b")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": PIXELS, "X": PIXELS, "y": LABELS}, "both 'images' and 'X' could hold the images; save one of them"),
        ({"x_train": PIXELS, "train_labels": LABELS, "y_train": LABELS}, "could hold the labels of the train part"),
        (NAMED["images"] | NAMED["keras"], "holds 'images' beside 'x_train'; save the whole set or its parts"),
        (
            {"x_train": PIXELS, "y_train": LABELS, "x_test": GREY, "y_test": LABELS},
            "its parts hold images of different shapes",
        ),
        (
            {"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS, "y_test": LABELS.astype(str)},
            "y_train and y_test hold names here and numbers there",
        ),
    ],
)
def test_arrays_in_doubt_are_refused(tmp_path: Path, arrays: Arrays, message: str) -> None:
    with pytest.raises(DatasetError) as caught:
        loaded(saved(tmp_path, arrays))
    assert message in str(caught.value)


FORMS: dict[str, tuple[Callable[[NDArray[np.uint8]], NDArray[Any]], InputContract]] = {
    "channels first": (lambda x: np.ascontiguousarray(x.transpose(0, 3, 1, 2)), RGB),
    "int64": (lambda x: x.astype(np.int64), RGB),
    "int64, white declared": (lambda x: x.astype(np.int64), DEEP),
    "big-endian": (lambda x: x.astype(">i2"), RGB),
    "float32": (lambda x: x.astype(np.float32), RGB),
    "between whole numbers": (lambda x: np.clip(x + np.float32(0.4), 0, 255), RGB),
    "0-1": (lambda x: x / 255, RGB),
    "0-1 float32": (lambda x: x.astype(np.float32) / 255, RGB),
    "0-1 float16": (lambda x: (x / 255).astype(np.float16), RGB),
    "-1-1": (lambda x: x.astype(np.float32) / 127.5 - 1, RGB),
    "channels first, -1-1": (lambda x: (x / 127.5 - 1).transpose(0, 3, 1, 2).copy(), RGB),
    "12 bits": (lambda x: np.ceil(x * (4095 / 255)).astype(np.uint16), DEEP),
}


@both_stores
@pytest.mark.parametrize(("form", "contract"), FORMS.values(), ids=FORMS)
def test_numbers_of_any_scale_that_is_certain_become_the_same_pixels(
    tmp_path: Path, form: Callable[[NDArray[np.uint8]], NDArray[Any]], contract: InputContract, most: int
) -> None:
    plain = loaded(saved(tmp_path, NAMED["images"]))
    progress = Recorder()
    images = form(PIXELS)
    path = saved(tmp_path, {"images": images, "labels": LABELS})
    dataset = load(str(path), contract, progress, most_in_memory=most)
    assert np.array_equal(dataset.images[:], PIXELS)
    assert dataset.sha256 == plain.sha256
    assert [line.startswith(f"{path}: {images.dtype} from ") for line in progress.lines] == [True] * (
        images.dtype != np.uint8
    )


def test_a_dark_set_of_fractions_is_read_where_all_are_steps_of_255(tmp_path: Path) -> None:
    dark = PIXELS // 5
    dataset = loaded(saved(tmp_path, {"images": (dark / 255).astype(np.float32), "labels": LABELS}))
    assert np.array_equal(dataset.images[:], dark)


def test_the_parts_of_a_set_are_of_one_scale(tmp_path: Path) -> None:
    """Fractions that reach 0.3 alone would be in doubt by themselves."""
    rng = np.random.default_rng(1)
    arrays = {"x_train": rng.random((8, 10, 9)), "y_train": LABELS[:8], "x_test": 0.3 * rng.random((4, 10, 9))}
    arrays["y_test"] = LABELS[8:]
    images = loaded(saved(tmp_path, arrays)).images[:]
    assert images[:8].max() > 250
    assert 70 < images[8:].max() <= 77


@both_stores
@pytest.mark.parametrize(
    "images", [GREY, GREY[..., None], GREY[:, None], GREY / 255], ids=["N×H×W", "last", "first", "0-1"]
)
@pytest.mark.parametrize("contract", [RGB, ONE_CHANNEL], ids=["RGB", "grey"])
def test_grey_arrays_of_any_form(tmp_path: Path, images: NDArray[Any], contract: InputContract, most: int) -> None:
    dataset = loaded(saved(tmp_path, {"images": images, "labels": LABELS}), contract, most)
    assert np.array_equal(dataset.images[:], np.repeat(GREY[..., None], contract.channels, 3))


def test_rgb_arrays_become_grey_by_the_contract_s_own_conversion(tmp_path: Path) -> None:
    dataset = loaded(saved(tmp_path, NAMED["images"]), ONE_CHANNEL)
    assert np.array_equal(dataset.images[:], in_grey(PIXELS))


def test_truth_values_are_pictures_of_one_bit(tmp_path: Path) -> None:
    dataset = loaded(saved(tmp_path, {"images": GREY > 127, "labels": LABELS}), ONE_CHANNEL)
    assert np.array_equal(dataset.images[:][..., 0], np.where(GREY > 127, 255, 0))


LABELLED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "N×1": (LABELS[:, None].astype(np.uint8), ("class_0", "class_1", "class_2")),
    "one-hot": (np.eye(3)[LABELS], ("class_0", "class_1", "class_2")),
    "one-hot truth values": (np.eye(3, dtype=bool)[LABELS], ("class_0", "class_1", "class_2")),
    "from 1": (LABELS + 1, ("class_1", "class_2", "class_3")),
    "float": (LABELS.astype(np.float32), ("class_0", "class_1", "class_2")),
    "names": (np.array(["ant", "bee", "cat"])[LABELS], ("ant", "bee", "cat")),
    "bytes": (np.array([b"ant", b"bee", b"cat"])[LABELS][:, None], ("ant", "bee", "cat")),
}


@pytest.mark.parametrize(("labels", "classes"), LABELLED.values(), ids=LABELLED)
def test_labels_of_any_form(tmp_path: Path, labels: Any, classes: tuple[str, ...]) -> None:
    dataset = loaded(saved(tmp_path, {"images": PIXELS, "labels": labels}))
    assert dataset.labels.tolist() == LABELS.tolist()
    assert dataset.classes == classes


def test_labels_count_from_1_where_the_names_say_so(tmp_path: Path) -> None:
    arrays = {"images": PIXELS, "labels": LABELS + 1, "classes": ["a", "b", "c"]}
    assert loaded(saved(tmp_path, arrays)).classes == ("a", "b", "c")
    with pytest.raises(DatasetError, match="class 'none' has no image"):
        loaded(saved(tmp_path, arrays | {"classes": ["none", "a", "b", "c"]}))


def objects(values: Any) -> NDArray[Any]:
    stored = np.empty(len(values), object)
    stored[:] = list(values)
    return stored


DOUBTFUL: dict[str, tuple[Arrays, str]] = {
    "cast to whole numbers": ({"images": (PIXELS > 200).astype(np.uint8)}, "hold 0 and 1 alone, as fractions cast to"),
    "cast parts": (
        {f"x_{part}": (PIXELS > 200).astype(np.uint8) for part in ("train", "test")}
        | {f"y_{part}": LABELS for part in ("train", "test")},
        "x_train = np.rint(x_train * 255.0).astype(np.uint8); x_test = np.rint(",
    ),
    "whole fractions": ({"images": (PIXELS > 200).astype(np.float32)}, "float32 from 0 to 1 and nothing between"),
    "dim fractions": ({"images": 0.4 * np.random.default_rng(0).random(PIXELS.shape)}, "float64 from "),
    "standardized": ({"images": (PIXELS - PIXELS.mean()) / PIXELS.std()}, "float64 from -1."),
    "about 0": ({"images": PIXELS / 256 - 0.5}, "float64 from -0.5 to 0.49"),
    "int8": ({"images": (PIXELS.astype(int) - 128).astype(np.int8)}, "int8 from -128 to 127"),
    "17 levels": ({"images": PIXELS / 255 // (1 / 16)}, "float64 from 0 to 16"),
    "12 bits": ({"images": PIXELS.astype(np.uint16) * 16}, "say which value is white: input.white = 4095; "),
    "8 bits in 16": ({"images": PIXELS.astype(np.uint16)}, "uint16 from 0 to 255; say which value is white"),
    "not finite": ({"images": np.where(PIXELS == 7, np.nan, PIXELS / 255)}, "and numbers that are not finite"),
    "alpha": ({"images": np.dstack([PIXELS.reshape(120, 9, 3), GREY.reshape(120, 9)]).reshape(12, 10, 9, 4)}, "drop"),
    "rows in a row": (
        {"images": np.random.default_rng(0).integers(0, 255, (12, 300), np.uint8)},
        "give each image its",
    ),
    "images last": ({"images": PIXELS.transpose(1, 2, 3, 0).copy()}, "put the images' axis first"),
    "Fortran": ({"images": np.asfortranarray(PIXELS)}, "is in Fortran order"),
    "volumes": ({"images": PIXELS[:, None]}, "drop an axis"),
    "objects": ({"images": objects(PIXELS)}, "of objects save"),
    "labels as objects": ({"labels": objects(list("abc" * 4))}, "of objects save"),
    "no names": ({"arr_0": PIXELS, "arr_1": LABELS, "images": None, "labels": None}, "images, labels = arr_0, arr_1"),
    "shares": ({"labels": 0.8 * np.eye(3)[LABELS] + 0.1}, "save one label for each image"),
    "a row of labels": ({"labels": LABELS[None]}, "labels = labels.reshape(-1)"),
    "missing numbers": ({"labels": 2 * LABELS}, "class 'class_1' has no image"),
    "negative": ({"labels": LABELS - 1}, "must be class names or whole numbers from 0"),
    "halves": ({"labels": LABELS / 2}, "must be class names or whole numbers from 0"),
}


@both_stores
@pytest.mark.parametrize(("arrays", "message"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_the_line_of_numpy_in_a_refusal_mends_that_very_file(
    tmp_path: Path, arrays: Arrays, message: str, most: int
) -> None:
    whole: Arrays = {} if "x_train" in arrays else {"images": PIXELS, "labels": LABELS}
    path = saved(tmp_path, {name: array for name, array in (whole | arrays).items() if array is not None})
    with pytest.raises(DatasetError) as caught:
        loaded(path, most=most)
    assert message in str(caught.value)
    mend_file(path, caught.value)
    dataset = loaded(path, most=most)
    assert dataset.images[:].max() > 90


def test_a_single_array_is_mended_too(tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", (PIXELS - PIXELS.mean()) / PIXELS.std())
    np.save(tmp_path / "y.npy", LABELS)
    with pytest.raises(DatasetError) as caught:
        loaded(tmp_path / "X.npy")
    mend_file(tmp_path / "X.npy", caught.value)
    restored = loaded(tmp_path / "X.npy").images[:]
    assert np.abs(restored.astype(int) - PIXELS).max() <= 1


def test_16_bits_above_the_declared_white_are_refused_as_in_files(tmp_path: Path) -> None:
    path = saved(tmp_path, {"images": PIXELS.astype(np.uint16) * 17, "labels": LABELS})
    with pytest.raises(DatasetError, match=r"above the 4,095 that input.white says is white"):
        loaded(path, DEEP)


def test_black_images_among_others_are_images(tmp_path: Path) -> None:
    images = PIXELS.copy()
    images[:6], images[6] = 0, 1
    assert loaded(saved(tmp_path, {"images": images, "labels": LABELS})).images[:].tolist() == images.tolist()


def test_one_image_needs_no_axis_for_their_number(tmp_path: Path) -> None:
    dataset = loaded(saved(tmp_path, {"images": PIXELS[0], "labels": [0]}))
    assert np.array_equal(dataset.images[:], PIXELS[:1])
    np.save(tmp_path / "cell.npy", PIXELS[0])
    assert open_images(tmp_path / "cell.npy")[0].count == 1
    with pytest.raises(DatasetError, match=r"has shape \(10, 9, 3\) and dtype uint8; wanted N×height×width×3"):
        loaded(saved(tmp_path, {"images": PIXELS[0], "labels": LABELS[:10]}))


def test_labels_do_not_count_where_images_alone_are_wanted(tmp_path: Path) -> None:
    (part,) = open_images(saved(tmp_path, {"anything": PIXELS}))
    assert (part.name, part.count) == ("anything", 12)
    np.save(tmp_path / "anything.npy", GREY)
    assert open_images(tmp_path / "anything.npy")[0].shape == (10, 9, 1)
    with pytest.raises(DatasetError, match="nor a single array; it holds: one, two"):
        open_images(saved(tmp_path, {"one": PIXELS, "two": PIXELS}))


@given(
    values=st.lists(st.integers(0, 255), min_size=2, max_size=40),
    kind=st.sampled_from(["f2", "f4", "f8", ">f4"]),
    signed=st.booleans(),
)
def test_what_is_certain_gives_each_level_back(values: list[int], kind: str, signed: bool) -> None:
    levels = np.array(values, np.uint8)
    fractions = ((levels / 127.5 - 1) if signed else levels / 255).astype(kind)
    scale = certain(spread(fractions), None)
    if scale is not None:
        assert scale.read(fractions).tolist() == values
    proposed = likely(spread(fractions), None)
    if not signed and proposed is not None and levels.max() > 0:
        assert eval(proposed.written("x"), {"np": np, "x": fractions}).tolist() == values


@given(st.lists(st.floats(-3, 3, width=32), min_size=3, max_size=50))
def test_what_reaches_beyond_a_scale_is_never_certain(values: list[float]) -> None:
    array = np.array(values, np.float32)
    scale = certain(spread(array), None)
    if array.min() < -1 or array.max() > 1:
        assert scale is None
    elif scale is not None:
        assert scale.name in ("0–1", "-1–1")
        assert (scale.name == "-1–1") == (array.min() < 0)


def test_fractions_without_a_dark_pixel_may_be_of_either_scale_and_are_in_doubt() -> None:
    assert certain(spread(np.array([128, 200, 255]) / 127.5 - 1), None) is None


@pytest.mark.parametrize("name", ["X_train", "train_images", "data", "val_x"])
def test_labels_are_asked_for_by_the_name_they_usually_have(name: str) -> None:
    (pair,) = pairs([name, labels_beside(name)], "set")
    assert (pair.images, pair.labels) == (name, labels_beside(name))
