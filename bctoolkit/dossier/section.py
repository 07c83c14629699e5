"""A part of the dossier's page: what it says, which files it is read from, and what is missing in it."""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from bctoolkit.dossier.evidence import UNKNOWN, Evidence, Key, SourceFile
from bctoolkit.dossier.forms import percent, text
from bctoolkit.escaping.text import for_html
from bctoolkit.rendering import html as pages
from bctoolkit.statistics.metrics import exact_interval

__all__ = ["Missing", "Section", "caption", "fact_rows", "figures", "plain", "share_interval", "what_ran"]


class Missing(NamedTuple):
    """What is not known, and what would tell it."""

    what: str
    """Plain text: begins with `not`."""
    remedy: str
    """A command, or what else is to be done."""


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    heading: str
    """Plain text."""
    files: tuple[SourceFile, ...]
    """That its figures stand in."""
    markup: str = ""
    missing: tuple[Missing, ...] = ()

    def to_html(self) -> str:
        """The markup of the whole section."""
        absent = "".join(
            f'<p class="missing">{for_html(each.what)}: <code>{for_html(each.remedy)}</code></p>\n'
            for each in self.missing
        )
        sources = "; ".join(
            f'<a href="{file.name}">{file.name}</a> <code>{file.sha256}</code>' for file in dict.fromkeys(self.files)
        )
        read_from = f'<p class="origin">Read from (SHA-256): {sources}</p>' if sources else ""
        return pages.section(self.heading, "", f"{self.markup}\n{absent}{read_from}")


def plain(markup: str) -> str:
    """The text of markup."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def fact_rows(rows: Iterable[tuple[str, str]]) -> str:
    """Terms in plain text and markup, without those of which nothing is known."""
    return pages.facts([(for_html(term), markup) for term, markup in rows if markup not in ("", UNKNOWN)])


def figures(tables: Iterable[tuple[str, str]]) -> str:
    """Captions, each markup, with what stands below them."""
    return "\n".join(f"<figure><figcaption>{caption}</figcaption>{markup}</figure>" for caption, markup in tables)


def caption(evidence: Evidence) -> str:
    """The name of the file that figures stand in."""
    return f'<a href="{evidence.source.name}">{evidence.source.name}</a>'


def what_ran(result: Evidence) -> str:
    """The engine, where a report tells it, and the provider of a result or a failure; empty where it tells neither."""
    parts = [("in", "engine"), ("on", "provider")]
    return " ".join(f"{word} {result.figure(text, key)}" for word, key in parts if result.get(key))


def share_interval(
    evidence: Evidence, share: tuple[Key, ...], count: tuple[Key, ...]
) -> tuple[str, tuple[float, float] | None]:
    """The exact binomial interval of a share of so many images: markup, and its ends; None where it is not known."""
    value, images = evidence.get(*share), evidence.get(*count)
    if value is None or not images:
        return UNKNOWN, None
    ends = exact_interval(round(value * images), images)
    how = "exact binomial interval of 95 %"
    return f'<span class="line">{evidence.derived(list(ends), _range, how, share, count)}</span>', ends


def _range(ends: tuple[float, float]) -> str:
    return f"{percent(ends[0])} to {percent(ends[1])}"
