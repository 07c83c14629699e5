"""How bundles are damaged, and their hashes put right, so that what is behind them is reached."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bctoolkit.files import sha256_bytes
from tests.fuzz.models import damaged_onnx, damaged_tflite
from tests.fuzz.mutations import damaged_arrays, damaged_bytes, damaged_json

__all__ = ["damage_bundle", "replace_file", "seal"]

ARRAYS = ("golden.npz", "golden.npz", "reference.npz")


def damage_bundle(rng: np.random.Generator, folder: Path) -> None:
    """Damage one thing in a bundle."""
    changes: list[Callable[[np.random.Generator, Path], None]] = [
        _manifest, _manifest, _manifest, _manifest_bytes, _arrays, _arrays, _kinds, _model, _unsealed, _labels,
    ]  # fmt: skip
    changes[int(rng.integers(0, len(changes)))](rng, folder)


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Put another content in a file's place, and its hash and size into the manifest."""
    (folder / name).write_bytes(content)
    raw = json.loads((folder / "manifest.json").read_bytes())
    for entry in raw.values():
        if isinstance(entry, dict) and entry.get("file") == name:
            entry["sha256"] = sha256_bytes(content)
            if "bytes" in entry:
                entry["bytes"] = len(content)
    seal(folder, json.dumps(raw).encode())


def seal(folder: Path, manifest: bytes) -> None:
    """Write a manifest, and its hash beside it."""
    (folder / "manifest.json").write_bytes(manifest)
    (folder / "manifest.json.sha256").write_text(f"{sha256_bytes(manifest)}  manifest.json\n")


def _manifest(rng: np.random.Generator, folder: Path) -> None:
    seal(folder, damaged_json(rng, (folder / "manifest.json").read_bytes()))


def _manifest_bytes(rng: np.random.Generator, folder: Path) -> None:
    seal(folder, damaged_bytes(rng, (folder / "manifest.json").read_bytes()))


def _arrays(rng: np.random.Generator, folder: Path) -> None:
    name = str(rng.choice(ARRAYS))
    replace_file(folder, name, damaged_arrays(rng, (folder / name).read_bytes()))


def _model(rng: np.random.Generator, folder: Path) -> None:
    (model,) = folder.glob("model.[ot]*")
    damaged = damaged_onnx if model.suffix == ".onnx" else damaged_tflite
    replace_file(folder, model.name, damaged(rng, model.read_bytes()))


def _labels(rng: np.random.Generator, folder: Path) -> None:
    raw: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    labels = raw["labels"]
    choices: list[list[Any]] = [
        labels[::-1], labels[:-1], [*labels, "more"], [labels[0]] * len(labels), [], ["a/b", *labels[1:]],
        ["\x1b[31m", *labels[1:]], ["..", *labels[1:]], ["x" * 10**6, *labels[1:]],
        [f"class {i}" for i in range(200_000)],
    ]  # fmt: skip
    raw["labels"] = choices[int(rng.integers(0, len(choices)))]
    seal(folder, json.dumps(raw).encode())


def _unsealed(rng: np.random.Generator, folder: Path) -> None:
    """What a bad disk or a careless hand does: no hash is put right."""
    path = sorted(folder.iterdir())[int(rng.integers(0, len(list(folder.iterdir()))))]
    before = path.read_bytes()
    after = damaged_bytes(rng, before)
    path.write_bytes(after if after != before else before[:-1])


def _kinds(rng: np.random.Generator, folder: Path) -> None:
    """Something else than a file under a file's name."""
    names = sorted(path.name for path in folder.iterdir())
    path = folder / names[int(rng.integers(0, len(names)))]
    content = path.read_bytes()
    path.unlink()
    kind = int(rng.integers(0, 10))
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind == 2:
        path.symlink_to(folder.parent / "outside" / "secret")
    elif kind == 3:
        path.symlink_to(
            str(rng.choice(["/dev/zero", "/dev/stdin", "/dev/tty", "/proc/self/mem", path.name, "nowhere"]))
        )
    elif kind == 4:
        with path.open("wb") as file:
            file.truncate(100 * 2**30)
    elif kind == 5:
        _bind(path)
    elif kind == 6:
        (folder / "more").mkdir()
        (folder / "more" / path.name).write_bytes(content)
        path.symlink_to(Path("more", path.name))
    elif kind == 7:
        path.write_bytes(b"")
    elif kind == 8:
        shutil.copytree(folder, folder.parent / "copy", dirs_exist_ok=True)
        shutil.rmtree(folder.parent / "copy")


def _bind(path: Path) -> None:
    """A socket; the name of one must be short."""
    before = os.getcwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(before)
