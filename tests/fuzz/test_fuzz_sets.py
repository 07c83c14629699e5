"""Sets of images of others, changed at random: each is loaded, inspected and cleaned, or refused in one line."""

import io
import os
import shutil
import socket
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bctoolkit.contract import InputContract
from bctoolkit.data import load
from bctoolkit.data.quality.clean import clean
from bctoolkit.data.quality.contact_sheet import write_contact_sheet
from bctoolkit.data.quality.inspect import inspect
from bctoolkit.data.sources.synthetic import draw as draw_cells
from tests.fuzz.desk import HOSTILE, cases, changed_bytes, outcome, report

PIXELS = draw_cells(per_class=4, seed=3, size=16)[0][:24]
NAMES = ["T-shirt/top", "..", "../../escaped", "/etc/x", "a\nb", "a\x1b[2J", "a\u202eb", "", " ", "x" * 300, ".hidden",
         "manifest.json", "a$x^{$b", "[/]", "=1+1", "<b>", "a\\b", "\ud800"]  # fmt: skip
RULES = {
    "read": "^read$",
    "not a file": "named pipe|a device|a socket|is a folder|no such f|a link that leads|levels of symbolic",
    "not an archive, or one beyond bounds": "zip archive",
    "not an array, or one beyond bounds": r"cannot be read as \.np|not in the .npy|of values; wanted|has shape|Fortran|"
    "different shapes|no pixels|it has become",
    "blank, or too many": "nothing but blank pixels|wanted at most",
    "labels that do not fit": "labels|'classes'|has no image|no array|names in|but only|UTF-8",
    "a name that is none": "cannot be the name|cannot be seen|is no name|hidden folder|bytes, more than|"
    "stands there twice|taken by the manifest",
    "images that cannot be decoded": "cannot be decoded|is greyscale|transparency|is none of|mode |smaller than|wants",
    "nothing left, or not one size": "no image left|room for one size|class folder|holds neither|none of its",
    "not the set's kind": "channel",
    "a meaning in doubt": "save them as 0–255|different types|hold nothing but 0|hold 0 and 1|could hold the|"
    "wanted 0–255|save the whole set",
}
CONTRACT = InputContract(height=16, width=16)


def arrays(draw: Random) -> dict[str, Any]:
    """The arrays of a set, one of them of another form."""
    labels: Any = np.arange(24) % 3
    made: dict[str, Any] = {"images": PIXELS, "labels": labels, "classes": np.array(["a", "b", "c"])}
    if draw.random() < 0.2:
        made = {f"{part}_{name}": made[name][:12] for part in ("train", "test") for name in ("images", "labels")}
    name = draw.choice(sorted(made))
    made[name] = draw.choice(OTHER_ARRAYS)(made[name], draw)
    return made


TYPES = ("f4", "i1", "u8", ">i4", "c8", "?", "M8[s]", "S3", "U3", "V2", "f2")


def of_type(array: Any, kind: str) -> Any:
    """The array as another type, where its values have a form there."""
    try:
        return array.astype(kind)
    except (ValueError, TypeError):
        return array


OTHER_ARRAYS: tuple[Callable[[Any, Random], Any], ...] = (
    lambda array, draw: array,
    lambda array, draw: array[: draw.randrange(len(array))],
    lambda array, draw: np.asfortranarray(array),
    lambda array, draw: array.reshape(-1),
    lambda array, draw: array[None],
    lambda array, draw: (
        array / draw.choice((1, 255, 127.5, 1000)) - draw.choice((0, 0, 1)) if array.ndim == 4 else array
    ),
    lambda array, draw: array.transpose(0, 3, 1, 2) if array.ndim == 4 else np.eye(3)[np.arange(len(array)) % 3],
    lambda array, draw: np.where(array > 99, np.nan, np.inf) if array.ndim == 4 else array[::-1],
    lambda array, draw: np.array(draw.choice(NAMES[:-1])),
    lambda array, draw: np.array(draw.choices(NAMES[:-1], k=len(array))),
    lambda array, draw: np.array([name.encode("utf-8", "replace") for name in draw.choices(NAMES, k=len(array))]),
    lambda array, draw: np.array([b"\xff\xfe"] * len(array)),
    lambda array, draw: of_type(array, draw.choice(TYPES)),
    lambda array, draw: np.full(len(array), draw.choice([-1, 2**62, 255, 10**9])),
    lambda array, draw: np.zeros((0, *array.shape[1:]), array.dtype),
    lambda array, draw: np.zeros((2**22, 1, 1, 3), np.uint8),
    lambda array, draw: np.array([{"a": 1}] * len(array), object),
)


def npz(draw: Random) -> bytes:
    """An archive in which arrays, headers, members or bytes are others."""
    buffer = io.BytesIO()
    save = np.savez_compressed if draw.random() < 0.5 else np.savez
    save(buffer, **arrays(draw))
    content = buffer.getvalue()
    if draw.random() < 0.3:
        content = with_header(content, draw)
    if draw.random() < 0.2:
        content = with_members(content, draw)
    return changed_bytes(content, draw) if draw.random() < 0.3 else content


KINDS = ("|u1", "|O", "<f8", "<U9999999", "|V8", "<M8[s]", "__import__('os')", "|u1\x00")
SHAPES = (
    *("(24, 16, 16, 3)", "(1000000000000,)", "(10**12, 1)", "()", "(-1, 16, 16, 3)", "(10000000, 1, 1, 3)"),
    *("(24, 1000000, 1000000, 3)", "(4611686018427387904, 2, 2, 3)", "(" + "1," * 100 + ")", "(" + "9" * 50 + ",)"),
)


def npy(header: str) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def with_header(content: bytes, draw: Random) -> bytes:
    """The same archive with a header that promises something else."""
    kind, shape = draw.choice(KINDS), draw.choice(SHAPES)
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info: archive.read(info) for info in archive.infolist()}
    return zipped({info.filename: data for info, data in members.items()}
                  | {draw.choice(sorted(info.filename for info in members)): npy(header) + bytes(5000)})  # fmt: skip


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def with_members(content: bytes, draw: Random) -> bytes:
    """An archive with more members, packed in another way, or encrypted by its own account."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    match draw.randrange(4):
        case 0:
            return zipped(members | {f"../{n}.npy": b"x" for n in range(draw.choice((1, 2000)))})
        case 1:
            return zipped(members | {"images.npy": zlib.compress(bytes(2**24))})
        case 2:
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", draw.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))) as archive:
                for name, data in members.items():
                    archive.writestr(name, data)
            return buffer.getvalue()
        case _:
            return content.replace(b"PK\x01\x02\x14\x00\x14\x00\x00\x00", b"PK\x01\x02\x14\x00\x14\x00\x01\x00")


def odd_file(path: Path, draw: Random) -> None:
    """Something at `path` that is no regular file, or one of odd content."""
    path.unlink(missing_ok=True)
    match draw.randrange(9):
        case 0:
            os.mkfifo(path)
        case 1:
            path.symlink_to(draw.choice(["/dev/zero", "/dev/urandom", "/dev/stdin", "/nowhere"]))
        case 2:
            path.symlink_to(path.name)
        case 3:
            path.mkdir()
        case 4:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind("socket")  # an address is short; where it lies afterwards is not
            Path("socket").rename(path)
        case 5:
            with path.open("wb") as file:
                file.truncate(10**11)
        case 6:
            buffer = io.BytesIO()
            Image.new(draw.choice(["RGBA", "L", "CMYK", "I;16", "1", "P"]), (16, 16)).save(
                buffer, draw.choice(["TIFF"]) if draw.random() < 0.2 else "TIFF"
            )
            path.write_bytes(buffer.getvalue())
        case 7:
            path.write_bytes(draw.choice([b"", b"%!PS-Adobe\n", b"\x89PNG\r\n\x1a\n" + b"\xff" * 50, b"text"]))
        case _:
            path.write_bytes(changed_bytes(path.read_bytes() if path.is_file() else b"\0" * 99, draw))


def make_folders(root: Path, draw: Random) -> Path:
    """Class folders with odd files and odd names."""
    for label, name in enumerate(("a", "b", draw.choice(NAMES[3:-1]).replace("/", "_") or "c")):
        folder = root / "set" / name[:200]
        if name in ("", " ", "..") or "\0" in name or folder.exists():
            folder = root / "set" / f"c{label}"
        folder.mkdir(parents=True)
        for number in range(4):
            Image.fromarray(PIXELS[4 * label + number]).save(folder / f"{number}.png")
    files = sorted((root / "set").rglob("*.png"))
    for path in draw.sample(files, draw.choice((1, 1, 3))):
        if draw.random() < 0.4:
            path.write_bytes(changed_bytes(path.read_bytes(), draw))
        else:
            odd_file(path, draw)
    return root / "set"


def make_arrays_folder(root: Path, draw: Random) -> Path:
    """A folder of arrays, one of whose files is another."""
    folder = root / "set"
    folder.mkdir()
    for name, array in arrays(draw).items():
        if name != "classes":
            np.save(folder / f"{name.rpartition('_')[2]}.npy", array, allow_pickle=True)
    (folder / "classes.txt").write_bytes("\n".join(["a", "b", draw.choice(NAMES[:-1])]).encode("utf-8", "replace"))
    path = draw.choice(sorted(folder.iterdir()))
    if draw.random() < 0.3:
        odd_file(path, draw)
    elif draw.random() < 0.5:
        path.write_bytes(changed_bytes(path.read_bytes(), draw))
    return folder


def make_archive(root: Path, draw: Random) -> Path:
    path = root / "set.npz"
    path.write_bytes(npz(draw))
    if draw.random() < 0.1:
        odd_file(path, draw)
    elif draw.random() < 0.2:
        names = [str(value) for value in draw.sample(HOSTILE, 3)]
        path.with_suffix(".classes.txt").write_bytes("\n".join(names).encode("utf-8", "replace"))
    return path


def use(source: Path, root: Path, draw: Random) -> None:
    """Everything that reads a set."""
    match draw.randrange(3):
        case 0:
            load(str(source), CONTRACT, most_in_memory=draw.choice((0, 2**30)))
        case 1:
            write_contact_sheet(inspect(str(source)), root / "page.html")
        case _:
            clean(str(source), root / draw.choice(("out", "out.npz")), keep=("foreign", "repeated"))


@pytest.mark.soak
def test_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: Counter[str] = Counter()
    monkeypatch.chdir(tmp_path)
    for seed, draw in cases(100):
        root = tmp_path / "case"
        root.mkdir()
        source = draw.choice((make_archive, make_archive, make_folders, make_arrays_folder))(root, draw)
        said[outcome(seed, lambda s=source, r=root, d=draw: use(s, r, d), root)] += 1  # type: ignore[misc]
        shutil.rmtree(root)
    assert report(said, RULES).get("other", 0) == 0
    assert said["read"] > 0
