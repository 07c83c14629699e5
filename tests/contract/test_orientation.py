"""Exif's orientation is read where it is sound, and counts as none where it is not."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from bctoolkit.contract.orientation import orientation, turned
from bctoolkit.vectors.metadata import exif


@given(st.integers(0, 65_535), st.booleans())
def test_a_sound_block_says_one_to_eight(value: int, big_endian: bool) -> None:
    block = exif(value, big_endian=big_endian)
    assert orientation(block) == orientation(block[6:]) == (value if 1 <= value <= 8 else 1)


@given(st.binary(max_size=60))
def test_no_garbage_is_an_error(garbage: bytes) -> None:
    for block in (garbage, exif(6)[:6] + garbage, exif(6)[:14] + garbage):
        assert 1 <= orientation(block) <= 8


@given(st.integers(0, 40), st.integers(0, 255))
def test_a_changed_byte_is_no_error(at: int, value: int) -> None:
    block = bytearray(exif(6))
    block[at % len(block)] = value
    assert 1 <= orientation(bytes(block)) <= 8


@pytest.mark.parametrize("length", range(28))
def test_a_block_that_ends_before_the_entry_does_is_none(length: int) -> None:
    assert orientation(exif(6)[:length]) == 1


@pytest.mark.parametrize("entries", [2, 9, 65_535])
def test_a_directory_that_promises_more_still_has_the_entry(entries: int) -> None:
    assert orientation(exif(6, entries=entries)) == 6


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHIHH", tag, kind, count, value, 0)


def block(*entries: bytes) -> bytes:
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)


def test_the_first_entry_of_the_tag_counts_if_it_is_one_short() -> None:
    other, turn = entry(0x010F, 2, 1, 65), entry(0x0112, 3, 1, 8)
    assert orientation(block(other, turn)) == 8
    assert orientation(block(turn, entry(0x0112, 3, 1, 3))) == 8
    assert orientation(block(entry(0x0112, 4, 1, 8), turn)) == 1
    assert orientation(block(entry(0x0112, 3, 2, 8), turn)) == 1
    assert orientation(block()) == 1


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("channels", [1, 3])
def test_turning_is_what_viewers_do(turn: int, channels: int) -> None:
    pixels = np.random.default_rng(turn).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(buffer, "PNG", exif=exif(turn)[6:])
    with Image.open(buffer) as picture:
        picture.load()
        shown = np.asarray(ImageOps.exif_transpose(picture))
    found = turned(pixels, turn)
    assert np.array_equal(found, shown.reshape(found.shape))
    assert found.flags.c_contiguous
