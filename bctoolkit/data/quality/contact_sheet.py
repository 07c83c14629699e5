"""A page with everything that was flagged in a set and why: one file that needs no other."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.data.quality.findings import REASONS
from bctoolkit.data.quality.inspect import ClassFigures, Inspection, NamedFinding
from bctoolkit.data.sources.collection import decode, open_collection
from bctoolkit.escaping.text import for_html
from bctoolkit.files import atomic_file, without_empty_folders
from bctoolkit.rendering import html

__all__ = ["FINDINGS_PER_REASON", "write_contact_sheet"]

FINDINGS_PER_REASON = 60
IMAGES_PER_FINDING = 4
SIDE = 96
"""Pixels of a thumbnail's longer side: with the two limits above, a page stays below about 10 MB."""


def write_contact_sheet(inspection: Inspection, file: Path) -> None:
    """Write the contact sheet; at most 60 findings of each reason are shown, the rest is counted.

    Args:
        inspection: its source is read again for the thumbnails.
        file: the `.html` to write; an earlier one is replaced.
    """
    by_reason = {
        reason: [finding for finding in inspection.findings if finding.reason == reason]
        for reason in REASONS
        if reason in inspection.flagged
    }
    pictures = _thumbnails(
        inspection,
        {
            name
            for findings in by_reason.values()
            for finding in findings[:FINDINGS_PER_REASON]
            for name in finding.images[:IMAGES_PER_FINDING]
        },
    )
    sections = [_summary(inspection), _classes(inspection)]
    sections += [
        _findings(reason, inspection.flagged[reason], findings, pictures) for reason, findings in by_reason.items()
    ]
    page = html.document(inspection.source, "inspection", sections, f"Inspected {for_html(inspection.created)}")
    with without_empty_folders(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_file(file, page.encode())


def _summary(inspection: Inspection) -> str:
    sizes = ", ".join(f"{size.width}×{size.height} ({size.count:,})" for size in inspection.sizes[:5])
    more = f" and {len(inspection.sizes) - 5} more" if len(inspection.sizes) > 5 else ""
    flagged = ", ".join(f"{for_html(reason)} {count:,}" for reason, count in inspection.flagged.items())
    return html.facts(
        [
            ("images", f"{inspection.count:,}"),
            ("different pictures", f"{inspection.pictures:,}"),
            ("sizes", sizes + more),
            ("flagged", flagged or "nothing"),
            *(("note", for_html(note)) for note in inspection.notes),
        ]
    )


def _classes(inspection: Inspection) -> str:
    headings = ("class", "images", "unreadable", "mean colour", "saturation", "brightness", "sharpness")
    rows = [_class_row(name, figures) for name, figures in inspection.classes.items()]
    return html.section("Classes", "", html.table(headings, rows))


def _class_row(name: str, figures: ClassFigures) -> list[str]:
    cells = [for_html(name), f"{figures.count:,}", f"{figures.unreadable:,}"]
    if figures.mean_rgb is None:
        return cells + ["–"] * 4
    red, green, blue = (round(value) for value in figures.mean_rgb)
    colour = f'<i class="swatch" style="background:rgb({red},{green},{blue})"></i> {red} {green} {blue}'
    return [*cells, colour, f"{figures.saturation:.2f}", f"{figures.brightness:.0f}", f"{figures.sharpness:.0f}"]


def _findings(reason: str, images: int, findings: list[NamedFinding], pictures: dict[str, str]) -> str:
    what = f"{for_html(REASONS[reason].what)}; {'left out' if REASONS[reason].dropped else 'kept'} by bctk data clean"
    if REASONS[reason].dropped and REASONS[reason].spares_first:
        what += ", except the first"
    cards = "".join(_card(finding, pictures) for finding in findings[:FINDINGS_PER_REASON])
    rest = len(findings) - FINDINGS_PER_REASON
    more = f"\n<p>… and {rest:,} more findings</p>" if rest > 0 else ""
    return html.section(f"{reason} · {images:,} images", what, f'<div class="cards">{cards}</div>{more}')


def _card(finding: NamedFinding, pictures: dict[str, str]) -> str:
    thumbnails = "".join(pictures.get(name, "") for name in finding.images[:IMAGES_PER_FINDING])
    more = f" and {len(finding.images) - 1:,} more" if len(finding.images) > 1 else ""
    return (
        f'<figure><div class="thumbnails">{thumbnails}</div><figcaption>{for_html(finding.images[0])}{more}<br>'
        f"<b>{for_html(finding.why)}</b><br>{for_html(', '.join(finding.labels))}</figcaption></figure>"
    )


def _thumbnails(inspection: Inspection, names: set[str]) -> dict[str, str]:
    """Name → `<img>`, for those that can be decoded."""
    collection = open_collection(inspection.source, inspection.white)
    items = (item for piece in collection.pieces() for item in piece)
    pictures: dict[str, str] = {}
    for name, item in zip(collection.names, items, strict=True):
        pixels = decode(item, inspection.white).pixels if name in names else None
        if pixels is not None:
            pictures[name] = html.picture(_shrunk(pixels)[None], name)
    return pictures


def _shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE))
    return np.asarray(picture)
