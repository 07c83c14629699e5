"""A Keras file is read from that file alone, and no further than what is stored in it."""

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from bctoolkit.errors import WeightsError
from bctoolkit.networks import load_model

Change = Callable[[h5py.File], None]


@pytest.fixture(scope="module", params=[".keras", ".h5"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / f"model{request.param}"
    image = keras.Input((8, 8, 3))
    network = keras.Model(image, layers.Dense(2, name="head")(layers.Flatten()(image)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.save(path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def changed_weights(saved: Path, copy: Path, change: Change) -> Path:
    """A copy whose HDF5 file, in the archive where there is one, has been changed."""
    if saved.suffix == ".h5":
        copy.write_bytes(saved.read_bytes())
        with h5py.File(copy, "r+") as file:
            change(file)
        return copy
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO(members["model.weights.h5"])
    with h5py.File(buffer, "r+") as file:
        change(file)
    return rezipped(copy, members | {"model.weights.h5": buffer.getvalue()})


def rezipped(copy: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(copy, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return copy


def changed_config(saved: Path, copy: Path, change: Callable[[Any], None]) -> Path:
    """A copy with another description."""
    if saved.suffix == ".h5":
        copy.write_bytes(saved.read_bytes())
        with h5py.File(copy, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(config)
            file.attrs["model_config"] = json.dumps(config)
        return copy
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    return rezipped(copy, members | {"config.json": json.dumps(config).encode()})


def kernel(file: h5py.File) -> h5py.Dataset:
    found: list[h5py.Dataset] = []
    file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
    return next(each for each in found if each.ndim == 2)


def external_link(file: h5py.File) -> None:
    there = kernel(file)
    parent, name = there.parent, there.name.rpartition("/")[2]
    del parent[name]
    parent[name] = h5py.ExternalLink("secret.h5", "/x")


def external_storage(file: h5py.File) -> None:
    there = kernel(file)
    parent, name, shape = there.parent, there.name.rpartition("/")[2], there.shape
    del parent[name]
    parent.create_dataset(name, shape, "f4", external=[("/etc/passwd", 0, 4 * int(np.prod(shape)))])


def virtual(file: h5py.File) -> None:
    there = kernel(file)
    parent, name, shape = there.parent, there.name.rpartition("/")[2], there.shape
    del parent[name]
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource("secret.h5", "x", shape)
    parent.create_virtual_dataset(name, layout)


def soft_link(file: h5py.File) -> None:
    there = kernel(file)
    parent, name = there.parent, there.name.rpartition("/")[2]
    del parent[name]
    parent[name] = h5py.SoftLink("/elsewhere")


def nothing_stored(file: h5py.File) -> None:
    file.create_dataset("more", (10**6, 10**6), "f4", chunks=(1000, 1000))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (external_link, "is a link to elsewhere"),
        (soft_link, "is a link to elsewhere"),
        (external_storage, "takes its values from another file"),
        (virtual, "takes its values from another file"),
        (nothing_stored, "4,000,000,000,000 bytes in 0"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_weights_lie_in_the_file_itself(saved: Path, tmp_path: Path, change: Change, words: str) -> None:
    assert words in refusal(changed_weights(saved, tmp_path / saved.name, change))


def test_groups_in_a_circle_end(saved: Path, tmp_path: Path) -> None:
    def circle(file: h5py.File) -> None:
        file["round"] = file["/"]

    assert isinstance(load_model(changed_weights(saved, tmp_path / saved.name, circle)), keras.Model)


@pytest.mark.parametrize("units", [10**7, 10**12, 2**70])
def test_no_more_weights_are_made_than_are_stored(saved: Path, tmp_path: Path, units: int) -> None:
    def widen(config: Any) -> None:
        head = next(layer for layer in config["config"]["layers"] if layer["config"]["name"] == "head")
        head["config"]["units"] = units

    assert "asks for more weights than the file holds" in refusal(changed_config(saved, tmp_path / saved.name, widen))


@pytest.mark.parametrize("name", ["module", "class_name"])
def test_a_command_that_is_advised_holds_no_word_of_the_file(saved: Path, tmp_path: Path, name: str) -> None:
    """Somebody may paste it into a shell."""

    def plant(config: Any) -> None:
        head = next(layer for layer in config["config"]["layers"] if layer["config"]["name"] == "head")
        head |= {"class_name": "Other", "module": "theirs", "registered_name": "Other"} | {name: "a; touch evil\n#"}

    message = refusal(changed_config(saved, tmp_path / saved.name, plant))
    assert "touch evil" not in message.partition("run it: ")[2]


def test_half_a_character_is_refused(saved: Path, tmp_path: Path) -> None:
    def rename(config: Any) -> None:
        config["config"]["name"] = "half\ud800"

    assert "not a whole Keras model" in refusal(changed_config(saved, tmp_path / saved.name, rename))


def test_a_tensor_of_any_size_is_refused(saved: Path, tmp_path: Path) -> None:
    def stretch(config: Any) -> None:
        first = config["config"]["layers"][0]["config"]
        shape = "batch_shape" if "batch_shape" in first else "batch_input_shape"
        first[shape] = [None, 10**6, 10**6, 3]

    refusal(changed_config(saved, tmp_path / saved.name, stretch))


def test_a_tensor_of_any_size_is_refused_where_no_weight_depends_on_it(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(layers.UpSampling2D(50_000, name="wide")(image)))
    keras.Model(image, layers.Dense(2)(pooled)).save(tmp_path / "model.keras")
    assert "layer 'wide' makes 400000×400000×3 numbers of an image" in refusal(tmp_path / "model.keras")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "assets/../../evil", "a\\..\\evil"])
def test_a_member_that_would_leave_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    members = {"config.json": b"{}", "metadata.json": b"{}", name: b"x"}
    assert "would leave the archive" in refusal(rezipped(tmp_path / "model.keras", members))


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "assets/x"])
def test_an_archive_that_unpacks_to_any_size_is_refused(tmp_path: Path, name: str) -> None:
    members = {"config.json": b"{}", "metadata.json": b"{}", name: bytes(2**24)}
    assert "16,777,216 bytes in" in refusal(rezipped(tmp_path / "model.keras", members, zipfile.ZIP_DEFLATED))


def test_weights_alone_are_read_from_their_file_alone(tmp_path: Path) -> None:
    from bctoolkit.networks.weights import load_weights

    network = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2)], name="convnext_tiny")
    path = tmp_path / "model.weights.h5"
    network.save_weights(path)
    with h5py.File(path, "r+") as file:
        external_storage(file)
    with pytest.raises(WeightsError, match="takes its values from another file"):
        load_weights(network, str(path))


def test_a_part_that_cannot_be_unpacked_is_one_line(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    keras.Model(image, layers.Dense(2)(layers.Flatten()(image))).save(tmp_path / "whole.keras")
    with zipfile.ZipFile(tmp_path / "whole.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    path = rezipped(tmp_path / "model.keras", members, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("model.weights.h5").header_offset + 60
    content = bytearray(path.read_bytes())
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    refusal(path)
