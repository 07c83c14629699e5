"""What `decode` refuses, and what it says about it; what it gives is in test_odd_files.py."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.contract import InputContract, decode, decode_bytes, prepare
from bctoolkit.contract.decoding import _in_eight_bits, _over_white
from bctoolkit.documents import parse
from bctoolkit.errors import InputMismatch, RecipeError
from bctoolkit.vectors import png
from bctoolkit.vectors.metadata import exif
from tests.contract import plain

RGB = InputContract(height=8, width=8)
NOISE = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)


def white(value: int) -> InputContract:
    return InputContract(height=8, width=8, white=value)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "name", "words"),
    [
        ("CMYK", "x.jpg", r"is CMYK \(mode CMYK\); wanted grey, RGB or palette, of 8 or 16 bits; convert it first"),
        ("CMYK", "x.tif", r"is CMYK \(mode CMYK\)"),
        ("F", "x.tif", r"is of floating-point numbers \(mode F\)"),
        ("I", "x.tif", r"is of 32-bit numbers \(mode I\)"),
        ("LAB", "x.tif", r"is of no such kind \(mode LAB\)"),
    ],
)
def test_other_kinds_of_pixels_are_refused_by_their_name(tmp_path: Path, mode: str, name: str, words: str) -> None:
    path = saved(tmp_path / name, Image.new(mode, (9, 9)))
    with pytest.raises(InputMismatch, match=rf"{name} {words}"):
        decode(path, RGB)
    with pytest.raises(InputMismatch, match=rf"image {words}"):
        decode(Image.new(mode, (9, 9)), RGB)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_more_than_one_frame_or_page_is_refused(tmp_path: Path, kind: str) -> None:
    frames = [Image.fromarray(NOISE), Image.fromarray(NOISE[::-1].copy())]
    path = saved(tmp_path / "many", frames[0], format=kind, save_all=True, append_images=frames[1:])
    with pytest.raises(InputMismatch, match="many has more than one frame or page; save the one that counts"):
        decode(path, RGB)
    with Image.open(path) as picture, pytest.raises(InputMismatch, match="more than one frame or page"):
        decode(picture, RGB)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_one_frame_that_was_saved_as_many_is_a_picture(tmp_path: Path, kind: str) -> None:
    path = saved(tmp_path / "one", Image.fromarray(NOISE), format=kind, save_all=True)
    assert decode(path, RGB).shape == (9, 12, 3)


def test_of_several_pictures_behind_each_other_in_a_jpeg_the_first_counts(tmp_path: Path) -> None:
    first, second = Image.fromarray(NOISE), Image.fromarray(NOISE[::-1].copy())
    plain_file = saved(tmp_path / "one.jpg", first, quality=90)
    both = saved(tmp_path / "both.mpo", first, quality=90, save_all=True, append_images=[second])
    assert np.array_equal(decode(both, RGB), decode(plain_file, RGB))


@pytest.mark.parametrize(
    ("largest", "words"),
    [
        (1000, "values up to 1,000; say which value is white: input.white, likely 1023 \\(10 bits\\)"),
        (4095, "values up to 4,095; .* likely 4095 \\(12 bits\\)"),
        (4096, "values up to 4,096; .* likely 16383 \\(14 bits\\)"),
        (65_535, "values up to 65,535; .* likely 65535 \\(16 bits\\)"),
        (0, "values up to 0; say which value is white: input.white, or save it with 8 bits$"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_are_refused_with_the_white_that_is_likely(
    tmp_path: Path, largest: int, words: str, channels: int
) -> None:
    samples = np.full((9, 9, channels), min(largest, 3))
    samples[..., -1] = 65_535 if channels in (2, 4) else min(largest, 3)
    samples[4, 4, 0] = largest
    kind = {1: png.GREY, 2: png.GREY_ALPHA, 3: png.RGB, 4: png.RGBA}[channels]
    (tmp_path / "x.png").write_bytes(png.encode(samples, kind, 16))
    with pytest.raises(InputMismatch, match=rf"x\.png has 16 bits a channel and {words}"):
        decode(tmp_path / "x.png", RGB)
    if 256 <= largest < 65_535:
        assert decode(tmp_path / "x.png", white(largest)).max() == 255


def test_a_value_above_white_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png.encode(np.full((9, 9, 3), 5000), png.RGB, 16))
    with pytest.raises(InputMismatch, match=r"holds the value 5,000, above the 4,095 that input\.white says is white"):
        decode(tmp_path / "x.png", white(4095))


def test_signed_numbers_are_no_pixels(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.tif", Image.fromarray(np.full((9, 9), 300, np.uint16)), tiffinfo={339: 2})
    with pytest.raises(InputMismatch, match=r"x\.tif is of 32-bit numbers \(mode I\)"):
        decode(path, white(4095))


def test_white_changes_nothing_about_files_of_8_bits(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", Image.fromarray(NOISE))
    assert np.array_equal(decode(path, white(4095)), decode(path, RGB))


@given(st.integers(256, 65_535))
def test_every_value_up_to_white_becomes_what_the_page_says(most: int) -> None:
    values = np.unique(np.linspace(0, most, 300).round().astype(np.uint16))
    found = _in_eight_bits(values, most, "x")
    assert np.array_equal(found, plain.eight_bits(values.astype(int), most))
    assert (found[0], found[-1]) == (0, 255)
    assert (np.diff(found.astype(int)) >= 0).all()


def test_every_colour_under_every_alpha_lies_over_white_as_the_page_says() -> None:
    colours, alpha = np.meshgrid(np.arange(256), np.arange(256))
    found = _over_white(colours.astype(np.uint8), alpha.astype(np.uint8))
    assert np.array_equal(found, plain.over_white(colours, alpha))
    assert np.array_equal(found[255], np.arange(256))
    assert (found[0] == 255).all()


@pytest.mark.parametrize("value", [255, 0, -1, 65_536, 4095.0, "4095", True])
def test_an_impossible_white_is_no_contract(value: Any) -> None:
    with pytest.raises(RecipeError, match="white"):
        parse(InputContract, {"white": value}, "recipe", RecipeError)


def test_a_decoded_pillow_image_of_16_bits_needs_white_too() -> None:
    deep = Image.fromarray(np.full((9, 9), 4000, np.uint16))
    with pytest.raises(InputMismatch, match="image has 16 bits a channel and values up to 4,000"):
        prepare(deep, RGB)
    assert (prepare(deep, white(4000)) == 255).all()


def test_a_pillow_image_turns_as_its_exif_says_once() -> None:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, "PNG", exif=exif(6)[6:])
    with Image.open(buffer) as waiting:
        expected = decode(waiting, RGB)
        assert np.array_equal(expected, plain.upright(NOISE, 6))
        waiting.load()
        assert np.array_equal(decode(waiting, RGB), expected)


def test_what_white_as_zero_means_in_16_bits_is_not_guessed(tmp_path: Path) -> None:
    deep = Image.fromarray(np.full((9, 9), 300, np.uint16))
    path = saved(tmp_path / "x.tif", deep, tiffinfo={262: 0})
    with pytest.raises(InputMismatch, match=r"x\.tif has 16 bits a channel and white as 0; convert it first"):
        decode(path, white(4095))


DEEP = np.random.default_rng(11).integers(0, 4096, (40, 48, 3)).astype(np.uint16)
WRITTEN: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
    "grey": (DEEP[..., 0], {}),
    "grey, predicted": (DEEP[..., 0], {"compression": "zlib", "predictor": 2}),
    "grey, tiles": (DEEP[..., 0], {"tile": (16, 16)}),
    "RGB": (DEEP, {}),
    "RGB, packed": (DEEP, {"compression": "zlib"}),
    "RGB, predicted": (DEEP, {"compression": "zlib", "predictor": 2}),
    "RGB, tiles": (DEEP, {"tile": (16, 16)}),
    "RGB, strips": (DEEP, {"rowsperstrip": 7}),
    "RGB, BigTIFF": (DEEP, {"bigtiff": True}),
    "RGB, big-endian": (DEEP, {"byteorder": ">"}),
}


def written(pixels: NDArray[Any], **options: Any) -> bytes:
    """A TIFF of microscopy's usual writer, which knows more forms than Pillow's."""
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    grey = pixels.ndim == 2
    tifffile.imwrite(file, pixels, photometric="minisblack" if grey else "rgb", **options)
    return file.getvalue()


@pytest.mark.parametrize(("pixels", "options"), WRITTEN.values(), ids=WRITTEN)
def test_16_bits_of_tiff_are_read_to_the_last_in_every_form(pixels: NDArray[Any], options: dict[str, Any]) -> None:
    eight = plain.eight_bits(pixels.reshape(40, 48, -1).astype(int), 4095)
    decoded = decode_bytes(written(pixels, **options), InputContract(white=4095), "cell.tif")
    assert np.array_equal(decoded, plain.channels(eight, 3))


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"byteorder": ">"}])
def test_16_bits_with_each_channel_apart_are_refused_and_8_are_read(options: dict[str, Any]) -> None:
    """Pillow gives the lower bytes, or the upper eight bits."""
    apart = {"planarconfig": "separate", **options}
    with pytest.raises(InputMismatch, match=r"^cell\.tif has 16 bits a channel and each channel apart; save it with"):
        decode_bytes(written(DEEP.transpose(2, 0, 1), **apart), InputContract(white=4095), "cell.tif")
    eight = (DEEP >> 4).astype(np.uint8)
    decoded = decode_bytes(written(eight.transpose(2, 0, 1), **apart), InputContract(), "cell.tif")
    assert np.array_equal(decoded, eight)
