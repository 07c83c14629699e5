"""The files that a dossier is read from. A figure is taken from one of them, and says from which and where in it.

On the page each figure is an HTML `data` element: `value` is what stands in the file, as JSON, `data-file` the file's
name in the dossier, `data-at` a JSON Pointer (RFC 6901). A figure that follows from others names the method in
`data-how` instead, and in `data-from` the pointers of what it follows from.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bctoolkit.escaping.text import for_html

__all__ = ["UNKNOWN", "Evidence", "Key", "SourceFile", "pointer"]

Form = Callable[[Any], str]
"""From a value to the text that is shown."""
Key = str | int
"""A name in an object, or a position in a list."""

UNKNOWN = "–"


@dataclass(frozen=True)
class SourceFile:
    """A file that lies in the dossier as it was read."""

    name: str
    content: bytes
    what: str
    """What it is, in words."""

    @cached_property
    def sha256(self) -> str:
        """Of the content, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Evidence:
    """A decoded file, or a part of one."""

    source: SourceFile
    value: Any
    """Plain values."""
    path: tuple[Key, ...] = ()
    """Where in the file."""

    def within(self, *path: Key) -> "Evidence":
        """The part at a path; its value is None where there is none."""
        return Evidence(self.source, self.get(*path), self.path + path)

    def get(self, *path: Key) -> Any:
        """The plain value at a path; None where there is none."""
        value = self.value
        for key in path:
            if isinstance(value, dict):
                value = value.get(key)
            elif isinstance(value, list) and isinstance(key, int) and key < len(value):
                value = value[key]
            else:
                return None
        return value

    def figure(self, form: Form, *path: Key) -> str:
        """What stands at a path, as markup."""
        value = self.get(*path)
        if value is None:
            return UNKNOWN
        return self._data(value, form(value), f'data-at="{for_html(pointer(self.path + path))}"')

    def interval(self, form: Form, *path: Key) -> str:
        """The two ends that stand at a path, as markup."""
        if self.get(*path) is None:
            return UNKNOWN
        low, high = (self.figure(form, *path, end) for end in (0, 1))
        return f'<span class="line">{low} to {high}</span>'

    def derived(self, value: Any, form: Form, how: str, *paths: tuple[Key, ...]) -> str:
        """A value that follows from those at some paths, as markup."""
        origin = for_html(json.dumps([pointer(self.path + path) for path in paths], ensure_ascii=False))
        return self._data(value, form(value), f'data-how="{for_html(how)}" data-from="{origin}"')

    def _data(self, value: Any, text: str, attributes: str) -> str:
        stated = for_html(json.dumps(value, ensure_ascii=False))
        return f'<data value="{stated}" data-file="{self.source.name}" {attributes}>{for_html(text)}</data>'


def pointer(path: tuple[Key, ...]) -> str:
    """A JSON Pointer."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in path)
