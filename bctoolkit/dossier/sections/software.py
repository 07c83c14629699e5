"""The software that made the bundle, by its bill of materials."""

from bctoolkit.dossier.evidence import Evidence
from bctoolkit.dossier.forms import text
from bctoolkit.dossier.section import Missing, Section
from bctoolkit.dossier.sources import Sources
from bctoolkit.rendering import html

__all__ = ["section"]

MOST = 1000
"""Rows of a table: the bill may be anybody's, and all of it lies beside the page."""


def section(sources: Sources) -> Section:
    """Packages with versions and the names that tools for vulnerabilities know, then what the bundle is made of."""
    bom = sources.bom
    if bom is None:
        missing = Missing("not there: a bill of materials", "bctk export RUN")
        return Section("Software", (), missing=(missing,))
    tools = bom.within("metadata", "tools", "components")
    packages = [tools.within(at) for at in range(_length(tools))]
    rows = [[one.figure(text, "name"), one.figure(text, "version"), one.figure(text, "purl")] for one in packages]
    parts = bom.within("components")
    made_of = [parts.within(at) for at in range(_length(parts))]
    other = [[one.figure(text, "name"), one.figure(text, "description"), _hash(one)] for one in made_of]
    markup = html.table(("package", "version", "package URL"), rows, frozenset({"version", "package URL"}))
    markup += html.table(("made of", "what it is", "SHA-256"), other, frozenset({"what it is", "SHA-256"}))
    serial = f"<p>CycloneDX {bom.figure(text, 'specVersion')}, {bom.figure(text, 'serialNumber')}</p>"
    return Section("Software", (bom.source,), markup + serial)


def _length(one: Evidence) -> int:
    return min(len(one.value), MOST) if isinstance(one.value, list) else 0


def _hash(one: Evidence) -> str:
    return f'<span class="hash">{one.figure(text, "hashes", 0, "content")}</span>'
