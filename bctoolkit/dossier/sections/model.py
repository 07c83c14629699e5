"""What the artifact is: what it takes and gives, and what it was made of."""

from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS
from bctoolkit.dossier.evidence import Evidence
from bctoolkit.dossier.forms import count, megabytes, text
from bctoolkit.dossier.section import Section, fact_rows
from bctoolkit.dossier.sources import Sources
from bctoolkit.escaping.text import for_html

__all__ = ["section"]

LINES = '<span class="fill"></span>'
"""To write on."""


def section(sources: Sources) -> Section:
    """The model card."""
    manifest, stated = sources.manifest, sources.bundle.manifest
    form, digest = QUANTIZATIONS[stated.quantization].summary, manifest.figure(text, "source", "model_sha256")
    labels = manifest.derived(len(stated.labels), count, "number of entries", ("labels",))
    rows = [
        ("task", "image classification: the probability of each class, of one image"),
        ("intended purpose", f"stated in no file: for whoever answers for it to write here{LINES}{LINES}"),
        ("classes", f"{labels}: {_classes(manifest)}"),
        ("input", _input(manifest)),
        ("bundle", manifest.figure(text, "name")),
        ("form", f"{manifest.figure(text, 'format')} ({for_html(FORMATS[stated.format].summary)}), "
                 f"{manifest.figure(text, 'quantization')}: {for_html(form)}"),
        ("layers in float", manifest.figure(text, "keep_float") if stated.keep_float else ""),
        ("model file", f"{manifest.figure(text, 'model', 'file')}, {manifest.figure(megabytes, 'model', 'bytes')}, "
                       f"SHA-256 {manifest.figure(text, 'model', 'sha256')}"),
        ("written into the graph", _adaptation(manifest)),
        ("made of", f"the run {manifest.figure(text, 'source', 'run')}, network SHA-256 {digest or 'not stated'}"),
        ("made elsewhere", _adopted(manifest)),
        ("exported", f"{manifest.figure(text, 'created')} on {manifest.figure(text, 'cpu', 'name')}"
                     if stated.cpu else manifest.figure(text, "created")),
    ]  # fmt: skip
    return Section("Model", (manifest.source,), fact_rows(rows))


def _classes(manifest: Evidence) -> str:
    return ", ".join(manifest.figure(text, "labels", at) for at in range(len(manifest.get("labels"))))


def _input(manifest: Evidence) -> str:
    """What an app hands over."""
    one = manifest.within("input")
    size = "×".join(one.figure(text, name) for name in ("height", "width", "channels"))
    values = "–".join(one.figure(text, "range", end) for end in (0, 1))
    return (
        f"{one.figure(text, 'dtype')} array of N×{size} ({one.figure(text, 'layout')}), values {values}; centre crop "
        f"{one.figure(text, 'crop')}, resized by {one.figure(text, 'resize')}"
    )


def _adaptation(manifest: Evidence) -> str:
    one = manifest.within("adaptation")
    if one.value is None:
        return ""
    numbers = f"factor {one.figure(text, 'factor')}, offset {one.figure(text, 'offset')}"
    return (
        f"scale {one.figure(text, 'scale')} ({numbers}), channels {one.figure(text, 'channels')}, head "
        f"{one.figure(text, 'head')}"
    )


def _adopted(manifest: Evidence) -> str:
    one = manifest.within("adopted")
    if one.value is None:
        return ""
    by = f" by {one.figure(text, 'producer')}" if one.get("producer") else ""
    return f"{one.figure(text, 'file')}{by}, SHA-256 {one.figure(text, 'sha256')}"
