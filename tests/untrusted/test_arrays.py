"""Arrays of others: only their form decides whether they are unpacked, and no byte of theirs is evaluated."""

import contextlib
import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bctoolkit.errors import BundleError
from bctoolkit.untrusted.arrays import ArraySpec, read_array, read_header, read_npz

SPECS = {"images": ArraySpec((3, None, 2), "|u1"), "labels": ArraySpec((3,), "<i8")}
ARRAYS = {"images": np.arange(24, dtype=np.uint8).reshape(3, 4, 2), "labels": np.array([2, 1, 0])}


def npz(compressed: bool = False, **changes: Any) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **(ARRAYS | changes))
    return buffer.getvalue()


def read(content: bytes, most: int = 10**6) -> dict[str, Any]:
    return read_npz(content, SPECS, "x.npz", BundleError, most=most)


def refusal(content: bytes, most: int = 10**6) -> str:
    with pytest.raises(BundleError) as caught:
        read(content, most)
    message = str(caught.value)
    assert message.startswith("x.npz: ")
    assert "\n" not in message
    assert len(message) < 400
    return message.removeprefix("x.npz: ")


def npy(header: bytes, values: bytes = b"", version: bytes = b"\x01\x00", length: int | None = None) -> bytes:
    size = len(header) if length is None else length
    return b"\x93NUMPY" + version + size.to_bytes(2 if version == b"\x01\x00" else 4, "little") + header + values


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
def test_what_numpy_writes_is_read(compressed: bool) -> None:
    for changes in ({}, {"images": np.asfortranarray(ARRAYS["images"])}):
        found = read(npz(compressed, **changes))
        assert {name: array.dtype for name, array in found.items()} == {"images": np.uint8, "labels": np.int64}
        assert all(np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS)


@given(
    hnp.arrays(
        st.one_of(hnp.integer_dtypes(endianness="?"), hnp.floating_dtypes(endianness="?"), hnp.unicode_string_dtypes()),
        hnp.array_shapes(min_dims=0),
    )
)
def test_an_array_comes_back_as_numpy_reads_it(array: Any) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array)
    buffer.seek(0)
    header = read_header(buffer)
    assert (header.shape, header.dtype, header.size) == (array.shape, array.dtype, array.nbytes)
    assert read_array(buffer, header, array.nbytes).tobytes("A") == np.asarray(array).tobytes("A")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((3, 4), np.uint8)}, "'images': 3×4 uint8; wanted 3×N×2 uint8"),
        ({"images": np.zeros((2, 4, 2), np.uint8)}, "'images': 2×4×2 uint8"),
        ({"images": np.zeros((3, 4, 2), np.float32)}, "'images': 3×4×2 float32"),
        ({"labels": np.zeros(3, ">i8")}, "'labels': 3 >i8"),
        ({"labels": np.int64(0)}, "'labels': one value int64"),
        ({"labels": np.array([{"a": 1}, 0, 0], object)}, "'labels': a header that cannot be read, or of objects"),
        ({"labels": np.zeros(3, [("a", "u1")])}, "'labels': a header that cannot be read"),
        ({"labels": np.zeros(3, "M8[s]")}, "'labels': a header that cannot be read"),
        ({"more": np.zeros(3)}, "cannot be read as a zip archive (3 members in a list"),
    ],
)
def test_an_array_that_was_not_announced_is_refused(changes: dict[str, Any], message: str) -> None:
    assert refusal(npz(**changes)).startswith(message)


HEADER = b"{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }"


@pytest.mark.parametrize(
    "header",
    [
        HEADER + b" " * 40 + b"\n",
        b"""{"shape":(3,),"fortran_order":False,"descr":"<i8"}""",
        b"{'descr': '<i8', 'fortran_order': False, 'shape': (3L,)}",
        b"{ 'descr' : '<i8','fortran_order':False,\n'shape':( 3 , ) , }",
    ],
)
def test_other_writers_of_headers_are_understood(header: bytes) -> None:
    content = npy(header, ARRAYS["labels"].tobytes())
    stream = io.BytesIO(content)
    assert read_array(stream, read_header(stream), 100).tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        npy(HEADER)[:7],
        npy(HEADER)[:9],
        npy(HEADER)[:20],
        npy(HEADER, version=b"\x04\x00"),
        npy(HEADER, length=9_000),
        npy(HEADER + b" " * 20_000),
        npy(HEADER, version=b"\x02\x00", length=2**32 - 1),
        npy(b""),
        npy(b"{}"),
        npy(b"[]"),
        npy(b"{'descr': '<i8', 'fortran_order': False}"),
        npy(HEADER[:-1] + b"'shape': (4,), }"),
        npy(HEADER.replace(b"False", b"0")),
        npy(HEADER.replace(b"(3,)", b"3")),
        npy(HEADER.replace(b"(3,)", b"(-3,)")),
        npy(HEADER.replace(b"(3,)", b"(3.0,)")),
        npy(HEADER.replace(b"(3,)", b"(" + b"1" * 9_000 + b",)")),
        npy(HEADER.replace(b"(3,)", b"(" + b"1," * 40 + b")")),
        npy(HEADER.replace(b"'<i8'", b"'<i" + b"9" * 40 + b"'")),
        npy(HEADER.replace(b"'<i8'", b"'O'")),
        npy(HEADER.replace(b"'<i8'", b"('<i8', (10**9,))")),
        npy(HEADER.replace(b"'<i8'", b"__import__('os').system('id')")),
        npy(b"{" * 9_000),
        npy(b"-" * 9_000 + b"1"),
        npy(b"{" + b"'shape': (" * 900 + b"}"),
        npy(b"{" + b" " * 4_000 + b"'" + b" " * 4_000 + b"}"),
        npy(b"\xff" * 40),
    ],
)
def test_a_header_of_another_form_is_refused_at_once(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^[ -~×…]{5,120}$"):
        read_header(io.BytesIO(content))
    members = {"images.npy": content, "labels.npy": npy(HEADER, bytes(24))}
    assert refusal(archive(members)).startswith("'images': ")


@pytest.mark.parametrize("values", [bytes(23), bytes(25), b""])
def test_values_of_another_number_than_the_header_says_are_refused(values: bytes) -> None:
    images = io.BytesIO()
    np.save(images, ARRAYS["images"])
    content = archive({"images.npy": images.getvalue(), "labels.npy": npy(HEADER, values)})
    assert refusal(content).startswith("'labels': not the 24 bytes of values that its header says")


def test_nothing_is_unpacked_that_is_larger_than_allowed() -> None:
    bomb = archive(
        {"images.npy": npy(HEADER.replace(b"<i8", b"|u1").replace(b"(3,)", b"(3, 100000000, 2)"), bytes(10**6))},
        zipfile.ZIP_DEFLATED,
    )
    assert refusal(bomb, 10**6).startswith("'images': 600,000,000 bytes of values; wanted at most 1,000,000")
    huge = HEADER.replace(b"<i8", b"|u1").replace(b"(3,)", b"(3, 999999999999999999, 2)")
    assert "5,999,999,999,999,999,994 bytes" in refusal(archive({"images.npy": npy(huge)}))
    assert refusal(npz(), 47).startswith("'labels': 24 bytes of values; wanted at most 23")


def flagged(content: bytes) -> bytes:
    """An archive that says its members are encrypted."""
    spoilt = bytearray(content)
    for signature, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = spoilt.find(signature)
        while at >= 0:
            spoilt[at + flags] |= 1
            at = spoilt.find(signature, at + 1)
    return bytes(spoilt)


def twice() -> bytes:
    return archive({"images.npy": b"", "imagez.npy": b""}).replace(b"imagez", b"images")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b"", "no end record"),
        (lambda: b"no zip", "no end record"),
        (lambda: npz()[:-30], "no end record"),
        (lambda: flagged(npz()), "'images.npy' is encrypted"),
        (lambda: archive({"images.npy": b"x", "labels.npy": b""}, zipfile.ZIP_BZIP2), "packed by method 12"),
        (lambda: archive({"images.npy": b"x", "labels.npy": b""}, zipfile.ZIP_LZMA), "packed by method 14"),
        (lambda: archive({f"{i}.npy": b"" for i in range(30)}), "30 members in a list of"),
        (lambda: archive({"images.npy": b"", "x" * 3_000: b""}), "2 members in a list of"),
        (lambda: archive({"../images.npy": b"", "labels.npy": b""}), "it holds no images.npy"),
        (twice, "'images.npy' is there twice"),
    ],
)
def test_an_archive_of_another_kind_is_refused(make: Callable[[], bytes], message: str) -> None:
    assert message in refusal(make())


@given(st.data())
def test_a_damaged_archive_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(npz(data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(content[: data.draw(st.integers(0, len(content)))])
    for spoilt in (bytes(content), cut):
        with contextlib.suppress(BundleError):
            assert {name: array.dtype for name, array in read(spoilt).items()} == {"images": "u1", "labels": "i8"}


def test_a_member_s_checksum_is_compared() -> None:
    content = bytearray(npz())
    content[content.find(ARRAYS["images"].tobytes())] ^= 1
    assert "Bad CRC-32" in refusal(bytes(content))


def test_an_archive_beyond_the_old_limits_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        for name, array in ARRAYS.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.save(member, array)
    assert math.prod(read((tmp_path / "x.npz").read_bytes())["images"].shape) == 24
