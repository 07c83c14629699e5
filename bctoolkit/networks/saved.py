"""What a saved Keras file holds, read without running anything in it."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras

from bctoolkit.errors import WeightsError
from bctoolkit.escaping.text import visible
from bctoolkit.networks.stored import UNREADABLE, keras_archive
from bctoolkit.untrusted.archives import open_member
from bctoolkit.untrusted.files import open_regular

__all__ = [
    "Config",
    "Saved",
    "UnknownClass",
    "class_name",
    "damage",
    "is_keras",
    "lost_code",
    "nodes",
    "python_code",
    "read_saved",
    "shown",
    "unknown_classes",
]

ZIP, HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
"""First bytes of a `.keras` archive and of a `.h5` file."""

SUFFIXES = {".keras": (".keras",), ".h5": (".h5", ".hdf5")}
"""Kind of file → the suffixes it goes by."""

LONGEST_NAME = 100
LARGEST, DEEPEST = 1 << 26, 100
"""Bytes of a description, and levels of it; that of NASNetLarge takes 1.5 MB."""

Config = Any
"""Nested dictionaries and lists; objects are dictionaries with a `class_name` and a `config`."""

PUBLIC = (keras.layers, keras.models, keras.initializers, keras.regularizers, keras.constraints, keras.activations)
"""Where Keras looks up what a file names without its module: functions, and in a `.h5` file classes too."""


class Saved(NamedTuple):
    """The description of a network, and the Keras that wrote it."""

    config: Config
    version: str
    """Such as "2.13.1"; "" where the file does not tell."""

    @property
    def is_keras_2(self) -> bool:
        """Whether Keras 2 wrote the file, or something that writes as it did."""
        return self.version[:2] in ("1.", "2.")


class UnknownClass(NamedTuple):
    """A class or function that Keras does not know here."""

    layer: str
    """The layer that needs it."""
    name: str
    registered: str
    """The name it is registered by; its own where it is not."""
    module: str
    """Where it was defined; "" where the file does not tell."""


def read_saved(path: Path) -> Saved:
    """The description of the network inside a `.keras`, `.h5` or `.hdf5` file.

    Raises:
        WeightsError: another kind of file, a damaged one, or one that holds weights only.
    """
    with open_regular(path, WeightsError) as file:
        magic = file.read(8)
    kind = ".keras" if magic.startswith(ZIP) else ".h5" if magic == HDF5 else None
    if kind is None or not any(path.suffix in suffixes for suffixes in SUFFIXES.values()):
        raise WeightsError(f"{path}: not a Keras model; expected a .keras or .h5 file written by model.save()")
    if path.suffix not in SUFFIXES[kind]:
        raise WeightsError(f"{path}: is a {kind} file by its content; rename it to {path.stem}{kind}")
    try:
        saved = _from_archive(path) if kind == ".keras" else _from_hdf5(path)
    except UNREADABLE as problem:
        reason = " ".join(str(problem).split())[:120]
        raise WeightsError(f"{path}: not a whole Keras model ({reason}); copy the file again") from None
    if saved is None:
        raise WeightsError(f"{path}: holds weights only; save the whole network with model.save()")
    if not isinstance(saved.config, dict):
        raise WeightsError(f"{path}: not a whole Keras model (no class in its description); save it again")
    return saved


def _from_archive(path: Path) -> Saved | None:
    with keras_archive(path) as archive:
        if "config.json" not in archive.namelist():
            return None
        config = _read(archive, "config.json")
        metadata = _read(archive, "metadata.json") if "metadata.json" in archive.namelist() else b"{}"
    version = str(_plain(json.loads(metadata)).get("keras_version", ""))
    return Saved(_plain(json.loads(config)), version)


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    size = archive.getinfo(name).file_size
    if size > LARGEST:
        raise ValueError(f"{name} has {size:,} bytes")
    with open_member(archive, name) as stream:
        return stream.read()


def _plain(value: Any) -> Any:
    """Return a description that is nested within bounds and whose texts are Unicode."""
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inner(outer)]
        if not level:
            return value
    raise ValueError(f"nested deeper than {DEEPEST} levels")


def _inner(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list):
        yield from value
    elif isinstance(value, str) and not value.isascii():
        value.encode()  # half a character is none; the error is a ValueError


def _from_hdf5(path: Path) -> Saved | None:
    import h5py

    with h5py.File(path) as file:
        content = file.attrs.get("model_config")
        if content is None:
            return None
        if len(content) > LARGEST:
            raise ValueError(f"a description of {len(content):,} bytes")
        return Saved(_plain(json.loads(content)), str(file.attrs.get("keras_version", "")))


def damage(path: Path) -> str | None:
    """The part of a `.keras` archive that fails its checksum; None where all is well.

    Raises:
        WeightsError: a part cannot be unpacked at all.
    """
    if path.suffix != ".keras":
        return None
    with keras_archive(path) as archive:
        return archive.testzip()


def python_code(config: Config) -> str | None:
    """The first layer that holds Python code, which only unsafe loading would run; None where there is none.

    Judged by what a node is, not by how its bytes are spelled: a function stored by value, or a `Lambda` layer of
    which any function is not merely named.
    """
    for node, layer in nodes(config):
        if class_name(node) == "__lambda__":
            return layer
        if class_name(node) == "Lambda":
            inner = node.get("config")
            functions = (
                [inner.get(key) for key in ("function", "mask", "output_shape")] if isinstance(inner, dict) else [None]
            )
            if functions[0] is None or any(_is_code(function) for function in functions):
                return layer
    return None


def _is_code(function: Config) -> bool:
    """Whether a `Lambda` layer's argument is neither absent, a shape, nor a function by its name."""
    if function is None or (isinstance(function, list) and all(isinstance(size, int | None) for size in function)):
        return False
    return class_name(function) != "function"


def lost_code(config: Config) -> str | None:
    """The first layer with a lambda as an argument, which Keras saves in a form that it never loads; None if none."""
    for node, layer in nodes(config):
        value = node.get("value") if isinstance(node, dict) and len(node) == 1 else None
        if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
            return layer
    return None


def class_name(node: Config) -> str:
    """The bare name of the class that a node is an object of; "" where it is none."""
    name = node.get("class_name") if isinstance(node, dict) else None
    return name.replace(">", ".").rpartition(".")[2] if isinstance(name, str) else ""


def unknown_classes(config: Config) -> Iterator[UnknownClass]:
    """Every class and function that Keras does not know here, in the order of the file."""
    for node, layer in nodes(config):
        if not isinstance(node, dict) or not isinstance(node.get("class_name"), str):
            continue
        module, name = node.get("module") or "", node["class_name"]
        registered = node.get("registered_name", name)  # None of a class of Keras's own
        if name == "function":
            name = registered = node.get("config")
        if name == "module" or not all(isinstance(part, str) for part in (module, name, registered or "")):
            continue  # a module is part of the code of a lambda; the rest makes no sense to Keras either
        is_registered = registered is not None and keras.saving.get_registered_object(registered) is not None
        if not is_registered and not _is_known(module, name):
            yield UnknownClass(layer, name, registered or name, module.removeprefix("builtins"))


def _is_known(module: str, name: str) -> bool:
    if module in ("", "builtins"):
        return name == "Functional" or name.startswith("__") or any(hasattr(public, name) for public in PUBLIC)
    return is_keras(module)


def is_keras(module: str) -> bool:
    """Whether a module is Keras's own."""
    return module.split(".")[0] in ("keras", "tf_keras")


def shown(name: object) -> str:
    """What a file calls something, in a message: one line, and not all of it where it is long."""
    return visible(str(name)[:LONGEST_NAME])


def nodes(node: Config, layer: str = "the network") -> Iterator[tuple[Config, str]]:
    """Every dictionary and list, and the layer it is or belongs to; losses and optimizers are not loaded."""
    if isinstance(node, dict):
        inner = node.get("config")
        if isinstance(inner, dict) and isinstance(inner.get("name"), str) and "trainable" in inner:
            layer = f"layer {shown(inner['name'])!r} ({shown(node.get('class_name'))})"
        yield node, layer
        for key, value in node.items():
            if key != "compile_config":
                yield from nodes(value, layer)
    elif isinstance(node, list):
        yield node, layer
        for item in node:
            yield from nodes(item, layer)
