"""A page with everything that was flagged in a set and why: one file that needs no other."""

import base64
import html
import io
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.data.quality.findings import REASONS, Finding
from bctoolkit.data.quality.inspect import ClassFigures, Inspection
from bctoolkit.data.sources.collection import Collection, decode, open_collection
from bctoolkit.files import atomic_file

__all__ = ["FINDINGS_PER_REASON", "write_sheet"]

FINDINGS_PER_REASON = 60
IMAGES_PER_FINDING = 4
SIDE = 96
"""Pixels of a thumbnail's longer side: with the two limits above, a page stays below about 8 MB."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5d6672; --ground: #fff; --card: #f4f6f8; --line: #d8dee4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --soft: #9aa4b1; --ground: #14171b; --card: #1e2329; --line: #343b44; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.2rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 2rem 0 .2rem; }
p { margin: .2rem 0 .8rem; } .soft { color: var(--soft); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .6rem; }
figure { margin: 0; padding: .5rem; background: var(--card); border-radius: .5rem; min-width: 0; }
.thumbs { display: flex; flex-wrap: wrap; gap: .25rem; } .thumbs img { border-radius: .25rem; }
.thumbs.one img { width: 96px; height: auto; } .thumbs.many img { width: 46px; height: auto; }
figcaption { font-size: .78rem; overflow-wrap: anywhere; margin-top: .3rem; }
.swatch { display: inline-block; width: 1em; height: 1em; border-radius: .2em; vertical-align: -.15em;
  border: 1px solid var(--line); }
"""


def write_sheet(seen: Inspection, file: Path) -> None:
    """Write the contact sheet; at most 60 findings of each reason are shown, the rest is counted.

    Args:
        seen: what was found; its source is read again for the thumbnails.
        file: the `.html` to write; an earlier one is replaced.
    """
    shown = {reason: list(_of(seen, reason, FINDINGS_PER_REASON)) for reason in REASONS}
    names = {
        name for findings in shown.values() for finding in findings for name in finding.images[:IMAGES_PER_FINDING]
    }
    thumbnails = _thumbnails(open_collection(seen.source), names)
    body = [_head(seen), _classes(seen), *(_section(seen, reason, shown[reason], thumbnails) for reason in REASONS)]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(seen.source)}: inspection</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_file(file, page.encode())


def _of(seen: Inspection, reason: str, most: int) -> Iterator[Finding]:
    return islice((finding for finding in seen.findings if finding.reason == reason), most)


def _text(value: object) -> str:
    return html.escape(str(value))


def _head(seen: Inspection) -> str:
    sizes = ", ".join(f"{size.width}×{size.height} ({size.count:,})" for size in seen.sizes[:5])
    more = f" and {len(seen.sizes) - 5} more" if len(seen.sizes) > 5 else ""
    flagged = " · ".join(f"{_text(reason)} {count:,}" for reason, count in seen.flagged.items()) or "nothing"
    notes = "".join(f"<li>{_text(note)}</li>" for note in seen.notes)
    return (
        f"<h1>{_text(seen.source)}</h1>"
        f"<p>{seen.count:,} images, {seen.pictures:,} different pictures · sizes {sizes}{more}<br>"
        f"<b>Flagged:</b> {flagged}<br><span class=soft>Inspected {_text(seen.created)}</span></p>"
        + (f"<ul>{notes}</ul>" if notes else "")
    )


def _classes(seen: Inspection) -> str:
    heads = ("class", "images", "unreadable", "mean colour", "saturation", "brightness", "sharpness")
    rows = "".join(_row(name, figures) for name, figures in seen.classes.items())
    return f"<div class=wide><table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{rows}</table></div>"


def _row(name: str, figures: ClassFigures) -> str:
    cells = [_text(name), f"{figures.count:,}", f"{figures.unreadable:,}"]
    if figures.mean_rgb is None:
        cells += ["–"] * 4
    else:
        red, green, blue = (round(value) for value in figures.mean_rgb)
        colour = f'<span class=swatch style="background:rgb({red},{green},{blue})"></span> {red} {green} {blue}'
        cells += [colour, f"{figures.saturation:.2f}", f"{figures.brightness:.0f}", f"{figures.sharpness:.0f}"]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _section(seen: Inspection, reason: str, shown: list[Finding], thumbnails: dict[str, str]) -> str:
    if not shown:
        return ""
    count = sum(finding.reason == reason for finding in seen.findings)
    rest = f"<p class=soft>… and {count - len(shown):,} more findings</p>" if count > len(shown) else ""
    fate = "left out by bctk data clean" if REASONS[reason].goes else "kept by bctk data clean"
    if REASONS[reason].goes and REASONS[reason].spares_first:
        fate += ", except the first"
    cards = "".join(_card(finding, thumbnails) for finding in shown)
    return (
        f"<h2>{_text(reason)} · {seen.flagged[reason]:,} images</h2>"
        f"<p class=soft>{_text(REASONS[reason].what)} — {fate}</p><div class=cards>{cards}</div>{rest}"
    )


def _card(finding: Finding, thumbnails: dict[str, str]) -> str:
    names = finding.images[:IMAGES_PER_FINDING]
    images = "".join(
        f'<img src="{thumbnails[name]}" alt="{_text(name)}" title="{_text(name)}" loading="lazy">'
        for name in names
        if name in thumbnails
    )
    more = f" and {len(finding.images) - 1:,} more" if len(finding.images) > 1 else ""
    kind = "one" if len(names) == 1 else "many"
    return (
        f'<figure><div class="thumbs {kind}">{images}</div><figcaption>{_text(finding.images[0])}{more}<br>'
        f"<b>{_text(finding.why)}</b><br><span class=soft>{_text(', '.join(finding.labels))}</span>"
        "</figcaption></figure>"
    )


def _thumbnails(collection: Collection, wanted: set[str]) -> dict[str, str]:
    """Name → data URI, for those that can be decoded."""
    made: dict[str, str] = {}
    items: Iterable[Path | NDArray[np.uint8]] = (item for piece in collection.pieces() for item in piece)
    for name, item in zip(collection.names, items, strict=True):
        pixels = decode(item).pixels if name in wanted else None
        if pixels is not None:
            made[name] = _data_uri(pixels)
    return made


def _data_uri(pixels: NDArray[np.uint8]) -> str:
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
