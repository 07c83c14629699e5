"""What a saved Keras file holds, read without running anything in it."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from bctoolkit.errors import WeightsError

__all__ = ["damage", "python_code", "read_config", "unknown_class"]

ZIP, HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
"""First bytes of a `.keras` archive and of a `.h5` file."""

Config = Any
"""Nested dictionaries and lists; objects are dictionaries with a `class_name` and a `config`."""

PUBLIC = (keras.layers, keras.models, keras.initializers, keras.regularizers, keras.constraints, keras.activations)
"""Where Keras looks up what a file names without its module: functions, and in a `.h5` file classes too."""

MARSHALLED = "4w"
"""How the code of a Python function begins in base64: 0xE3 (https://docs.python.org/3/library/marshal.html)."""


def read_config(path: Path) -> Config:
    """The description of the network inside a `.keras` or `.h5` file.

    Raises:
        WeightsError: another kind of file, a damaged one, or one that holds weights only.
    """
    with path.open("rb") as file:
        magic = file.read(8)
    kind = ".keras" if magic.startswith(ZIP) else ".h5" if magic == HDF5 else None
    suffix = {".hdf5": ".h5"}.get(path.suffix, path.suffix)
    if kind is None or suffix not in (".keras", ".h5"):
        raise WeightsError(f"{path}: not a Keras model; expected a .keras or .h5 file written by model.save()")
    if suffix != kind:
        raise WeightsError(f"{path}: is a {kind} file by its content; rename it to {path.stem}{kind}")
    try:
        config = _from_archive(path) if kind == ".keras" else _from_hdf5(path)
    except (OSError, zipfile.BadZipFile, ValueError) as problem:
        reason = " ".join(str(problem).split())[:120]
        raise WeightsError(f"{path}: not a whole Keras model ({reason}); copy the file again") from None
    if config is None:
        raise WeightsError(f"{path}: holds weights only; save the whole network with model.save()")
    return config


def _from_archive(path: Path) -> Config:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json")) if "config.json" in archive.namelist() else None


def _from_hdf5(path: Path) -> Config:
    import h5py

    with h5py.File(path) as file:
        content = file.attrs.get("model_config")
    return None if content is None else json.loads(content)


def damage(path: Path) -> str | None:
    """The part of a `.keras` archive that fails its checksum; None where all is well."""
    if path.suffix != ".keras":
        return None
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()


def python_code(config: Config) -> str | None:
    """The first layer that holds Python code, which only unsafe loading would run; None where there is none.

    Such code is code, defaults and closure of a function, in a row or by name.
    """
    for node, layer in _nodes(config):
        if isinstance(node, dict):
            if node.get("class_name") == "__lambda__":
                return layer
        elif len(node) == 3 and isinstance(node[0], str) and node[0].startswith(MARSHALLED):
            return layer
    return None


def unknown_class(config: Config) -> tuple[str, str, str, bool] | None:
    """The first class or function that Keras does not know here.

    Returns:
        The layer that needs it, its name, the module it was defined in ("" where the file does not tell), and whether
        it was registered when the file was saved.
    """
    for node, layer in _nodes(config):
        if not isinstance(node, dict) or not isinstance(node.get("class_name"), str):
            continue
        module, name = node.get("module") or "", node["class_name"]
        if name == "function":
            name = registered = node["config"]
        else:
            registered = node.get("registered_name") or name
        if keras.saving.get_registered_object(registered) is None and not _is_keras(module, name):
            return layer, name, module.removeprefix("builtins"), ">" in registered
    return None


def _is_keras(module: str, name: str) -> bool:
    if module in ("", "builtins"):
        return name == "Functional" or name.startswith("__") or any(hasattr(public, name) for public in PUBLIC)
    return module.split(".")[0] == "keras"


def _nodes(node: Config, layer: str = "the network") -> Iterator[tuple[Config, str]]:
    """Every dictionary and list, and the layer it is or belongs to; losses and optimizers are not loaded."""
    if isinstance(node, dict):
        inner = node.get("config")
        if isinstance(inner, dict) and isinstance(inner.get("name"), str) and "trainable" in inner:
            layer = f"layer {inner['name']!r} ({node.get('class_name')})"
        yield node, layer
        for key, value in node.items():
            if key != "compile_config":
                yield from _nodes(value, layer)
    elif isinstance(node, list):
        yield node, layer
        for item in node:
            yield from _nodes(item, layer)
