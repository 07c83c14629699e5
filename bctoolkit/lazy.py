"""Import an optional package at the moment it is needed, or say what to install."""

import importlib
from types import ModuleType
from typing import Any

from bctoolkit.errors import MissingExtra

__all__ = ["attribute", "missing", "require"]


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, which the optional dependency group `extra` brings.

    Raises:
        MissingExtra: the package is not installed; the message holds the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise
        raise missing(module, extra) from None


def missing(module: str, extra: str) -> MissingExtra:
    """The error for a package that the optional dependency group `extra` would bring."""
    return MissingExtra(f"this needs the package {module!r}; install it with: pip install 'bctoolkit[{extra}]'")


def attribute(spec: str) -> Any:
    """Resolve a `"package.module:attribute"` string, as the format table uses them."""
    module, _, name = spec.partition(":")
    return getattr(importlib.import_module(module), name)
