"""A bundle made to harm: every kind of it is one line, whatever reads the bundle."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.errors import BundleCorrupt, BundleError
from bctoolkit.files import sha256_bytes
from tests.support.bundles import reseal, write

FILES = ("model.onnx", "golden.npz", "reference.npz", "bom.cdx.json", "manifest.json", "manifest.json.sha256")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "bundle").path


def everything(folder: Path) -> None:
    opened = bundles.read(folder)
    opened.check()
    opened.golden()
    opened.reference()


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        everything(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2_000
    return str(caught.value)


def put(folder: Path, name: str, content: bytes) -> None:
    """Another content, with its hash put right."""
    (folder / name).write_bytes(content)
    entry = name.removesuffix(".npz")
    reseal(folder, lambda raw: raw[entry].update(sha256=sha256_bytes(content)))


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (os.mkfifo, "is a named pipe, not a file"),
        (Path.mkdir, "is a folder, not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "is a link to a file outside"),
        (lambda path: path.symlink_to("../secret"), "is a link to a file outside"),
        (lambda path: path.symlink_to("nowhere"), "no such file"),
        (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 100 * 2**30), "107,374,182,400 bytes"),
    ],
    ids=["pipe", "folder", "device", "outside", "nowhere", "sparse"],
)
def test_what_is_no_file_of_the_bundle_is_never_read(
    name: str, make: Callable[[Path], object], message: str, folder: Path
) -> None:
    (folder.parent / "secret").write_bytes((folder / name).read_bytes())
    (folder / name).unlink()
    make(folder / name)
    assert message in refusal(folder)


def test_links_within_a_bundle_are_followed(folder: Path) -> None:
    """As some tools that lay out volumes for containers do it."""
    (folder / ".data").mkdir()
    for name in FILES:
        (folder / name).rename(folder / ".data" / name)
        (folder / name).symlink_to(Path(".data", name))
    everything(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((4, 6, 5, 1), np.uint8)}, "'images': 4×6×5×1 uint8; wanted 4×6×5×3 uint8"),
        ({"images": np.zeros((3, 6, 5, 3), np.uint8)}, "'images': 3×6×5×3 uint8"),
        ({"images": np.zeros((4, 6, 5, 3), np.float32)}, "'images': 4×6×5×3 float32"),
        ({"probabilities": np.zeros((4, 3), np.float32)}, "'probabilities': 4×3 float32; wanted 4×2"),
        ({"probabilities": np.full((4, 2), np.nan, np.float32)}, "'probabilities' holds numbers that are none"),
        ({"probabilities": np.full((4, 2), 1e30, np.float32)}, "'probabilities' holds numbers that are none"),
        ({"labels": np.array([0, 1, 2, 0])}, "'labels' from 0 to 2; wanted -1 to 1"),
        ({"labels": np.array([0, 1, -2, 0])}, "'labels' from -2 to 1"),
        ({"labels": np.zeros(4, np.int32)}, "'labels': 4 int32"),
        ({"more": np.zeros(4)}, "members in a list"),
    ],
)
def test_golden_arrays_are_what_the_manifest_says(change: dict[str, Any], message: str, folder: Path) -> None:
    with np.load(folder / "golden.npz") as stored:
        arrays = dict(stored)
    put(folder, "golden.npz", npz(**arrays | change))
    assert message in refusal(folder)


def test_a_bomb_is_not_unpacked(folder: Path) -> None:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (4, 6, 5, 3), }"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, np.load(folder / "golden.npz") as stored:
        for name in stored.files:
            with archive.open(f"{name}.npy", "w") as member:
                if name == "images":
                    member.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
                    for _ in range(100):
                        member.write(bytes(10**6))
                else:
                    np.save(member, stored[name])
    put(folder, "golden.npz", buffer.getvalue())
    assert "not the 360 bytes of values that its header says" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw["input"].update(height=30_000, width=30_000), "input.height"),
        (lambda raw: raw["input"].update(height=16_384, width=16_384), "wanted at most 67,108,864"),
        (lambda raw: raw["golden"].update(count=10**12), "golden.count"),
        (lambda raw: raw["golden"].update(count=0), "golden.count"),
        (lambda raw: raw["model"].update(bytes=10**12), "model.bytes"),
        (lambda raw: raw["model"].update(bytes=3), "19 bytes; wanted at most 3"),
        (lambda raw: raw["model"].update(bytes=10**30), "more than 64 bits"),
        (lambda raw: raw.update(labels=[]), "0 of them; wanted 1 to 100,000"),
        (lambda raw: raw.update(labels=[str(i) for i in range(100_001)]), "100,001 of them"),
        (lambda raw: raw.update(labels=["a", "x" * 10**6]), "has 1000000 bytes, more than 200"),
        (lambda raw: raw.update(tools={"a" * 10**6: 1}), "Expected str"),
        (lambda raw: raw.update({"x" * 10**6: 1}), "unknown key"),
        (lambda raw: raw.update(created=json.loads("[" * 40 + "]" * 40)), "nested deeper than 32"),
    ],
)
def test_a_manifest_states_what_a_device_can_hold(
    change: Callable[[dict[str, Any]], object], message: str, folder: Path
) -> None:
    reseal(folder, change)
    assert message in refusal(folder)


@pytest.mark.parametrize(
    "content", [b"[" * 10**6, b'{"schema": ' + b"9" * 10_000 + b"}", b'{"name": "\\ud800"}', b" " * 2**20]
)
def test_a_manifest_that_python_could_not_take_is_refused(content: bytes, folder: Path) -> None:
    (folder / "manifest.json").write_bytes(content)
    (folder / "manifest.json.sha256").write_text(f"{sha256_bytes(content)}  manifest.json\n")
    assert "not readable as JSON" in refusal(folder)


def test_what_no_device_takes_is_not_sealed(tmp_path: Path) -> None:
    images = np.zeros((1, 6, 5, 1), np.uint8)
    golden = bundles.Golden(images, np.full((1, 2), 0.5, np.float32), np.array([0]))
    with pytest.raises(BundleCorrupt, match="'images': 1×6×5×1 uint8; wanted 1×6×5×3 uint8"):
        write(tmp_path / "bundle", golden=golden)
    assert list(tmp_path.iterdir()) == []
