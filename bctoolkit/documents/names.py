"""What a name may be: names come from files of others, and become parts of tables, of pages, and some of paths."""

from collections.abc import Sequence

from bctoolkit.escaping.text import hidden

__all__ = ["class_folder_fault", "class_names_fault", "label_fault", "name_fault"]

LONGEST = 200
"""Bytes in UTF-8; file systems allow 255 for a name, and ours get endings."""


def label_fault(label: str) -> str | None:
    """Why a class cannot be called so, in words that end a sentence; None where it can.

    A label is visible characters and blanks. It may look like a path, as `T-shirt/top` does, for it never becomes one.
    """
    size = len(label.encode(errors="surrogatepass"))
    if size > LONGEST:
        return f"{label[:20]!r}… has {size} bytes, more than {LONGEST}"
    unseen = next(filter(hidden, label), None)
    if unseen is not None:
        return f"{label!r} holds the character U+{ord(unseen):04X}, which cannot be seen"
    if not label.strip():
        return f"{label!r} is no name"
    return None


def name_fault(name: str) -> str | None:
    """Why a bundle or a run cannot be called so; None where it can: it is a label, and no path."""
    if name in (".", "..") or "/" in name or "\\" in name:
        return f"{name!r} cannot be the name of a folder"
    return label_fault(name)


def class_folder_fault(label: str) -> str | None:
    """Why a label cannot be the name of a class folder; None where it can: it is a name, and not hidden."""
    if label.startswith("."):
        return f"{label!r} would be a hidden folder"
    return name_fault(label)


def class_names_fault(labels: Sequence[str]) -> str | None:
    """Why these cannot be the names of classes; None where they can: each is a label, and none stands twice."""
    earlier: set[str] = set()
    for label in labels:
        fault = label_fault(label)
        if fault is not None:
            return fault
        if label in earlier:
            return f"{label!r} stands there twice"
        earlier.add(label)
    return None
