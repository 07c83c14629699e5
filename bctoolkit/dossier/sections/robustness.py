"""The artifact under corrupted images."""

from bctoolkit.data.corruptions.suite import SEVERITIES, display_name
from bctoolkit.dossier.evidence import Evidence
from bctoolkit.dossier.forms import count, percent, points, text
from bctoolkit.dossier.section import Missing, Section, caption, figures
from bctoolkit.dossier.sources import Sources
from bctoolkit.escaping.text import for_html
from bctoolkit.rendering import html

__all__ = ["section"]


def section(sources: Sources) -> Section:
    """Accuracy by corruption and severity, from reports and evaluations."""
    tables = [_of_report(evidence.within("parity", "labelled", "robustness")) for evidence, _ in sources.results]
    tables += [_of_evaluation(each.evidence) for each in sources.evaluations]
    found = [table for table in tables if table is not None]
    if not found:
        missing = Missing("not measured: corrupted images", "bctk evaluate BUNDLE --data PATH --corruptions --json")
        return Section("Robustness", (), missing=(missing,))
    files = [
        evidence.source for evidence, result in sources.results if evidence.get("parity", "labelled", "robustness")
    ]
    files += [each.evidence.source for each in sources.evaluations if each.evaluation.corruptions is not None]
    return Section("Robustness", tuple(dict.fromkeys(files)), figures(found))


def _of_report(one: Evidence) -> tuple[str, str] | None:
    if one.value is None:
        return None
    drop = ""
    if one.get("relative_corruption_drop") is not None:
        beyond = one.interval(points, "relative_corruption_drop_ci95")
        drop = (
            f"; relative to {one.figure(text, 'baseline')} {one.figure(points, 'drop')} points lost "
            f"({one.interval(points, 'drop_ci95')}), beyond what is lost on clean images "
            f"{one.figure(points, 'relative_corruption_drop')} ({beyond})"
        )
    told = (
        f"{caption(one)}: suite {one.figure(text, 'suite')} on {one.figure(count, 'count')} images: clean "
        f"{one.figure(percent, 'clean_accuracy')}, corrupted {one.figure(percent, 'accuracy')}{drop}"
    )
    rows = [
        [for_html(display_name(name)), *(_cell(one.within("corruptions", name, severity)) for severity in SEVERITIES)]
        for name in one.get("corruptions")
    ]
    return told, html.table(("corruption", *SEVERITIES), rows)


def _cell(one: Evidence) -> str:
    if one.get("change") is None:
        return one.figure(percent, "accuracy")
    lost = f"{one.figure(points, 'change', 'drop')} points lost, {one.interval(points, 'change', 'ci95')}"
    return f"{one.figure(percent, 'accuracy')}<small>{lost}</small>"


def _of_evaluation(one: Evidence) -> tuple[str, str] | None:
    if one.get("corruptions") is None:
        return None
    told = (
        f"{caption(one)}: suite {one.figure(text, 'corruption_suite')} on {one.figure(count, 'count')} images: clean "
        f"{one.figure(percent, 'accuracy')}, corrupted {one.figure(percent, 'corruption_mean')}, of corruptions that "
        f"no augmentation resembles {one.figure(percent, 'corruption_mean_unseen')}"
    )
    rows = [
        [
            for_html(display_name(name)),
            *(one.figure(percent, "corruptions", name, key) for key in (*SEVERITIES, "mean")),
        ]
        for name in one.get("corruptions")
    ]
    return told, html.table(("corruption", *SEVERITIES, "mean"), rows)
