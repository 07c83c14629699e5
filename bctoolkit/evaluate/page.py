"""The evaluation as one self-contained page: figures first, then what stands behind them."""

import base64
import io
from html import escape
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data import Dataset
from bctoolkit.evaluate.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from bctoolkit.evaluate.report import Corrupted, Evaluation
from bctoolkit.lazy import require

__all__ = ["render"]

SAMPLES = 4
"""Images that are shown under each corruption."""


def render(found: Evaluation, dataset: Dataset) -> str:
    """The page in HTML.

    Args:
        found: the figures.
        dataset: the images they were measured on; a few of them are shown.
    """
    name = escape(found.subject)
    style = (files("bctoolkit.evaluate") / "page.css").read_text(encoding="utf-8")
    sections = [_summary(found), _classes(found), _confusion(found), _reliability(found)]
    if found.corruptions is not None:
        sections += [_corruptions(found, found.corruptions), _samples(dataset)]
    body = "\n".join(sections)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name}: evaluation</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n<main>\n<h1>{name}</h1>\n"
        f"{body}\n<footer>{_origin(found)}</footer>\n</main>\n</body>\n</html>\n"
    )


def _summary(found: Evaluation) -> str:
    low, high = found.accuracy_ci95
    tiles = [
        ("accuracy", f"{found.accuracy:.2%}", f"95 % interval {low:.2%}–{high:.2%}"),
        ("macro-F1", f"{found.macro_f1:.4f}", f"{len(found.labels)} classes"),
        ("calibration error", f"{found.ece:.4f}", "expected, 15 bins"),
    ]
    if found.corruption_mean is not None and found.corruption_worst is not None:
        worst = found.corruption_worst
        tiles += [
            ("under corruptions", f"{found.corruption_mean:.2%}", f"mean of {len(CORRUPTIONS)} × {len(SEVERITIES)}"),
            ("without kin in training", f"{found.corruption_mean_without_kin:.2%}", "mean of those only"),
            ("worst at middle severity", f"{worst.accuracy:.2%}", escape(_words(worst.name))),
        ]
    cards = "".join(f"<div><dt>{what}</dt><dd>{value}</dd><small>{note}</small></div>" for what, value, note in tiles)
    return (
        f"<p>A {found.kind} on {found.count:,} {found.images} images of {escape(found.source)}: "
        f'{escape(found.selection)}.</p>\n<dl class="tiles">{cards}</dl>'
    )


def _classes(found: Evaluation) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{found.counts[name]}</td>"
        + "".join(f"<td>{_share(values[name])}</td>" for values in (found.precision, found.recall, found.f1))
        + "</tr>"
        for name in found.labels
    )
    head = "".join(f"<th scope=col>{text}</th>" for text in ("class", "images", "precision", "recall", "F1"))
    return (
        f'<h2>Classes</h2>\n<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _confusion(found: Evaluation) -> str:
    head = "".join(f"<th scope=col><span>{escape(name)}</span></th>" for name in found.labels)
    rows = []
    for name, counts in zip(found.labels, found.confusion, strict=True):
        cells = []
        for other, count in zip(found.labels, counts, strict=True):
            share = count / max(sum(counts), 1)
            strong = " class=strong" if share > 0.5 else ""
            words = f"{count} of {sum(counts)} {name} taken for {other}"
            cells.append(f'<td{strong} style="--share:{share:.1%}" title="{escape(words)}">{count or ""}</td>')
        rows.append(f"<tr><th scope=row>{escape(name)}</th>{''.join(cells)}</tr>")
    return (
        "<h2>Confusion matrix</h2>\n<p>Rows are the true class, columns what the network said; colour is the share of "
        f'the row.</p>\n<div class="wide"><table class="confusion"><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _reliability(found: Evaluation) -> str:
    """Bars of accuracy by confidence on a square of 300 units, and below them where the images lie."""
    most = max(part.count for part in found.reliability)
    bars = []
    for part in found.reliability:
        if part.accuracy is None:
            continue
        left, width = 300 * part.low + 1, 300 * (part.high - part.low) - 2
        tall, share = 300 * part.accuracy, 50 * part.count / most
        words = f"confidence {part.low:.2f}–{part.high:.2f}: {part.count} images, {part.accuracy:.1%} right"
        bars.append(
            f"<g><title>{words}</title>"
            f'<rect class="bar" x="{left:.1f}" y="{300 - tall:.1f}" width="{width:.1f}" height="{tall:.1f}"/>'
            f'<rect class="count" x="{left:.1f}" y="{390 - share:.1f}" width="{width:.1f}" height="{share:.1f}"/></g>'
        )
    ticks = "".join(
        f'<text x="{300 * tick}" y="316" text-anchor="middle">{tick:g}</text>'
        f'<text x="-6" y="{304 - 300 * tick}" text-anchor="end">{tick:g}</text>'
        for tick in (0, 0.25, 0.5, 0.75, 1)
    )
    return (
        "<h2>Reliability</h2>\n<p>How often the network is right (bars) at each confidence; on the dashed line it "
        f"is as right as it is sure. Below: where the images lie, {most} in the fullest bin.</p>\n"
        '<svg class="reliability" viewBox="-36 -10 352 408" role="img" aria-label="reliability diagram">'
        f'<rect class="frame" width="300" height="300"/>{"".join(bars)}'
        f'<line class="diagonal" x1="0" y1="300" x2="300" y2="0"/>{ticks}'
        '<text x="150" y="332" text-anchor="middle">confidence</text></svg>'
    )


def _corruptions(found: Evaluation, corruptions: dict[str, Corrupted]) -> str:
    by_severity = found.corruption_by_severity or {}
    key = "".join(
        f'<span><i class="dot {severity}"></i>{severity}, mean {by_severity[severity]:.2%}</span>'
        for severity in SEVERITIES
    )
    heads = "".join(f"<b>{severity}</b>" for severity in SEVERITIES)
    rows = [f'<div class="row head"><span></span><div></div>{heads}</div>']
    for name, row in sorted(corruptions.items(), key=lambda item: -item[1].mean):
        dots = "".join(
            f'<i class="dot {severity}" style="left:{getattr(row, severity):.2%}"></i>' for severity in SEVERITIES
        )
        values = "".join(f"<b>{getattr(row, severity):.1%}</b>" for severity in SEVERITIES)
        kin = f"kin in training: {', '.join(row.kin)}" if row.kin else "no kin in training"
        rows.append(
            f'<div class="row"><span>{_words(name)}<small>{kin}</small></span>'
            f'<div class="track" style="--clean:{found.accuracy:.2%}">{dots}</div>{values}</div>'
        )
    return (
        f"<h2>Corruptions</h2>\n<p>Accuracy under suite {found.corruption_suite}, from 0 to 100 %; the line marks "
        "clean images. Where training's augmentation can have kin of a corruption, its figure is optimistic.</p>\n"
        f'<div class="key">{key}</div>\n<div class="chart">{"".join(rows)}</div>'
    )


def _samples(dataset: Dataset) -> str:
    """A few images, one of a class, clean and under every corruption and severity."""
    first = np.unique(dataset.labels, return_index=True)[1]
    shown = dataset.take(np.sort(first[np.linspace(0, len(first) - 1, min(SAMPLES, len(first))).astype(int)]))
    images, hashes = shown.images[:], shown.hashes
    strips = [f"<figure><figcaption>clean</figcaption>{_strip(images, 'clean images')}</figure>"]
    for name in CORRUPTIONS:
        cells = "".join(
            _strip(corrupt(images, hashes, name, severity), f"{_words(name)}, {severity}") for severity in SEVERITIES
        )
        strips.append(f"<figure><figcaption>{_words(name)}</figcaption>{cells}</figure>")
    return (
        "<h2>What was done to the images</h2>\n<p>The same images under each corruption: mild, middle, severe.</p>\n"
        f'<div class="samples">{"".join(strips)}</div>'
    )


def _strip(images: NDArray[np.uint8], words: str) -> str:
    """Images side by side as one `<img>` that carries its pixels."""
    buffer = io.BytesIO()
    joined = np.concatenate(list(images), axis=1)
    require("PIL.Image", "images").fromarray(joined).save(buffer, "JPEG", quality=92, subsampling="4:4:4")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img loading="lazy" alt="{words}" title="{words}" src="data:image/jpeg;base64,{data}">'


def _origin(found: Evaluation) -> str:
    tools = ", ".join(f"{name} {version}" for name, version in found.tools.items())
    return f"{found.created} · model SHA-256 {found.model_sha256[:16]}… · {escape(tools)} · not a medical device"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _words(name: str) -> str:
    return name.replace("_", " ")
