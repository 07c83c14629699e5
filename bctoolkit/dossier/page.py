"""The page: a summary, the known limits, each section with the files it is read from, and room for a signature."""

from collections.abc import Sequence
from importlib.resources import files

from bctoolkit.dossier.evidence import UNKNOWN
from bctoolkit.dossier.forms import megabytes, milliseconds, percent, text
from bctoolkit.dossier.section import Section, caption, share_interval
from bctoolkit.dossier.sections import (
    acceptance,
    data,
    devices,
    labelled,
    model,
    parity,
    robustness,
    software,
    training,
    verdicts,
)
from bctoolkit.dossier.sections import files as files_section
from bctoolkit.dossier.sources import Sources
from bctoolkit.escaping.text import for_html
from bctoolkit.rendering import html

__all__ = ["render", "sections"]

NOT = (
    "It is no declaration of conformity, and no assessment of risk.",
    "What it describes is no medical device, and must not be used for diagnosis.",
    "It says what was measured, on which images and which machines. It does not say that this is enough.",
)
"""What a dossier is not."""


def sections(sources: Sources) -> list[Section]:
    """All parts but the summary, the limits and the signature, in the order of the page."""
    return [
        model.section(sources),
        data.section(sources),
        training.section(sources),
        parity.section(sources),
        labelled.section(sources),
        verdicts.section(sources),
        robustness.section(sources),
        acceptance.section(sources),
        devices.section(sources),
        software.section(sources),
        files_section.section(sources),
    ]


def render(sources: Sources, parts: Sequence[Section], limits: Sequence[str], created: str) -> str:
    """The page in HTML.

    Args:
        sources: what it is read from.
        parts: its sections.
        limits: markup, a line each.
        created: ISO 8601 time.
    """
    name, digest = sources.bundle.manifest.name, sources.bundle.manifest.model.sha256
    style = (files("bctoolkit.dossier") / "dossier.css").read_text(encoding="utf-8")
    running = f'@page {{ @bottom-left {{ content: "model SHA-256 {digest[:32]}… · not a medical device"; }} }}\n'
    body = [_summary(sources), _not(), _limits(limits), *(part.to_html() for part in parts), _sign(sources, digest)]
    footer = f"Written {for_html(created)} · not a medical device"
    return html.document(f"Dossier of {name}", "what is known of it", body, footer, style + running)


def _summary(sources: Sources) -> str:
    """The figures that come first."""
    manifest = sources.manifest
    agreement, _ = share_interval(manifest, ("parity", "top1_agreement"), ("parity", "count"))
    tiles = [
        _accuracy(sources),
        (
            "same class as the trained network",
            manifest.figure(percent, "parity", "top1_agreement"),
            f"95 % interval {agreement}, golden images",
        ),
        ("model file", manifest.figure(megabytes, "model", "bytes"), manifest.figure(text, "model", "file")),
    ]
    for evidence, _ in sources.results[:1]:
        latency = evidence.within("latency_ms")
        stable = "" if latency.get("stable") else ", unstable"
        interval = latency.interval(milliseconds, "ci95_p50")
        tiles.append(
            ("median latency", f"{latency.figure(milliseconds, 'p50')} ms", f"95 % interval {interval}{stable}")
        )
    return html.tiles(tiles)


def _accuracy(sources: Sources) -> tuple[str, str, str]:
    """That of the first report that has labelled images, else of the first evaluation, else of the export."""
    found = [evidence.within("parity", "labelled") for evidence, _ in sources.results]
    found += [each.evidence for each in sources.evaluations if each.evaluation.kind == "bundle"]
    found.append(sources.manifest.within("labelled"))
    one = next((each for each in found if each.value is not None), None)
    if one is None:
        return "accuracy", UNKNOWN, "not measured"
    interval = one.interval(percent, "accuracy_ci95")
    return "accuracy", one.figure(percent, "accuracy"), f"95 % interval {interval}, {caption(one)}"


def _not() -> str:
    lines = "".join(f"<li>{for_html(line)}</li>" for line in NOT)
    return f'<section class="not"><h2>What this is not</h2><ul>{lines}</ul></section>'


def _limits(limits: Sequence[str]) -> str:
    lines = "".join(f"<li>{line}</li>" for line in limits)
    what = "By rule, from what is missing or weak in the files. What no file tells of is not among them."
    return html.section("Known limits", what, f'<ul class="limits">{lines}</ul>' if lines else "<p>None by rule.</p>")


def _sign(sources: Sources, digest: str) -> str:
    """Lines to fill by hand."""
    rows = "".join(
        f'<div><dt>{what}</dt><dd class="fill"></dd></div>'
        for what in ("Name", "Function and organization", "Place and date", "Signature")
    )
    return (
        '<section class="sign"><h2>Signature</h2>'
        f"<p>I have read this dossier of <b>{for_html(sources.bundle.manifest.name)}</b>, model SHA-256 "
        f'<code>{digest}</code>, with its known limits. The hashes of all files stand in <a href="dossier.json">'
        "dossier.json</a>; of that file I note the first eight characters of the SHA-256:"
        f'<span class="fill short"></span></p><dl>{rows}</dl></section>'
    )
