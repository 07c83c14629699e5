"""`prepare` makes exactly the array the model eats, or says what is wrong with the image."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import InputContract, decode, in_grey, pillow_image, prepare
from bctoolkit.errors import InputMismatch
from tests.contract import plain

SMALL = InputContract(height=8, width=8)
FLOAT = InputContract(height=8, width=8, dtype="float32")


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pictures(low: int = 1, high: int = 24) -> st.SearchStrategy[NDArray[np.uint8]]:
    sides = st.integers(low, high)
    return st.builds(noise, sides, sides, st.integers(0, 1000))


contracts = st.builds(
    InputContract,
    height=st.integers(1, 16),
    width=st.integers(1, 16),
    dtype=st.sampled_from(["uint8", "float32"]),
    crop=st.sampled_from(["square", "none"]),
    resize=st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
)


@given(image=pictures(), contract=contracts)
def test_the_output_has_the_contract_s_shape_and_dtype_and_passes_its_check(
    image: NDArray[np.uint8], contract: InputContract
) -> None:
    prepared = prepare(image, contract)
    assert prepared.shape == contract.shape
    assert prepared.dtype == contract.dtype
    assert prepared.min() >= 0
    assert prepared.max() <= 255


@given(
    image=arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3))),
    resize=st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
    dtype=st.sampled_from(["uint8", "float32"]),
)
def test_an_image_of_the_contract_s_shape_passes_unchanged(image: NDArray[np.uint8], resize: Any, dtype: Any) -> None:
    contract = InputContract(height=image.shape[0], width=image.shape[1], crop="none", resize=resize, dtype=dtype)
    assert np.array_equal(prepare(image, contract), image)


@given(image=pictures(8, 24), contract=contracts)
def test_preparing_twice_is_preparing_once(image: NDArray[np.uint8], contract: InputContract) -> None:
    square = msgspec.structs.replace(contract, width=contract.height, dtype="uint8")
    once = prepare(image, square)
    assert np.array_equal(prepare(once, square), once)


@given(image=pictures(), contract=contracts)
def test_float32_holds_the_same_values_as_uint8(image: NDArray[np.uint8], contract: InputContract) -> None:
    whole, real = (prepare(image, msgspec.structs.replace(contract, dtype=d)) for d in ("uint8", "float32"))
    assert np.array_equal(whole.astype(np.float32), real)


@given(image=pictures(), contract=contracts)
@settings(max_examples=30)
def test_array_and_pillow_image_are_prepared_alike(image: NDArray[np.uint8], contract: InputContract) -> None:
    assert np.array_equal(prepare(image, contract), prepare(Image.fromarray(image), contract))


@given(margin=st.integers(0, 10), tall=st.booleans())
def test_the_square_crop_is_centred(margin: int, tall: bool) -> None:
    middle = noise(8, 8)
    around = ((margin, margin), (0, 0), (0, 0)) if tall else ((0, 0), (margin, margin), (0, 0))
    assert np.array_equal(prepare(np.pad(middle, around, constant_values=77), SMALL), middle)


@given(above=st.integers(0, 6), left=st.integers(0, 6), odd=st.booleans())
def test_a_crop_in_pixels_is_centred_and_drops_an_odd_pixel_at_the_end(above: int, left: int, odd: bool) -> None:
    middle = noise(8, 8)
    image = np.pad(middle, ((above, above + odd), (left, left + odd), (0, 0)), constant_values=77)
    assert np.array_equal(prepare(image, msgspec.structs.replace(SMALL, crop=8)), middle)


@given(image=pictures(8, 24), contract=contracts)
def test_mirroring_an_image_mirrors_its_crop(image: NDArray[np.uint8], contract: InputContract) -> None:
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    cropped = prepare(even, msgspec.structs.replace(contract, height=8, width=8, crop=8))
    assert np.array_equal(prepare(even[::-1, ::-1], msgspec.structs.replace(SMALL, crop=8)), cropped[::-1, ::-1])


def test_without_a_crop_the_whole_image_is_squeezed() -> None:
    image = np.zeros((4, 16, 3), np.uint8)
    image[:, 8:] = 200
    prepared = prepare(image, InputContract(height=4, width=4, crop="none", resize="nearest"))
    assert prepared[0, :, 0].tolist() == [0, 0, 200, 200]


def test_height_and_width_are_not_mixed_up() -> None:
    assert prepare(noise(30, 20), InputContract(height=10, width=6)).shape == (10, 6, 3)


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_resizing_is_pillow_s_method_of_that_name(name: Any) -> None:
    image = noise(20, 20)
    wanted = Image.fromarray(image).resize((8, 8), Image.Resampling[name.upper()])
    assert np.array_equal(prepare(image, msgspec.structs.replace(SMALL, resize=name)), np.asarray(wanted))


def test_the_output_is_the_caller_s_own_to_change() -> None:
    image = noise(8, 8)
    before = image.copy()
    prepare(image, SMALL)[:] = 0
    assert np.array_equal(image, before)


def test_a_view_is_prepared_like_its_copy() -> None:
    view = noise(20, 20)[::2, ::-1, ::-1]
    assert np.array_equal(prepare(view, SMALL), prepare(view.copy(), SMALL))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(9, np.uint8), r"shape \(9,\); wanted height × width × 3"),
        (np.zeros((9, 9, 2), np.uint8), r"shape \(9, 9, 2\)"),
        (np.zeros((9, 9, 4), np.uint8), r"shape \(9, 9, 4\)"),
        (np.zeros((3, 9, 9), np.uint8), r"shape \(3, 9, 9\)"),
        (np.zeros((1, 9, 9, 3), np.uint8), r"shape \(1, 9, 9, 3\)"),
        (np.zeros((9, 9, 3), np.float32), "dtype float32; wanted uint8 with values 0–255"),
        (np.full((9, 9, 3), np.nan), "dtype float64; wanted uint8"),
        (np.zeros((9, 9, 3), np.int64), "dtype int64"),
        (np.zeros((9, 9, 3), bool), "dtype bool"),
        (np.zeros((9, 9, 3), np.uint16), "dtype uint16"),
        (np.zeros((0, 9, 3), np.uint8), r"shape \(0, 9, 3\)"),
        (np.zeros((9, 0, 3), np.uint8), r"shape \(9, 0, 3\)"),
    ],
)
def test_an_array_that_is_no_rgb_image_is_refused(image: NDArray[Any], message: str) -> None:
    with pytest.raises(InputMismatch, match=message):
        prepare(image, SMALL)


@pytest.mark.parametrize("image", [None, b"bytes", [[[1, 2, 3]]], 3], ids=["none", "bytes", "list", "number"])
def test_something_that_is_no_image_at_all_is_refused_by_its_type(image: Any) -> None:
    """`cv2.imread` answers None for a missing file, and the app hands it on."""
    with pytest.raises(InputMismatch, match=type(image).__name__):
        prepare(image, SMALL)


@pytest.mark.parametrize("side", [1, 7])
def test_an_image_smaller_than_the_crop_is_refused(side: int) -> None:
    with pytest.raises(InputMismatch, match=f"has 20×{side} pixels, less than the contract's crop of 8×8"):
        prepare(noise(side, 20), msgspec.structs.replace(SMALL, crop=8))


@pytest.mark.parametrize("as_text", [True, False])
def test_a_file_is_prepared_like_its_pixels(tmp_path: Path, as_text: bool) -> None:
    path = tmp_path / "cell.png"
    Image.fromarray(noise(30, 20)).save(path)
    assert np.array_equal(prepare(str(path) if as_text else path, SMALL), prepare(noise(30, 20), SMALL))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputMismatch, match=r"absent\.png: no such file"):
        prepare(tmp_path / "absent.png", SMALL)


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(InputMismatch, match="is a folder, not a file"):
        decode(tmp_path, SMALL)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused_by_its_name(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"cell.{suffix}"
    Image.fromarray(noise(64, 64)).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputMismatch, match=rf"cell\.{suffix}: cannot be decoded"):
        prepare(path, SMALL)


def test_a_pillow_image_that_is_decoded_only_now_and_truncated_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cell.jpg"
    Image.fromarray(noise(64, 64)).save(path)
    path.write_bytes(path.read_bytes()[:-500])
    with Image.open(path) as picture, pytest.raises(InputMismatch, match="cannot be decoded"):
        prepare(picture, SMALL)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" + bytes(64)])
def test_a_file_that_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cell.png"
    path.write_bytes(content)
    with pytest.raises(InputMismatch, match=r"cell\.png: cannot be decoded"):
        prepare(path, SMALL)


@pytest.mark.parametrize("contract", [SMALL, FLOAT], ids=["uint8", "float32"])
def test_check_hands_a_good_batch_back_untouched(contract: InputContract) -> None:
    batch = np.stack([prepare(noise(9, 9, seed), contract) for seed in range(3)])
    assert contract.check(batch) is batch


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([[1]], "got list, not a numpy array"),
        (np.zeros((8, 8, 3), np.uint8), r"got shape \(8, 8, 3\).*; add a batch axis: images\[None\]$"),
        (np.zeros((2, 8, 8), np.uint8), r"got shape \(2, 8, 8\)"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"got shape \(2, 3, 8, 8\)"),
        (np.zeros((2, 8, 9, 3), np.uint8), r"got shape \(2, 8, 9, 3\)"),
        (np.zeros((2, 8, 8, 4), np.uint8), r"got shape \(2, 8, 8, 4\)"),
        (np.zeros((1, 2, 8, 8, 3), np.uint8), r"got shape \(1, 2, 8, 8, 3\)"),
        (np.uint8(3), r"got (shape \(\)|uint8)"),
        (np.zeros((0, 8, 8, 3), np.uint8), "got an empty batch; .* with N ≥ 1"),
        (np.zeros((2, 8, 8, 3), np.float32), "got dtype float32"),
        (np.zeros((2, 8, 8, 3), np.int64), "got dtype int64"),
    ],
)
def test_check_says_what_a_batch_is_and_what_the_model_wants(images: Any, message: str) -> None:
    with pytest.raises(InputMismatch, match=message) as caught:
        SMALL.check(images)
    assert "the model wants uint8 array N×8×8×3 (NHWC, RGB), values 0–255" in str(caught.value)


def spoilt(value: float) -> NDArray[np.float32]:
    batch = np.full((2, 8, 8, 3), 100, np.float32)
    batch[1, 2, 3, 0] = value
    return batch


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (spoilt(np.nan), r"value at \[1, 2, 3, 0\] is nan"),
        (spoilt(np.inf), r"value at \[1, 2, 3, 0\] is inf"),
        (spoilt(-np.inf), r"value at \[1, 2, 3, 0\] is -inf"),
        (spoilt(256), "values span 100 to 256"),
        (spoilt(-1), "values span -1 to 100"),
        (spoilt(0) / 255, "as if divided by 255"),
        (spoilt(0) / 127.5 - 1, "values span -1 to"),
        (spoilt(0).astype(np.float64), "got dtype float64"),
        (spoilt(0).astype(np.uint8), "got dtype uint8"),
        (spoilt(0).astype(">f4"), "got dtype"),
    ],
)
def test_check_refuses_float_values_that_were_scaled_or_spoilt(images: NDArray[Any], message: str) -> None:
    with pytest.raises(InputMismatch, match=message):
        FLOAT.check(images)


@given(image=pictures())
def test_no_prepared_image_is_ever_mistaken_for_a_scaled_one(image: NDArray[np.uint8]) -> None:
    FLOAT.check(prepare(image, FLOAT)[None])
    FLOAT.check(prepare((image & 1).astype(np.uint8), FLOAT)[None])
    FLOAT.check(prepare(np.zeros_like(image), FLOAT)[None])


@given(image=pictures().filter(lambda image: image.max() > 1))
def test_every_image_divided_by_255_is_caught(image: NDArray[np.uint8]) -> None:
    scaled = prepare(image, msgspec.structs.replace(FLOAT, resize="nearest"))[None] / np.float32(255)
    if len(np.unique(scaled)) > 2:
        with pytest.raises(InputMismatch, match="as if divided by 255"):
            FLOAT.check(scaled)


GREY = InputContract(height=8, width=8, channels=1)
FIVE = InputContract(height=8, width=8, channels=5)


@given(image=pictures(8, 24), resize=st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]))
def test_an_rgb_image_becomes_grey_as_pillow_s_mode_l_makes_it(image: NDArray[np.uint8], resize: Any) -> None:
    contract = msgspec.structs.replace(GREY, crop="none", resize=resize)
    grey = Image.fromarray(image).convert("L")
    method = Image.Resampling[resize.upper()]
    expected = np.asarray(grey.resize((8, grey.height), method).resize((8, 8), method))[..., None]
    assert np.array_equal(prepare(image, contract), expected)
    assert np.array_equal(prepare(Image.fromarray(image), contract), expected)
    assert np.array_equal(prepare(np.asarray(grey), contract), expected)
    assert np.array_equal(prepare(np.asarray(grey)[..., None], contract), expected)


def test_every_colour_becomes_the_grey_of_pillow() -> None:
    colours = np.stack(np.meshgrid(*[np.arange(0, 256, 5, dtype=np.uint8)] * 3), -1).reshape(1, -1, 3)
    assert np.array_equal(in_grey(colours)[..., 0], np.asarray(Image.fromarray(colours).convert("L")))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_grey_file_is_prepared_for_grey_and_rgb_contracts_and_refused_for_another(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"cell.{suffix}"
    Image.fromarray(noise(30, 20)).convert("L").save(path)
    assert prepare(path, GREY).shape == (8, 8, 1)
    assert np.array_equal(prepare(path, GREY), prepare(np.asarray(Image.open(path)), GREY))
    assert np.array_equal(prepare(path, SMALL), np.repeat(prepare(path, GREY), 3, 2))
    with pytest.raises(
        InputMismatch, match="has 1 or 3 channels; the model wants 5, hand over an array height × width × 5"
    ):
        prepare(path, FIVE)


def test_other_channels_are_resized_each_for_itself() -> None:
    image = np.concatenate([noise(20, 16, seed) for seed in (0, 1)], 2)[..., :5]
    prepared = prepare(image, FIVE)
    for channel in range(5):
        assert np.array_equal(prepared[..., channel], prepare(image[..., channel], GREY)[..., 0])


@pytest.mark.parametrize(
    ("image", "contract"),
    [
        (noise(9, 9)[..., :2], GREY),
        (noise(9, 9), FIVE),
        (noise(9, 9)[..., 0], FIVE),
        (noise(9, 9)[..., :2], SMALL),
        (np.zeros((0, 9), np.uint8), GREY),
    ],
)
def test_an_array_of_other_channels_is_refused(image: NDArray[Any], contract: InputContract) -> None:
    with pytest.raises(InputMismatch, match=rf"wanted height × width × {contract.channels}$"):
        prepare(image, contract)


def test_a_contract_says_its_colours() -> None:
    for contract, words in ((SMALL, "N×8×8×3 (NHWC, RGB)"), (GREY, "N×8×8×1 (NHWC, grey)"), (FIVE, "N×8×8×5 (NHWC)")):
        assert words in str(contract)
        batch = np.zeros((2, *contract.shape), np.uint8)
        assert contract.check(batch) is batch


def test_a_picture_of_other_channels_cannot_be_shown() -> None:
    with pytest.raises(InputMismatch, match="an image of 5 channels is no picture"):
        pillow_image(np.zeros((8, 8, 5), np.uint8))


SCALED = InputContract(height=8, width=8, crop=20, picture=36)


@given(height=st.integers(33, 39), width=st.integers(33, 39), seed=st.integers(0, 1000))
def test_a_whole_picture_and_its_centre_cut_out_give_the_same(height: int, width: int, seed: int) -> None:
    whole = noise(height, width, seed)
    top, left = (height - 20) // 2, (width - 20) // 2
    centre = whole[top : top + 20, left : left + 20]
    assert np.array_equal(prepare(whole, SCALED), prepare(centre, SCALED))
    done = prepare(whole, SCALED)
    assert np.array_equal(prepare(done, SCALED), done)


@given(height=st.integers(1, 80), width=st.integers(1, 80))
def test_a_picture_of_another_scale_is_refused(height: int, width: int) -> None:
    whole, fits = noise(height, width), abs(min(height, width) - 36) <= 3
    if fits or height == width <= 20:
        assert np.array_equal(prepare(whole, SCALED), plain.resize(plain.crop(whole, 20, 36), 8, 8, "lanczos"))
    else:
        with pytest.raises(
            InputMismatch, match=rf"{width}×{height} pixels; the network knows the centre 20×20 of pict"
        ):
            prepare(whole, SCALED)
        with pytest.raises(ValueError, match="another scale"):
            plain.crop(whole, 20, 36)


@pytest.mark.parametrize("crop", ["square", "none", 37])
def test_a_scale_goes_with_a_crop_of_that_picture(crop: Any) -> None:
    with pytest.raises(ValueError, match="picture: 36 goes with a crop of at most so many pixels"):
        InputContract(crop=crop, picture=36)
