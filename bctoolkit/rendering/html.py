"""What the pages of several commands share: one self-contained file that needs no network and reads at any width."""

import base64
import io
from collections.abc import Iterable, Sequence
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import COLOURS, pillow_image
from bctoolkit.escaping.text import for_html
from bctoolkit.statistics.metrics import ReliabilityBin
from bctoolkit.statistics.selective import RiskCoverage

__all__ = ["confusion", "document", "facts", "picture", "reliability", "risk_coverage", "section", "table", "tiles"]


FEW_COLUMNS = 6
"""So many fit a phone's screen."""
STRONGEST = 55
"""Per cent of colour in a cell of a confusion matrix: on it the ink is still read."""


def document(title: str, what: str, sections: Iterable[str], footer: str, style: str = "") -> str:
    """A whole page.

    Args:
        title: its heading, plain text.
        what: what it tells of that, for the window's title.
        sections: markup.
        footer: markup.
        style: CSS of this page alone, behind that of all pages.
    """
    style = (files("bctoolkit.rendering") / "html.css").read_text(encoding="utf-8") + style
    body = "\n".join(sections)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{for_html(title)}: {for_html(what)}</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n<main>\n<h1>{for_html(title)}</h1>\n"
        f"{body}\n<footer>{footer}</footer>\n</main>\n</body>\n</html>\n"
    )


def section(heading: str, description: str, markup: str) -> str:
    """A part of a page.

    Args:
        heading: plain text.
        description: markup: how to read it; none where the heading says enough.
        markup: what it holds.
    """
    paragraph = f"<p>{description}</p>\n" if description else ""
    return f"<section>\n<h2>{for_html(heading)}</h2>\n{paragraph}{markup}\n</section>"


def tiles(items: Iterable[tuple[str, str, str]]) -> str:
    """The figures that come first: what, value, note, each markup."""
    cards = "".join(f"<div><dt>{what}</dt><dd>{value}</dd><small>{note}</small></div>" for what, value, note in items)
    return f'<dl class="tiles">{cards}</dl>'


def facts(items: Iterable[tuple[str, str]]) -> str:
    """Terms and their values or explanations, one below the other; markup."""
    return f'<dl class="facts">{"".join(f"<dt>{what}</dt><dd>{value}</dd>" for what, value in items)}</dl>'


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], text: frozenset[str] = frozenset()) -> str:
    """A table: headings in plain text, cells of markup, the first of each row its heading.

    Where the screen is narrow a table of few columns scrolls; of one of many each row becomes a card.

    Args:
        headings: of the columns.
        rows: as many cells each.
        text: headings of columns that stand on the left, as figures do not.
    """
    names = [for_html(heading) for heading in headings]
    head = "".join(
        f"<th scope=col{' class=text' if heading in text else ''}>{name}</th>"
        for heading, name in zip(headings, names, strict=True)
    )
    body = []
    for first, *rest in rows:
        cells = "".join(
            f'<td{" class=text" if heading in text else ""} data-of="{name}">{cell}</td>'
            for heading, name, cell in zip(headings[1:], names[1:], rest, strict=True)
        )
        body.append(f"<tr><th scope=row>{first}</th>{cells}</tr>")
    kind = " class=many" if len(headings) > FEW_COLUMNS else ""
    return f'<div class="wide"><table{kind}><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Counts, rows the true class and columns the predicted one, coloured by the share of the row."""
    head = "".join(f"<th scope=col><span>{for_html(name)}</span></th>" for name in labels)
    rows = []
    for name, row in zip(labels, counts, strict=True):
        cells = []
        for other, count in zip(labels, row, strict=True):
            share = count / max(sum(row), 1)
            text = f"{count} of {sum(row)} {name} taken for {other}"
            cells.append(f'<td style="--share:{STRONGEST * share:.1f}%" title="{for_html(text)}">{count or ""}</td>')
        rows.append(f"<tr><th scope=row>{for_html(name)}</th>{''.join(cells)}</tr>")
    return (
        f'<div class="wide"><table class="confusion"><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def reliability(bins: Sequence[ReliabilityBin]) -> str:
    """Bars of accuracy by confidence on a square of 300 units, and below them where the images lie."""
    most = max(part.count for part in bins)
    bars = []
    for part in bins:
        if part.accuracy is None:
            continue
        left, width = 300 * part.low + 1, 300 * (part.high - part.low) - 2
        tall, share = 300 * part.accuracy, 50 * part.count / most
        text = f"confidence {part.low:.2f}–{part.high:.2f}: {part.count} images, {part.accuracy:.1%} right"
        bars.append(
            f"<g><title>{text}</title>"
            f'<rect class="bar" x="{left:.1f}" y="{300 - tall:.1f}" width="{width:.1f}" height="{tall:.1f}"/>'
            f'<rect class="count" x="{left:.1f}" y="{390 - share:.1f}" width="{width:.1f}" height="{share:.1f}"/></g>'
        )
    ticks = "".join(
        f'<text x="{300 * tick}" y="316" text-anchor="middle">{tick:g}</text>'
        f'<text x="-6" y="{304 - 300 * tick}" text-anchor="end">{tick:g}</text>'
        for tick in (0, 0.25, 0.5, 0.75, 1)
    )
    return (
        '<svg class="reliability" viewBox="-36 -10 352 408" role="img" aria-label="reliability diagram">'
        f'<rect class="frame" width="300" height="300"/>{"".join(bars)}'
        f'<line class="diagonal" x1="0" y1="300" x2="300" y2="0"/>{ticks}'
        '<text x="150" y="332" text-anchor="middle">confidence</text></svg>'
    )


def risk_coverage(curve: RiskCoverage, mark: tuple[float, float] | None) -> str:
    """The share of errors by the share of answers accepted, on 300 × 200 units, and a point of the two."""
    highest = max([*curve.risk, mark[1] if mark else 0.0, 0.01])

    def at(coverage: float, risk: float) -> str:
        return f"{300 * coverage:.1f},{200 - 190 * risk / highest:.1f}"

    line = " ".join(at(*point) for point in zip(curve.coverage, curve.risk, strict=True))
    dot = ""
    if mark is not None:
        x, y = at(*mark).split(",")
        text = f"{mark[0]:.1%} accepted, {mark[1]:.2%} wrong"
        dot = f'<circle class="mark" cx="{x}" cy="{y}" r="4"><title>{text}</title></circle>'
    ticks = "".join(
        f'<text x="{300 * tick}" y="216" text-anchor="middle">{tick:g}</text>'
        f'<text x="-6" y="{204 - 190 * tick}" text-anchor="end">{highest * tick:.1%}</text>'
        for tick in (0, 0.5, 1)
    )
    return (
        '<svg class="reliability" viewBox="-46 -10 362 250" role="img" aria-label="risk–coverage curve">'
        f'<rect class="frame" width="300" height="200"/><polyline class="curve" points="{line}"/>{dot}{ticks}'
        '<text x="150" y="234" text-anchor="middle">share accepted; upwards: share of these that is wrong</text></svg>'
    )


def picture(images: NDArray[np.uint8], caption: str) -> str:
    """Images N × height × width × channels side by side as one `<img>` that carries its pixels.

    Args:
        images: RGB or grey; of other channels the mean is shown.
        caption: plain text.
    """
    buffer = io.BytesIO()
    joined = np.concatenate(list(images), axis=1)
    if joined.shape[2] not in COLOURS:
        joined = joined.mean(2, keepdims=True).astype(np.uint8)
    pillow_image(joined).save(buffer, "JPEG", quality=92, subsampling="4:4:4")
    data = base64.b64encode(buffer.getvalue()).decode()
    text = for_html(caption)
    return f'<img alt="{text}" title="{text}" src="data:image/jpeg;base64,{data}">'
