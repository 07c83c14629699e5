"""Image files of others: few decoders, chosen by content; nothing large or odd reaches one."""

import io
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bctoolkit.contract import InputContract, prepare
from bctoolkit.documents import parse
from bctoolkit.errors import BundleCorrupt, InputMismatch
from bctoolkit.untrusted import images
from bctoolkit.untrusted.images import DECODERS, MOST_PIXELS, open_picture

CONTRACT = InputContract(height=8, width=8)
PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def encoded(kind: str, pixels: object = PIXELS, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(buffer, kind, **options)
    return buffer.getvalue()


def refusal(content: bytes, folder: Path) -> str:
    (folder / "cell.png").write_bytes(content)
    with pytest.raises(InputMismatch) as caught:
        prepare(folder / "cell.png", CONTRACT)
    message = str(caught.value)
    assert message.startswith(f"{folder}/cell.png")
    assert "\n" not in message
    return message


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """The header of a PNG of that size, and more of it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )


def bmp(width: int, height: int) -> bytes:
    return (
        b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *([0] * 6))
    )


def tiff(*entries: tuple[int, int, int, int]) -> bytes:
    """A TIFF whose tags are these: tag, type, count, value."""
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + b"".join(
        struct.pack("<HHII", *entry) for entry in entries
    )


def scans(count: int, size: int) -> bytes:
    """A JPEG with as many scans behind its first, each of some bytes."""
    content = encoded("JPEG", np.zeros((size, size, 3), np.uint8), progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * count + b"\xff\xd9"


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "JPEG", "WEBP"])
def test_pictures_of_the_listed_kinds_are_read_whatever_the_file_is_called(kind: str, tmp_path: Path) -> None:
    (tmp_path / "cell.eps").write_bytes(encoded(kind))
    with Image.open(io.BytesIO(encoded(kind))) as picture:
        expected = prepare(np.asarray(picture), CONTRACT)
    assert np.array_equal(prepare(tmp_path / "cell.eps", CONTRACT), expected)


def test_the_list_is_known_to_pillow() -> None:
    for name in DECODERS:
        with open_picture(encoded("JPEG" if name == "MPO" else name), "x", InputMismatch) as picture:
            assert picture.format == name


@pytest.mark.parametrize("kind", ["AVIF", "DDS", "EPS", "JPEG2000", "ICO", "PPM", "TGA", "SGI", "PCX", "PDF"])
def test_no_other_decoder_sees_a_byte(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(kind, np.asarray(Image.fromarray(PIXELS).resize((32, 32))))
    opened = []
    monkeypatch.setattr(Image, "open", lambda *_: opened.append(1))
    assert "cannot be decoded as an image (it is none of JPEG, PNG" in refusal(content, tmp_path)
    assert not opened


def test_an_eps_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "cell.png").write_bytes(encoded("EPS"))
    lines = "from bctoolkit.contract import *\nimport sys\n" + "".join(
        f"try: prepare({argument}, InputContract())\nexcept Exception as problem: print(type(problem).__name__)\n"
        for argument in (
            f"{str(tmp_path / 'cell.png')!r}",
            f"__import__('PIL.Image').Image.open({str(tmp_path / 'cell.png')!r})",
        )
    )
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "InputMismatch\nInputMismatch\n", done.stderr
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(13_040, 13_040), r"13,040×13,040 = 170,041,600 pixels; wanted at most 67,108,864"),
        (png(2**31 - 1, 2**31 - 1), "pixels; wanted at most"),
        (png(MOST_PIXELS + 1, 1), "67,108,865 pixels; wanted at most"),
        (bmp(31_623, 31_623), "1,000,014,129 pixels; wanted at most"),
        (bmp(20_000, -20_000), "400,000,000 pixels; wanted at most"),
        (tiff((256, 4, 1, 40_000), (257, 4, 1, 40_000), (262, 3, 1, 1), (273, 4, 1, 8)), "pixels; wanted at most"),
        (b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + b";", ""),
        (encoded("WEBP")[:12] + b"VP8X" + struct.pack("<II", 10, 0) + b"\xff\x3f\x00\xff\x3f\x00" + bytes(40), ""),
        (png(0, 5), ""),
        (png(4_000, 4_000), "cannot be decoded"),
        (png(40, 30, (b"IDAT", b"garbage")), "cannot be decoded"),
        (png(40, 30, (b"iCCP", b"x\0\0" + zlib.compress(bytes(10**8)))), ""),
        (encoded("PNG")[:200], "cannot be decoded"),
        (encoded("JPEG")[:300], "cannot be decoded"),
        (tiff((256, 4, 2**31, 0)), "cannot be decoded"),
        (tiff(*[(254 + i, 2, 10**9, 8) for i in range(20)]), "cannot be decoded"),
        (b"\xff\xd8\xff\xe1\xff\xffExif\0\0" + b"\xff" * 70_000, "cannot be decoded"),
        (scans(3_000, 1_000), r"3,01\d scans of 1,000×1,000 = 1,000,000 pixels; save it again with fewer"),
    ],
    ids=lambda value: value if isinstance(value, str) else len(value),
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged tags
def test_what_is_too_large_or_lies_is_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    assert re.search(message, refusal(content, tmp_path))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_garbage_in_exif_does_not_hide_a_picture(tmp_path: Path) -> None:
    plain = encoded("JPEG")
    garbage = b"Exif\0\0II*\0" + b"\xff" * 200
    (tmp_path / "x.jpg").write_bytes(
        plain[:2] + b"\xff\xe1" + struct.pack(">H", len(garbage) + 2) + garbage + plain[2:]
    )
    with Image.open(io.BytesIO(plain)) as picture:
        expected = prepare(np.asarray(picture), CONTRACT)
    assert np.array_equal(prepare(tmp_path / "x.jpg", CONTRACT), expected)


@pytest.mark.parametrize(
    "problem", [KeyError("x"), AttributeError("a\nb"), MemoryError(), struct.error("x"), OverflowError()]
)
def test_whatever_a_decoder_raises_is_one_line(
    problem: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    refusal(encoded("PNG"), tmp_path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputMismatch, match=r"pipe\.png: is a named pipe, not a file"):
        prepare(tmp_path / "pipe.png", CONTRACT)
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(100 * 2**30)
    with pytest.raises(InputMismatch, match=r"sparse\.png: 107,374,182,400 bytes; wanted at most 536,870,912"):
        prepare(tmp_path / "sparse.png", CONTRACT)


def test_a_picture_handed_over_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST_PIXELS", 100)
    with pytest.raises(InputMismatch, match="image: 40×30 = 1,200 pixels; wanted at most 100"):
        prepare(Image.fromarray(PIXELS), CONTRACT)


@pytest.mark.parametrize(
    "change", [{"height": 10**9}, {"width": 16_385}, {"height": 16_384, "width": 4_096, "channels": 3}, {"crop": 10**9}]
)
def test_a_contract_of_images_that_no_device_holds_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(BundleCorrupt, match=r"manifest\.json: "):
        parse(InputContract, change, "manifest.json", BundleCorrupt)
