"""Keras files of others, changed at random: each is loaded, or refused in one line, and none of their code runs."""

import base64
import io
import json
import marshal
import shutil
import types
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import keras
import pytest
from keras import layers

from bctoolkit.networks import load_model
from tests.fuzz.desk import cases, changed_bytes, changed_tree, outcome, report

RULES = {
    "loaded": "^read$",
    "not a file": "named pipe|a device|is a folder|no such file",
    "not an archive, or one beyond bounds": "zip archive",
    "not a Keras file": "not a Keras model; expected|is a \\.|holds weights only",
    "weights elsewhere": "is a link to elsewhere|from another file",
    "more weights, or larger tensors, than held": "more weights than|numbers of an image",
    "damaged, or nested beyond bounds": "not a whole (Keras model|HDF5 file)|damaged",
    "holds code": "holds Python code|calls .* of TensorFlow|no part of a network|a method by its name|as an argument",
    "a class nobody knows": "if you trust that code",
    "not a network that can be loaded": "can(not)? be loaded|not a model|neither Keras 3 nor|takes|graph|module",
}


def network() -> keras.Model:
    image = keras.Input((8, 8, 3))
    inner = keras.Sequential([keras.Input((6, 6, 2)), layers.DepthwiseConv2D(3), layers.LayerNormalization()])
    x = layers.BatchNormalization()(layers.Conv2D(2, 3, activation="relu")(image))
    x = layers.GlobalAveragePooling2D()(layers.Add()([inner(x), layers.Cropping2D(1)(x)]))
    return keras.Model(image, layers.Dense(2, activation="softmax")(x))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("saved")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for suffix in (".keras", ".h5"):
            network().save(folder / f"model{suffix}")
    return {suffix: (folder / f"model{suffix}").read_bytes() for suffix in (".keras", ".h5")}


def code(canary: Path) -> dict[str, Any]:
    """A function that leaves a trace, as Keras stores one by value."""

    def leave(x: Any) -> Any:
        open("CANARY", "w").close()
        return x

    compiled = leave.__code__.replace(
        co_consts=tuple(str(canary) if value == "CANARY" else value for value in leave.__code__.co_consts)
    )
    assert isinstance(compiled, types.CodeType)
    stored = base64.b64encode(marshal.dumps(compiled)).decode()
    return {"class_name": "__lambda__", "config": {"code": stored, "defaults": None, "closure": None}}


def planted(canary: Path, draw: Random) -> tuple[Any, ...]:
    """Values that would run something, spelled in several ways."""
    function = code(canary)
    blank = json.loads(json.dumps(function))
    blank["config"]["code"] = draw.choice((" ", "\n")) + blank["config"]["code"]
    inner = {"name": "f", "trainable": True, "dtype": "float32"}
    return (
        function,
        blank,
        {"class_name": "Lambda", "config": inner | {"function": function}, "module": "keras.layers"},
        {"class_name": "Lambda", "config": inner | {"function": [function["config"]["code"], None, None]}},
        {"class_name": "function", "config": "system", "module": "os"},
        {"class_name": "system", "config": f"touch {canary}", "module": "os", "registered_name": None},
        {"class_name": "run", "config": {"args": ["touch", str(canary)]}, "module": "subprocess"},
        {"class_name": "get_file", "config": {"origin": "file:///etc/passwd"}, "module": "keras.utils"},
        {"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}, "module": "keras.layers"},
        {"class_name": "TFOpLambda", "config": {"function": "io.write_file"}},
        {"class_name": "TorchModuleWrapper", "config": {"module": function}, "module": "keras.layers"},
    )


def archive_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: dict[str, bytes], draw: Random) -> bytes:
    buffer = io.BytesIO()
    method = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def other_weights(content: bytes, draw: Random) -> bytes:
    """An HDF5 file one of whose objects is elsewhere, of another size, or gone."""
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        if not names:
            return content
        name = draw.choice(names)
        shape = file[name].shape if isinstance(file[name], h5py.Dataset) else (2, 2)
        del file[name]
        match draw.randrange(7):
            case 0:
                file[name] = h5py.ExternalLink("/etc/passwd", "/x")
            case 1:
                file[name] = h5py.SoftLink(draw.choice(("/", "/nowhere", f"/{name}")))
            case 2:
                file.create_dataset(name, shape or (1,), "f4", external=[("/etc/passwd", 0, 2**20)])
            case 3:
                file.create_dataset(name, (10**6, 10**6), "f4", chunks=(100, 100))
            case 4:
                file[name] = draw.choice((b"text", 3.0, [1] * 5))
            case 5:
                file[name] = file["/"]
            case _:
                pass
    return buffer.getvalue()


def changed_keras(content: bytes, draw: Random, values: tuple[Any, ...]) -> bytes:
    members = archive_of(content)
    match draw.randrange(8):
        case 0 | 1 | 2 | 3:
            name = draw.choice(("config.json", "config.json", "config.json", "metadata.json"))
            members[name] = described(members[name], draw, values)
        case 4:
            members["model.weights.h5"] = other_weights(members["model.weights.h5"], draw)
        case 5:
            members[draw.choice(("../x", "/etc/x", "assets/x", "model.weights.npz", "a\\b"))] = b"x" * 100
        case 6:
            members[draw.choice(sorted(members))] = draw.choice((b"", bytes(2**24), b"[" * 10**5))
        case _:
            name = draw.choice(sorted(members))
            members[name] = changed_bytes(members[name], draw)
    return zipped(members, draw)


def changed_h5(content: bytes, draw: Random, values: tuple[Any, ...]) -> bytes:
    if draw.random() < 0.4:
        return other_weights(content, draw)
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        raw = described(str(file.attrs["model_config"]).encode(), draw, values)
        del file.attrs["model_config"]
        file.attrs["model_config"] = raw.decode("utf-8", "surrogatepass") if len(raw) < 60_000 else "[" * 60_000
    return buffer.getvalue()


def described(content: bytes, draw: Random, values: tuple[Any, ...]) -> bytes:
    """A description with other values; often one that would run code."""
    tree = json.loads(content)
    extra = values * draw.choice((1, 6))
    return json.dumps(changed_tree(tree, draw, extra), ensure_ascii=draw.random() < 0.5).encode(
        "utf-8", "surrogatepass"
    )


CHANGES: dict[str, Callable[[bytes, Random, tuple[Any, ...]], bytes]] = {".keras": changed_keras, ".h5": changed_h5}


@pytest.mark.soak
def test_keras_files(saved: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: Counter[str] = Counter()
    monkeypatch.chdir(tmp_path)
    canary = tmp_path / "canary"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "case"))  # where Keras unpacks what lies beside weights
    for seed, draw in cases(12):
        folder = tmp_path / "case"
        folder.mkdir()
        suffix = draw.choice(sorted(saved))
        content = CHANGES[suffix](saved[suffix], draw, planted(canary, draw))
        if draw.random() < 0.15:
            content = changed_bytes(content, draw)
        path = folder / f"model{suffix}"
        path.write_bytes(content)
        said[outcome(seed, lambda path=path: load_model(path), folder)] += 1  # type: ignore[misc]
        assert not canary.exists(), f"seed {seed}: its code has run"
        keras.backend.clear_session()
        shutil.rmtree(folder)
    assert report(said, RULES).get("other", 0) == 0
    assert said["read"] > 0
