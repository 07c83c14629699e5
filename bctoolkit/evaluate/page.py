"""The evaluation as one self-contained page: the main figures first, then the details."""

from collections.abc import Iterator

import numpy as np

from bctoolkit.data import Dataset
from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES, corrupt, display_name
from bctoolkit.escaping.text import for_html
from bctoolkit.evaluate.report import CorruptionAccuracy, Evaluation
from bctoolkit.evaluate.tables import classes_table, home_table, site_lines, unreadable_line
from bctoolkit.rendering import html
from bctoolkit.rendering.acceptance import accepted_line, curve_line, foreign_line, kinds_table, site_line
from bctoolkit.rendering.groups import over_groups

__all__ = ["render"]

SAMPLES = 4
"""Images shown under each corruption."""


def render(evaluation: Evaluation, dataset: Dataset) -> str:
    """The page in HTML.

    Args:
        evaluation: the figures.
        dataset: the images they were measured on; a few of them are shown.
    """
    sections = [
        _summary(evaluation),
        _classes(evaluation),
        *_home(evaluation),
        _confusion(evaluation),
        _reliability(evaluation),
    ]
    sections += [_risk_coverage(evaluation), *_foreign(evaluation)]
    if evaluation.corruptions is not None:
        sections += [_corruptions(evaluation, evaluation.corruptions), _samples(dataset)]
    return html.document(evaluation.subject, "evaluation", sections, _origin(evaluation))


def _summary(evaluation: Evaluation) -> str:
    low, high = evaluation.accuracy_ci95
    macro = evaluation.macro_recall
    tiles = []
    if macro is not None:
        tiles.append(("macro recall", f"{macro.value:.2%}", f"95 % interval {macro.low:.2%}–{macro.high:.2%}"))
    tiles += [
        (
            "accuracy",
            f"{evaluation.accuracy:.2%}",
            f"95 % interval {low:.2%}–{high:.2%}{over_groups(evaluation.groups)}",
        ),
        ("macro-F1", f"{evaluation.macro_f1:.4f}", f"{len(evaluation.labels)} classes"),
        ("calibration error", f"{evaluation.ece:.4f}", "expected, 15 bins"),
    ]
    site = "" if evaluation.site is None else f"<p>{for_html(site_line(evaluation.site))}.</p>\n"
    lines = "".join(f"<p>{for_html(line)}.</p>\n" for line in site_lines(evaluation))
    unread = f"<p>{for_html(unreadable_line(evaluation))}.</p>\n" if evaluation.unreadable else ""
    if evaluation.accepted is not None:
        low, high = evaluation.accepted.coverage_ci95
        tiles.append(("accepted", f"{evaluation.accepted.coverage:.2%}", f"95 % interval {low:.2%}–{high:.2%}"))
    if evaluation.corruption_mean is not None and evaluation.corruption_worst is not None:
        worst = evaluation.corruption_worst
        tiles += [
            (
                "under corruptions",
                f"{evaluation.corruption_mean:.2%}",
                f"mean of {len(CORRUPTIONS)} × {len(SEVERITIES)}",
            ),
            ("unseen corruptions", f"{evaluation.corruption_mean_unseen:.2%}", "no similar augmentation"),
            ("worst at middle severity", f"{worst.accuracy:.2%}", for_html(display_name(worst.name))),
        ]
    return (
        f"<p>A {evaluation.kind} on {evaluation.count:,} {evaluation.images} images of {for_html(evaluation.source)}: "
        f"{for_html(evaluation.selection)}.</p>\n{unread}{site}{html.tiles(tiles)}{lines}"
    )


def _classes(evaluation: Evaluation) -> str:
    return html.section("Classes", "", classes_table(evaluation).to_html())


def _home(evaluation: Evaluation) -> Iterator[str]:
    """Each class beside the test part of the subject's own set; nothing where that is not known."""
    if evaluation.home is not None:
        what = "Recall here, and what it has more or less than on the images of its own set: two independent samples."
        yield html.section("Beside home", what, home_table(evaluation).to_html())


def _confusion(evaluation: Evaluation) -> str:
    what = "Rows are the true class, columns the predicted one; colour is the share of the row."
    return html.section("Confusion matrix", what, html.confusion(evaluation.labels, evaluation.confusion))


def _reliability(evaluation: Evaluation) -> str:
    most = max(one.count for one in evaluation.reliability)
    what = (
        "Accuracy (bars) at each confidence; the dashed line is perfect calibration. "
        f"Below: images by confidence, {most} in the fullest bin."
    )
    return html.section("Reliability", what, html.reliability(evaluation.reliability))


def _risk_coverage(evaluation: Evaluation) -> str:
    """The curve, and where on it the acceptance rule lies."""
    accepted, mark = evaluation.accepted, None
    what = f"Share of errors among the surest answers. {for_html(curve_line(evaluation.risk_coverage))}."
    if accepted is not None:
        what += f" The bundle's rule, the mark: {for_html(accepted_line(accepted))}."
        mark = None if accepted.accuracy is None else (accepted.coverage, 1 - accepted.accuracy)
    return html.section("Risk and coverage", what, html.risk_coverage(evaluation.risk_coverage, mark))


def _foreign(evaluation: Evaluation) -> Iterator[str]:
    """Foreign pictures that were accepted; nothing where none were given."""
    foreign = evaluation.foreign
    if foreign is not None:
        table = kinds_table(foreign).to_html() if foreign.kinds else ""
        yield html.section("Foreign pictures", f"{for_html(foreign_line(foreign))}.", table)


def _corruptions(evaluation: Evaluation, corruptions: dict[str, CorruptionAccuracy]) -> str:
    by_severity = evaluation.corruption_by_severity or {}
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
        similar = f"similar augmentations: {', '.join(row.similar_augmentations) or 'none'}"
        rows.append(
            f'<div class="row"><span>{display_name(name)}<small>{similar}</small></span>'
            f'<div class="track" style="--clean:{evaluation.accuracy:.2%}">{dots}</div>{values}</div>'
        )
    what = (
        f"Accuracy under suite {evaluation.corruption_suite}, from 0 to 100 %; the line marks clean images. Where an "
        "augmentation of training resembles a corruption, its figure is optimistic."
    )
    return html.section("Corruptions", what, f'<div class="key">{key}</div>\n<div class="chart">{"".join(rows)}</div>')


def _samples(dataset: Dataset) -> str:
    """A few images, one of a class, clean and under every corruption and severity."""
    first = np.unique(dataset.labels, return_index=True)[1]
    samples = dataset.take(np.sort(first[np.linspace(0, len(first) - 1, min(SAMPLES, len(first))).astype(int)]))
    images, hashes = samples.images[:], samples.hashes
    strips = [f"<figure><figcaption>clean</figcaption>{html.picture(images, 'clean images')}</figure>"]
    for name in CORRUPTIONS:
        cells = "".join(
            html.picture(corrupt(images, hashes, name, severity), f"{display_name(name)}, {severity}")
            for severity in SEVERITIES
        )
        strips.append(f"<figure><figcaption>{display_name(name)}</figcaption>{cells}</figure>")
    what = "The same images under each corruption: mild, middle, severe."
    return html.section("Corrupted images", what, f'<div class="samples">{"".join(strips)}</div>')


def _origin(evaluation: Evaluation) -> str:
    tools = ", ".join(f"{name} {version}" for name, version in evaluation.tools.items())
    model = f"model SHA-256 {evaluation.model_sha256[:16]}…"
    return f"{evaluation.created} · {model} · {for_html(tools)} · not a medical device"
