"""Whatever is given to be loaded ends in a network or in one line."""

import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import pytest
from keras import layers

from bctoolkit.errors import BctkError
from bctoolkit.networks import load_model


def network() -> keras.Model:
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(2, 3, activation="relu")(image)
    x = layers.BatchNormalization()(x)
    return keras.Model(image, layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("saved")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network().save(folder / "model.keras")
        network().save(folder / "model.h5")
    network().export(folder / "model", verbose=False)
    return {"keras": folder / "model.keras", "h5": folder / "model.h5", "pb": folder / "model" / "saved_model.pb"}


def flip(content: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 4, 64))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)


def cut(content: bytearray, draw: random.Random) -> None:
    del content[draw.randrange(len(content)) :]


def swap(content: bytearray, draw: random.Random) -> None:
    start, size = draw.randrange(len(content)), draw.randrange(1, 200)
    content[start : start + size] = bytes(draw.randrange(256) for _ in range(draw.randrange(200)))


def spell(content: bytearray, draw: random.Random) -> None:
    """Change a letter inside the description, where it still is JSON or a protocol buffer."""
    letters = [i for i, byte in enumerate(content) if chr(byte).isalnum()]
    for _ in range(draw.choice((1, 8))):
        content[draw.choice(letters)] = draw.choice(b"0159aeZ")


def outcome(path: Path) -> str:
    """What loading says: nothing, or the text of an error of ours."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load_model(path)
    except BctkError as problem:
        return str(problem)
    return ""


@pytest.mark.parametrize("damage", [flip, cut, swap, spell])
@pytest.mark.parametrize("kind", ["keras", "h5", "pb"])
@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_file_loads_or_is_one_line(
    saved: dict[str, Path], kind: str, damage: Callable[[bytearray, random.Random], None], seed: int
) -> None:
    path = saved[kind]
    whole = path.read_bytes()
    content = bytearray(whole)
    damage(content, random.Random(f"{kind} {damage.__name__} {seed}"))
    path.write_bytes(content)
    try:
        message = outcome(path if kind != "pb" else path.parent)
    finally:
        path.write_bytes(whole)
    assert len(message.splitlines()) <= 1
    assert len(message) < 1000


def empty(path: Path) -> None:
    path.touch()


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def unreadable(path: Path) -> None:
    path.symlink_to(path)


def text(path: Path) -> None:
    path.write_text("weights\n")


@pytest.mark.parametrize("make", [empty, folder, pipe, unreadable, text])
@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.hdf5", "model.onnx", "model"])
def test_what_is_no_network_is_one_line(tmp_path: Path, make: Callable[[Path], None], name: str) -> None:
    make(tmp_path / name)
    assert len(outcome(tmp_path / name).splitlines()) == 1
