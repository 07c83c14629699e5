"""The evaluation as one self-contained page: figures first, then what stands behind them."""

from html import escape

import numpy as np

from bctoolkit.data import Dataset
from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES, corrupt
from bctoolkit.evaluate.report import Corrupted, Evaluation
from bctoolkit.rendering import html

__all__ = ["render"]

SAMPLES = 4
"""Images that are shown under each corruption."""


def render(found: Evaluation, dataset: Dataset) -> str:
    """The page in HTML.

    Args:
        found: the figures.
        dataset: the images they were measured on; a few of them are shown.
    """
    sections = [_summary(found), _classes(found), _confusion(found), _reliability(found)]
    if found.corruptions is not None:
        sections += [_corruptions(found, found.corruptions), _samples(dataset)]
    return html.document(found.subject, "evaluation", sections, _origin(found))


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
    return (
        f"<p>A {found.kind} on {found.count:,} {found.images} images of {escape(found.source)}: "
        f"{escape(found.selection)}.</p>\n{html.tiles(tiles)}"
    )


def _classes(found: Evaluation) -> str:
    rows = [
        (escape(name), str(found.counts[name]), *(_share(v[name]) for v in (found.precision, found.recall, found.f1)))
        for name in found.labels
    ]
    return html.section("Classes", "", html.table(("class", "images", "precision", "recall", "F1"), rows))


def _confusion(found: Evaluation) -> str:
    what = "Rows are the true class, columns what the network said; colour is the share of the row."
    return html.section("Confusion matrix", what, html.confusion(found.labels, found.confusion))


def _reliability(found: Evaluation) -> str:
    most = max(part.count for part in found.reliability)
    what = (
        "How often the network is right (bars) at each confidence; on the dashed line it is as right as it is sure. "
        f"Below: where the images lie, {most} in the fullest bin."
    )
    return html.section("Reliability", what, html.reliability(found.reliability))


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
    what = (
        f"Accuracy under suite {found.corruption_suite}, from 0 to 100 %; the line marks clean images. Where "
        "training's augmentation can have kin of a corruption, its figure is optimistic."
    )
    return html.section("Corruptions", what, f'<div class="key">{key}</div>\n<div class="chart">{"".join(rows)}</div>')


def _samples(dataset: Dataset) -> str:
    """A few images, one of a class, clean and under every corruption and severity."""
    first = np.unique(dataset.labels, return_index=True)[1]
    shown = dataset.take(np.sort(first[np.linspace(0, len(first) - 1, min(SAMPLES, len(first))).astype(int)]))
    images, hashes = shown.images[:], shown.hashes
    strips = [f"<figure><figcaption>clean</figcaption>{html.picture(images, 'clean images')}</figure>"]
    for name in CORRUPTIONS:
        cells = "".join(
            html.picture(corrupt(images, hashes, name, severity), f"{_words(name)}, {severity}")
            for severity in SEVERITIES
        )
        strips.append(f"<figure><figcaption>{_words(name)}</figcaption>{cells}</figure>")
    what = "The same images under each corruption: mild, middle, severe."
    return html.section("What was done to the images", what, f'<div class="samples">{"".join(strips)}</div>')


def _origin(found: Evaluation) -> str:
    tools = ", ".join(f"{name} {version}" for name, version in found.tools.items())
    return f"{found.created} · model SHA-256 {found.model_sha256[:16]}… · {escape(tools)} · not a medical device"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _words(name: str) -> str:
    return name.replace("_", " ")
