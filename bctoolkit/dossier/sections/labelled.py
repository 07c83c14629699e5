"""How often the artifact is right: on which images, with which interval, and in each class."""

from typing import NamedTuple

from bctoolkit.dossier import plots
from bctoolkit.dossier.evidence import UNKNOWN, Evidence, Key
from bctoolkit.dossier.forms import count, number, percent, points, text
from bctoolkit.dossier.section import Missing, Section, caption, figures, share_interval, what_ran
from bctoolkit.dossier.sources import EvaluationSource, Sources
from bctoolkit.rendering import html

__all__ = ["section"]

Path = tuple[Key, ...]


class Measured(NamedTuple):
    """Where a file holds the figures of one set of images."""

    evidence: Evidence
    of: str
    """Which images, and of what: markup."""
    recall: tuple[Path, ...]
    """Of each class."""
    counts: tuple[Path, ...]
    """Images of each class, where the file says."""


def section(sources: Sources) -> Section:
    """Accuracy of each measurement, then recall of each class."""
    measured = _measured(sources)
    if not measured:
        missing = Missing("not measured: accuracy on labelled images", "bctk bench BUNDLE --data PATH")
        return Section("Accuracy on labelled images", (sources.manifest.source,), missing=(missing,))
    rows = [_accuracy(each) for each in measured]
    whole = html.table(("measured on", "images", "accuracy", "95 % interval", "calibration error"), rows)
    labels = sources.bundle.manifest.labels
    classes = figures(
        (f"Recall of each class: {each.of}", _recall(sources.manifest, labels, each)) for each in measured
    )
    return Section(
        "Accuracy on labelled images",
        tuple(dict.fromkeys([sources.manifest.source, *(each.evidence.source for each in measured)])),
        f"{whole}\n{_drops(sources)}{classes}",
    )


def _measured(sources: Sources) -> list[Measured]:
    labels = sources.bundle.manifest.labels
    reports = [_in_report(evidence, labels) for evidence, result in sources.results if result.parity.labelled]
    return [*_at_export(sources), *reports, *(_in_evaluation(each, labels) for each in sources.evaluations)]


def _at_export(sources: Sources) -> list[Measured]:
    one, labels = sources.manifest.within("labelled"), sources.bundle.manifest.labels
    if one.value is None:
        return []
    of = f"at export, the {one.figure(text, 'part')} part ({caption(one)})"
    return [Measured(one, of, _paths(labels, "recall", "recall"), _paths(labels, "recall", "count"))]


def _in_report(result: Evidence, labels: tuple[str, ...]) -> Measured:
    one = result.within("parity", "labelled")
    where = f"{what_ran(result)} ({caption(one)})"
    of = f"{one.figure(text, 'split')} of {one.figure(text, 'source')}, {where}"
    return Measured(one, of, _paths(labels, "recall"), _paths(labels, "class_changes", "count"))


def _in_evaluation(each: EvaluationSource, labels: tuple[str, ...]) -> Measured:
    one = each.evidence
    what = "" if each.evaluation.kind == "bundle" else "the trained network, not this artifact: "
    images = f"{one.figure(text, 'images')} images ({caption(one)})"
    of = f"{what}{one.figure(text, 'selection')} of {one.figure(text, 'source')}, {images}"
    return Measured(one, of, _paths(labels, "recall"), _paths(labels, "counts"))


def _paths(labels: tuple[str, ...], key: str, inner: str = "") -> tuple[Path, ...]:
    """Where the figure of each class stands."""
    return tuple((key, name, inner) if inner else (key, name) for name in labels)


def _accuracy(each: Measured) -> list[str]:
    one = each.evidence
    return [
        each.of,
        one.figure(count, "count"),
        one.figure(percent, "accuracy"),
        one.interval(percent, "accuracy_ci95"),
        one.figure(number, "ece"),
    ]


def _drops(sources: Sources) -> str:
    """What is lost relative to the float32 reference on the same images, where a report pairs them."""
    rows = []
    for result, decoded in sources.results:
        one = result.within("parity", "labelled")
        if decoded.parity.labelled is not None and decoded.parity.labelled.change is not None:
            rows.append(
                [
                    f"{caption(one)}, {what_ran(result)}",
                    one.figure(percent, "reference_accuracy"),
                    one.figure(points, "accuracy_drop"),
                    one.interval(points, "accuracy_drop_ci95"),
                    one.figure(points, "worst_recall_drop"),
                ]
            )
    heads = ("paired with the float32 network", "its accuracy", "points lost", "95 % interval", "worst class loses")
    return html.table(heads, rows) if rows else ""


def _recall(manifest: Evidence, labels: tuple[str, ...], each: Measured) -> str:
    one = each.evidence
    intervals = [_interval(each, at) for at in range(len(labels))]
    shares = [one.get(*path) for path in each.recall]
    ends = [end for _, interval in intervals if interval is not None for end in interval]
    known = [share for share in shares if share is not None]
    if not known:
        return "<p>No class has images.</p>"
    scale = plots.Scale.around([*known, *ends], within=(0.0, 1.0))
    rows = [
        [
            manifest.figure(text, "labels", at),
            one.figure(count, *each.counts[at]),
            one.figure(percent, *each.recall[at]),
            markup,
            UNKNOWN if share is None else plots.strip(scale, share, interval, f"recall of {name}"),
        ]
        for at, (name, share, (markup, interval)) in enumerate(zip(labels, shares, intervals, strict=True))
    ]
    heads = ("class", "images", "recall", "95 % interval", _runs(scale))
    table = html.table(heads, rows, frozenset({_runs(scale)}))
    return table if ends else f"{table}<p>No intervals: the file does not say how many images each class has.</p>"


def _interval(each: Measured, at: int) -> tuple[str, tuple[float, float] | None]:
    """That of the file where it has one, else the exact one of share and count."""
    path = each.recall[at]
    stated = each.evidence.get(*path[:-1], "ci95") if path[-1] == "recall" else None
    if stated is not None:
        return each.evidence.interval(percent, *path[:-1], "ci95"), (stated[0], stated[1])
    return share_interval(each.evidence, path, each.counts[at])


def _runs(scale: plots.Scale) -> str:
    return f"from {percent(scale.low)} to {percent(scale.high)}"
