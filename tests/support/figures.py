"""Reads a dossier's page as its reader may: every figure with the file and the place it says it stands in."""

import hashlib
import json
import re
import tomllib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bctoolkit.escaping.text import visible
from bctoolkit.statistics.metrics import exact_interval

__all__ = ["Figure", "Page", "at", "require_figure", "unlinked_numbers"]

VOID = {"meta", "img", "rect", "line", "circle", "path", "br"}
ASIDE = {"style", "svg", "code", "footer", "title", "a"}
"""What holds numbers that are no figures: hashes, names of files, ticks of plots."""
SCALES = (1, 100, 1e-6, 1e-9)
"""As they are, in per cent or points, in MB, in GB."""


class Figure(NamedTuple):
    """A `data` element."""

    attributes: dict[str, str]
    text: str


class Page(HTMLParser):
    """The figures, the text outside them, links, tags, and whether every tag is closed."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.figures: list[Figure] = []
        self.open: list[tuple[str, dict[str, str]]] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self.outside, self._inside = "", "", ""
        self.feed((folder / "dossier.html").read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attributes}
        self.tags.append((tag, named))
        self.links += [named[name] for name in ("href", "src") if name in named]
        if tag not in VOID:
            self.open.append((tag, named))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        opened, attributes = self.open.pop()
        assert opened == tag
        if tag == "data":
            self.figures.append(Figure(attributes, self._inside))
            self._inside = ""

    def handle_data(self, data: str) -> None:
        inside = {tag for tag, _ in self.open}
        if "style" not in inside:
            self.text += data
        if "data" in inside:
            self._inside += data
        elif not inside & ASIDE:
            self.outside += data + " "


def require_figure(folder: Path, figure: Figure) -> None:
    """The figure stands where it says, and is shown as what stands there."""
    attributes = figure.attributes
    content = (folder / attributes["data-file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() in (folder / "SHA256SUMS").read_text()
    document = tomllib.loads(content.decode()) if attributes["data-file"].endswith(".toml") else json.loads(content)
    value = json.loads(attributes["value"])
    if "data-at" in attributes:
        assert at(document, attributes["data-at"]) == value, figure
    else:
        origin = [at(document, path) for path in json.loads(attributes["data-from"])]
        assert np.allclose(DERIVED[attributes["data-how"]](*origin), value), figure
    values = value if "data-how" in attributes and isinstance(value, list) else [value]
    shown = re.split(r" to ", figure.text) if len(values) > 1 else [figure.text]
    for text, each in zip(shown, values, strict=True):
        assert _shows(text, each), figure


DERIVED: dict[str, Callable[..., Any]] = {
    "exact binomial interval of 95 %": lambda share, count: exact_interval(round(share * count), count),
    "number of entries": len,
    "sum": lambda numbers: sum(numbers.values()),
}


def at(document: Any, pointer: str) -> Any:
    """RFC 6901."""
    for key in pointer.split("/")[1:]:
        name = key.replace("~1", "/").replace("~0", "~")
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document


def _shows(text: str, value: Any) -> bool:
    if isinstance(value, str | bool | list):
        stated = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        return text == visible(stated)
    digits = text.replace(",", "").rstrip("% MGB")
    if digits == str(value):
        return True
    mantissa, _, exponent = digits.partition("e")
    step = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return any(abs(float(digits) - value * scale) <= 0.5001 * step for scale in SCALES)


def unlinked_numbers(page: Page) -> list[str]:
    """Numbers on the page that say from no file that they are from."""
    text = re.sub(r"from [\d.]+%? to [\d.]+%?", "", page.outside)  # a plot's scale
    text = re.sub(r"\b95 %", "", text)
    words = re.findall(r"[^\s,;:()]+", text)
    return [word for word in words if re.search(r"\d", word) and not re.search(r"[A-Za-z]", word)]
