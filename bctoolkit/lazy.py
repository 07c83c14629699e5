"""Import an optional package at the moment it is needed, or say what to install."""

import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

from bctoolkit.errors import MissingExtra

__all__ = ["attribute", "is_installed", "missing", "require"]

ENVIRONMENT = {"onnxruntime": {"ORT_DISABLE_TELEMETRY": "1"}}
"""What a package reads when it is imported, set here unless the user has set it.

ONNX Runtime 1.32 for Linux otherwise writes a device id below the user's cache folder and looks up a telemetry host.
"""

TELEMETRY = {"openvino": "openvino_telemetry"}
"""What a package would report its use with, and goes without where it is not installed: never imported."""


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, which the optional dependency group `extra` brings.

    Raises:
        MissingExtra: the package is not installed; the message holds the command that installs it.
    """
    for variable, value in ENVIRONMENT.get(module.split(".")[0], {}).items():
        os.environ.setdefault(variable, value)
    telemetry = TELEMETRY.get(module)
    if telemetry is not None and telemetry not in sys.modules:
        sys.modules[telemetry] = None  # type: ignore[assignment]  # an import of it fails as if it were not there
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise
        raise missing(module, extra) from None


def is_installed(module: str) -> bool:
    """Whether a package could be imported; it is not."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def missing(module: str, extra: str) -> MissingExtra:
    """The error for a package that the optional dependency group `extra` would bring."""
    return MissingExtra(f"this needs the package {module!r}; install it with: pip install 'bctoolkit[{extra}]'")


def attribute(spec: str) -> Any:
    """Resolve a `"package.module:attribute"` string, as the format table uses them."""
    module, _, name = spec.partition(":")
    return getattr(importlib.import_module(module), name)
