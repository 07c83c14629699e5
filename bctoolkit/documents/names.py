"""What a name may be: names come from files of others, and become parts of paths, tables and pages."""

import unicodedata
from collections.abc import Sequence

__all__ = ["class_names_fault", "name_fault"]

LONGEST = 200
"""Bytes in UTF-8; file systems allow 255 for a name, and ours get endings."""

INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of characters that steer a terminal or turn the direction of writing, and of half characters."""


def name_fault(name: str) -> str | None:
    """Why a name cannot be used, in words that end a sentence; None where it can.

    A name is visible characters and blanks, and no path: neither `/` nor `\\`, and not `.` or `..`.
    """
    size = len(name.encode(errors="surrogatepass"))
    if size > LONGEST:
        return f"{name[:20]!r}… has {size} bytes, more than {LONGEST}"
    hidden = next((character for character in name if unicodedata.category(character) in INVISIBLE), None)
    if hidden is not None:
        return f"{name!r} holds the character U+{ord(hidden):04X}, which cannot be seen"
    if not name.strip() or name in (".", "..") or "/" in name or "\\" in name:
        return f"{name!r} cannot be the name of a folder"
    return None


def class_names_fault(names: Sequence[str]) -> str | None:
    """Why these cannot be the names of classes; None where they can: each is a name, and none stands twice."""
    earlier: set[str] = set()
    for name in names:
        fault = name_fault(name)
        if fault is not None:
            return fault
        if name in earlier:
            return f"{name!r} stands there twice"
        earlier.add(name)
    return None
