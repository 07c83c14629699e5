"""Hashes of all files, and who signed the bundle."""

from bctoolkit.bundle import MANIFEST
from bctoolkit.dossier.forms import text
from bctoolkit.dossier.section import Missing, Section
from bctoolkit.dossier.sources import Sources
from bctoolkit.escaping.text import for_html
from bctoolkit.rendering import html

__all__ = ["section", "signature_line"]

ENTRIES = ("model", "golden", "reference", "calibration", "validation", "bom")
"""Of the manifest, that name a file of the bundle."""


def section(sources: Sources) -> Section:
    """The bundle's files, then the signature."""
    manifest = sources.manifest
    rows = [
        [manifest.figure(text, key, "file"), f'<span class="hash">{manifest.figure(text, key, "sha256")}</span>']
        for key in ENTRIES
        if manifest.get(key) is not None
    ]
    rows.append([MANIFEST, f'<span class="hash"><code>{manifest.source.sha256}</code></span>'])
    markup = (
        "<p>All of these were held against their hashes when this dossier was written. "
        "<code>sha256sum -c BUNDLE.sha256</code> in the bundle's folder does so again, and for this folder "
        "<code>sha256sum -c SHA256SUMS</code>.</p>"
        + html.table(("file of the bundle", "SHA-256"), rows, frozenset({"SHA-256"}))
        + f"<p>{for_html(signature_line(sources))}.</p>"
    )
    missing = []
    if sources.signature is None:
        missing.append(Missing("not signed", "bctk sign BUNDLE --key KEY"))
    elif not sources.bundle.signed_by:
        missing.append(Missing("not checked: whose signature it is", "bctk dossier BUNDLE --trusted KEY"))
    files = (manifest.source, *(() if sources.signature is None else (sources.signature,)))
    return Section("Files and signature", files, markup, tuple(missing))


def signature_line(sources: Sources) -> str:
    """Who vouches for the bundle, in plain text."""
    if sources.bundle.signed_by:
        return f"Signed by the trusted key {sources.bundle.signed_by}: every file is as it was signed"
    return "Signed, but by whom is not checked" if sources.signature is not None else "Not signed"
