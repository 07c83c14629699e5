"""Figures relative to the report's baseline: table, plot, a spreadsheet's columns, and what they come to."""

from collections.abc import Iterator, Sequence

import numpy as np
from msgspec.structs import fields

from bctoolkit.bench.analysis.relative import counterpart, end_to_end_is_stable
from bctoolkit.bench.analysis.wording import title
from bctoolkit.bench.documents.measurements import Interval, Ratio, Relative
from bctoolkit.bench.documents.report import Report, Result
from bctoolkit.bench.report import charts
from bctoolkit.escaping.text import for_html
from bctoolkit.rendering import html
from bctoolkit.rendering.table import Table

__all__ = [
    "METHOD",
    "RATIO",
    "headline",
    "latency_ratio",
    "latency_ratio_of",
    "ratio_text",
    "relative_columns",
    "relative_table",
    "sections",
]

RATIO = "× baseline"
BASELINE = "baseline"
FEW_RUNS = ("end_to_end", "cold_start")
METHOD = (
    ("× baseline", "within a round the median, over slices timed side by side, of the ratio of their fastest runs; "
     "over the rounds the geometric mean with Student's interval of the logarithms. What other programs add to some "
     "runs and not to others is not in it (Chen & Revels 2016)"),
    ("end-to-end × baseline", "in each round the ratio of the sessions' fastest runs; the same interval"),
    ("cold start, memory", "their ratio in each round; the same interval"),
)  # fmt: skip
HEADINGS = {
    "latency": "latency",
    "end_to_end": "end-to-end",
    "cold_start": "cold start",
    "peak_rss": "peak memory",
    "size": "size",
}
"""By the names of `Relative`."""


def relative_table(report: Report) -> Table | None:
    """One row per result besides the baseline's; None where the report has no baseline."""
    rows = [
        (title(result, report.settings), *(_cell(report, result, name) for name in HEADINGS))
        for result in report.results
        if result.relative is not None
    ]
    if report.baseline is None or not rows:
        return None
    return Table(
        ("bundle", *HEADINGS.values()),
        rows,
        f"Relative to {report.baseline}",
        f"How many times the figure of {report.baseline} each is, with the 95 % interval over the rounds; below 1 is "
        "faster or smaller. A bundle and the baseline were timed side by side, so what slows the machine cancels out. "
        "~: end to end and cold start have few runs, and other programs may be in all of them.",
    )


def _cell(report: Report, result: Result, name: str) -> str:
    """A ratio; marked where it rests on few runs while one of the two is unstable."""
    text = ratio_text(getattr(result.relative, name))
    baseline = counterpart(result, report.results, report.baseline or "")
    stable = end_to_end_is_stable(result, *([] if baseline is None else [baseline]))
    return text if stable or name not in FEW_RUNS else f"{text} ~"


def sections(report: Report) -> Iterator[str]:
    """The report page's part: the table, and the ratios of latency with their intervals as a plot."""
    table = relative_table(report)
    if table is None:
        return
    names = [title(result, report.settings) for result in report.results]
    ratios = [latency_ratio(result) for result in report.results]
    plot = ratios_plot([None if each is None else (each.value, each.ci95) for each in ratios])
    figure = f'<figure class="plot">{plot}{charts.key(names)}</figure>'
    yield html.section(table.title, for_html(table.description), table.to_html() + figure)


def ratios_plot(ratios: Sequence[tuple[float, Interval | None] | None]) -> str:
    """The ratio of each result's latency with its interval, by its position; the line is the baseline."""
    fig, ax = charts.canvas((charts.SIZE[0], 1.0 + 0.3 * len(ratios)))
    for index, ratio in enumerate(ratios):
        value, (low, high) = (1.0, (1.0, 1.0)) if ratio is None else (ratio[0], ratio[1] or (ratio[0], ratio[0]))
        ax.errorbar(
            value,
            -index,
            xerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
            fmt=charts.mark(index),
            color=charts.colour(index),
            capsize=4,
        )
    ax.axvline(1, color=charts.INK, linewidth=0.8)
    ax.set(xlabel="times the baseline's latency, 95 % interval", ylim=(0.6 - len(ratios), 0.6))
    ax.set_xlim(left=0)
    ax.set_yticks([])
    return charts.svg(fig, "latency of each artifact relative to the baseline")


def latency_ratio_of(baseline: str) -> str:
    """What the column of ratios is, in a table of other figures."""
    return (
        f"times the latency of {baseline} with the 95 % interval, from the fastest runs of slices side by side: it "
        "holds where ~ stands."
    )


def latency_ratio(result: Result) -> Ratio | None:
    """Of the model alone; None where it is relative to nothing."""
    return None if result.relative is None else result.relative.latency


def ratio_text(ratio: Ratio | None, is_baseline: bool = False) -> str:
    """A ratio and its interval, of a size without one."""
    if ratio is None:
        return BASELINE if is_baseline else "–"
    if ratio.ci95 is None or ratio.ci95[0] == ratio.ci95[1]:
        return f"{ratio.value:.2f}"
    return f"{ratio.value:.2f} ({ratio.ci95[0]:.2f}–{ratio.ci95[1]:.2f})"


def relative_columns(result: Result) -> dict[str, object]:
    """What a spreadsheet has of them, by heading; None where there is no baseline, and for the baseline itself."""
    columns: dict[str, object] = {BASELINE: result.relative and result.relative.baseline}
    for name in (field.name for field in fields(Relative) if field.name != BASELINE):
        ratio: Ratio | None = None if result.relative is None else getattr(result.relative, name)
        low, high = (None, None) if ratio is None or ratio.ci95 is None else ratio.ci95
        columns |= {
            f"{name}_ratio": ratio and ratio.value,
            f"{name}_ratio_low": low,
            f"{name}_ratio_high": high,
        }
    return columns


def headline(report: Report) -> str:
    """Which bundle is faster than the baseline, and by how much, in a sentence; empty where there is no baseline.

    It rests on intervals of ratios alone: what is not shown to be faster is not called so, and of several the surest is
    named.
    """
    compared = [(result, result.relative) for result in report.results if result.relative is not None]
    if not compared:
        return ""
    result, relative = min(compared, key=lambda each: (each[1].latency.ci95 or (0, np.inf))[1])
    low, high = relative.latency.ci95 or (0.0, np.inf)
    if high >= 1:
        result, relative = min(compared, key=lambda each: each[1].size.value)
        small = f"{title(result, report.settings)} has {relative.size.value:.0%} of its size"
        return f"none is shown to be faster than {report.baseline}; {small}"
    return (
        f"{title(result, report.settings)} is {1 / relative.latency.value:.2f} times as fast as {report.baseline} "
        f"(95 % interval {1 / high:.2f} to {1 / low:.2f}) and has {relative.size.value:.0%} of its size"
    )
