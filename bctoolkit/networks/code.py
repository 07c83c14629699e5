"""Code that a model file names but does not hold: modules are run where the user names them, and not otherwise."""

import contextlib
import importlib
import importlib.util
import math
import re
import sys
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras.src.legacy import backend
from keras.src.utils import python_utils

from bctoolkit.errors import WeightsError
from bctoolkit.files import sha256_bytes, sha256_file
from bctoolkit.networks.saved import UnknownClass, shown

__all__ = ["CUSTOMARY", "Code", "custom_objects", "import_modules", "lacking_name", "lend_names", "sha256_of_modules"]

CUSTOMARY: Mapping[str, Any] = {
    "K": backend,
    "keras": keras,
    "layers": keras.layers,
    "math": math,
    "np": np,
    "numpy": np,
    "ops": keras.ops,
    "tensorflow": tf,
    "tf": tf,
}
"""What a saved lambda usually calls its modules: it comes without the names of the module it was written in."""


class Code(NamedTuple):
    """What the user lets a file use."""

    objects: Mapping[str, Any]
    """Classes and functions, by the names that the file has for them."""
    modules: tuple[types.ModuleType, ...]
    """Where they are from."""


def import_modules(names: Iterable[str]) -> tuple[types.ModuleType, ...]:
    """Run modules, each once in a process.

    Args:
        names: dotted names, looked up in the current folder too, or paths of `.py` files.

    Raises:
        WeightsError: there is no such module, or it fails when it is run.
    """
    return tuple(_import(name) for name in names)


def _import(name: str) -> types.ModuleType:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is ours
            return _from_file(Path(name)) if name.endswith(".py") else _from_name(name)
    except ModuleNotFoundError as problem:
        if problem.name and (name == problem.name or name.startswith(f"{problem.name}.")):
            raise WeightsError(
                f"--import {name}: no such module here; install its package, or give the path of a .py file"
            ) from None
        raise WeightsError(f"--import {name}: needs the module {problem.name!r}, which is not installed") from None
    except WeightsError:
        raise
    except (Exception, SystemExit) as problem:  # whatever somebody's module does
        reason = " ".join(str(problem).split())[:200]
        raise WeightsError(f"--import {name}: fails when it is run, {type(problem).__name__}: {reason}") from problem


def _from_name(name: str) -> types.ModuleType:
    _search(Path.cwd())
    return importlib.import_module(name)


def _from_file(path: Path) -> types.ModuleType:
    """The module of a file, under its own name unless another module has that."""
    path = path.resolve()
    if not path.is_file():
        raise WeightsError(f"--import {path}: no such file")
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == str(path) and module.__name__ != "__main__":
            return module
    name = path.stem if path.stem not in sys.modules else f"imported_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    _search(path.parent)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _search(folder: Path) -> None:
    """Look for modules in a folder too, after all others, so that none of those is taken for another."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def sha256_of_modules(names: Iterable[str]) -> str:
    """Hash of the source of modules: whole packages, and of a single file also the modules loaded from beside it."""
    files: set[Path] = set()
    for module in import_modules(names):
        file = Path(module.__file__ or "")
        if hasattr(module, "__path__"):
            files.update(file.parent.rglob("*.py"))
        else:
            loaded = (Path(str(getattr(each, "__file__", ""))) for each in list(sys.modules.values()))
            files.update(path for path in loaded if path.parent == file.parent and path.is_file())
    return sha256_bytes("".join(sha256_file(path) for path in sorted(files)).encode())


def custom_objects(unknown: Iterable[UnknownClass], modules: tuple[types.ModuleType, ...]) -> dict[str, Any]:
    """The classes and functions of the imported modules that a file needs, by the names Keras looks them up by.

    Raises:
        WeightsError: the file means two classes of one name.
    """
    objects: dict[str, Any] = {}
    origin: dict[str, UnknownClass] = {}
    for item in unknown:
        value = _look_up(item, modules)
        if value is None:
            continue
        if objects.setdefault(item.registered, value) is not value:
            other = origin[item.registered]
            raise WeightsError(
                f"{item.layer} needs {shown(item.name)!r} of module {shown(item.module)}, {other.layer} that of "
                f"{shown(other.module)}; "
                "Keras loads only one class of a name: register them with @keras.saving.register_keras_serializable("
                "package=…) under two packages and save again"
            )
        origin.setdefault(item.registered, item)
    return objects


def _look_up(item: UnknownClass, modules: tuple[types.ModuleType, ...]) -> Any:
    """The class or function where the file says it was defined, or else wherever an imported package defines it."""
    own = [module for module in modules if _is_below(item.module, module)]
    if own:
        try:
            value = getattr(importlib.import_module(item.module), item.name, None)
        except ImportError:
            value = None
        if callable(value):
            return value
    for module in modules:
        parts = [module, *(part for name, part in list(sys.modules.items()) if _is_below(name, module))]
        for part in parts:
            value = vars(part).get(item.name) if isinstance(part, types.ModuleType) else None
            if callable(value):
                return value
    return None


def _is_below(name: str, module: types.ModuleType) -> bool:
    return name == module.__name__ or name.startswith(f"{module.__name__}.")


def lend_names(
    modules: tuple[types.ModuleType, ...],
    to: types.ModuleType = python_utils,
    customary: Mapping[str, Any] = CUSTOMARY,
) -> None:
    """Give the lambdas that Keras unpacks from files the names they were written with.

    A lambda is stored as bare bytecode, which runs with the global names of the module of Keras that unpacks it.

    Args:
        modules: whose names are lent before the customary ones.
        to: the module that unpacks.
        customary: names that most lambdas use.
    """
    for names in (*(vars(module) for module in modules), customary):
        for name, value in names.items():
            if not name.startswith("__"):
                vars(to).setdefault(name, value)


def lacking_name(problem: Exception, path: Path) -> WeightsError | None:
    """The error for a lambda that lacks a name it was written with; None where the problem is another."""
    name = re.search(r"name '(\w+)' is not defined", str(problem))
    if name is None:
        return None
    return WeightsError(
        f"{path}: its Python code needs the name {name[1]!r}, which it was written with; give the module or .py file "
        "that has it: --import MODULE"
    )
