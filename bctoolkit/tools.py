"""The versions of what made a file, without importing any of it."""

import platform
from importlib.metadata import PackageNotFoundError, version

__all__ = ["versions"]


def versions(*packages: str) -> dict[str, str]:
    """Python's version and those of the installed ones of `packages`."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
