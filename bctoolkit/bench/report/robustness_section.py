"""Corruption parity as people read it: a line for the terminal, a section of the Markdown report, one of the page."""

from collections.abc import Iterator
from html import escape

from bctoolkit.bench.analysis.wording import points
from bctoolkit.bench.documents.report import Report, Robustness, UnderCorruption
from bctoolkit.bench.report import charts
from bctoolkit.data.corruptions.suite import SEVERITIES
from bctoolkit.rendering import html

__all__ = ["markdown", "section", "words"]

WHAT = (
    "Accuracy under the corruption suite, and in points what is lost against the float bundle of the same network on "
    "the same images: the mean over all corruptions and severities, and how it compares with the loss on clean images."
)


def words(found: Robustness) -> str:
    """One line: what it bears, against what, and on how many images."""
    told = f"under corruptions {found.accuracy:.2%} (clean {found.clean_accuracy:.2%}) on {found.count:,} images; "
    if found.drop is None or found.excess is None or found.excess_ci95 is None:
        return told + "no more precise bundle of the same network was measured beside it, so this stands alone"
    low, high = map(points, found.excess_ci95)
    return (
        f"{told}against {found.against} {points(found.drop)} points lost, of clean images "
        f"{points(found.clean_drop or 0)}; excess {points(found.excess)} (95 % interval {low} to {high})"
    )


def markdown(report: Report) -> str:
    """A section with one table for all bundles; empty where the suite was not asked for."""
    found = _found(report)
    if not found:
        return ""
    lines = ["", "## Corruptions", "", WHAT, "", *(f"- {name}: {words(robust)}" for name, robust in found.items()), ""]
    lines += [f"| mean of three severities | {' | '.join(found)} |", "|" + "---|" * (len(found) + 1)]
    lines += [
        f"| {_spaced(name)} | {' | '.join(_mean(robust.corruptions[name]) for robust in found.values())} |"
        for name in next(iter(found.values())).corruptions
    ]
    return "\n".join(lines) + "\n"


def section(report: Report) -> Iterator[str]:
    """The section of the page; nothing where the suite was not asked for."""
    found = _found(report)
    if not found:
        return
    told = "".join(f"<li>{escape(name)}: {escape(words(robust))}</li>" for name, robust in found.items())
    lost = {name: _lost(robust) for name, robust in found.items() if robust.against is not None}
    plot = f'<figure class="plot">{charts.lost_by_corruption(lost)}</figure>' if lost else ""
    yield html.section("Corruptions", WHAT, f'<ul class="verdicts">{told}</ul>\n{plot}')
    for name, robust in found.items():
        rows = [(_spaced(key), *(_cell(cells[s]) for s in SEVERITIES)) for key, cells in robust.corruptions.items()]
        beside = "" if robust.against is None else (
            f" Below each: points lost against {escape(robust.against)} with their 95 % interval; of so many, one in "
            "forty lies above 0 by chance."
        )  # fmt: skip
        what = f"Accuracy under each corruption of suite {robust.suite}.{beside}"
        yield html.section(f"Corruptions of {name}", what, html.table(("corruption", *SEVERITIES), rows))


def _found(report: Report) -> dict[str, Robustness]:
    """By bundle, each once however many numbers of threads it was timed with."""
    several = len(report.settings.providers) > 1
    return {
        f"{result.bundle} on {result.provider}" if several else result.bundle: labelled.robustness
        for result in report.results
        if (labelled := result.parity.labelled) is not None and labelled.robustness is not None
    }


def _lost(found: Robustness) -> dict[str, float]:
    """By corruption, the mean drop over the severities."""
    return {
        _spaced(name): sum(cell.loss.drop for cell in cells.values() if cell.loss is not None) / len(cells)
        for name, cells in found.corruptions.items()
    }


def _mean(cells: dict[str, UnderCorruption]) -> str:
    accuracy = sum(cell.accuracy for cell in cells.values()) / len(cells)
    drops = [cell.loss.drop for cell in cells.values() if cell.loss is not None]
    return f"{accuracy:.2%}" + (f" ({points(-sum(drops) / len(drops), '+')})" if drops else "")


def _cell(cell: UnderCorruption) -> str:
    if cell.loss is None:
        return f"{cell.accuracy:.2%}"
    low, high = map(points, cell.loss.ci95)
    flag = ' class="outcome failed"' if cell.loss.ci95[0] > 0 else ""
    return f"{cell.accuracy:.2%}<small><span{flag}>{points(cell.loss.drop)}</span> ({low} to {high})</small>"


def _spaced(name: str) -> str:
    return name.replace("_", " ")
