"""The report page's part on the corruption suite."""

from collections.abc import Iterator

from bctoolkit.bench.documents.judgements import Robustness
from bctoolkit.bench.documents.report import Report
from bctoolkit.bench.report import charts
from bctoolkit.bench.report.summary import CORRUPTIONS, robustness_by_title, robustness_line
from bctoolkit.bench.report.tables import corruption_table
from bctoolkit.data.corruptions.suite import display_name
from bctoolkit.escaping.text import for_html
from bctoolkit.rendering import html

__all__ = ["sections"]


def sections(report: Report) -> Iterator[str]:
    """A section with a plot, then a table for each target; none where the suite was left out."""
    robustness = robustness_by_title(report)
    if not robustness:
        return
    lines = "".join(
        f"<li>{for_html(name)}: {for_html(robustness_line(each))}</li>" for name, each in robustness.items()
    )
    drops = {name: _mean_drops(each) for name, each in robustness.items() if each.baseline is not None}
    plot = f'<figure class="plot">{charts.drop_by_corruption(drops)}</figure>' if drops else ""
    yield html.section("Corruptions", CORRUPTIONS, f'<ul class="verdicts">{lines}</ul>\n{plot}')
    for name, each in robustness.items():
        relative = "" if each.baseline is None else (
            f" Below each: points lost relative to {for_html(each.baseline)} with their 95 % interval; of so many, one "
            "in forty lies above 0 by chance."
        )  # fmt: skip
        what = f"Accuracy under each corruption of suite {each.suite}.{relative}"
        yield html.section(f"Corruptions of {name}", what, corruption_table(each).to_html())


def _mean_drops(robustness: Robustness) -> dict[str, float]:
    """By corruption, the mean drop over the severities."""
    return {
        display_name(name): sum(cell.change.drop for cell in cells.values() if cell.change is not None) / len(cells)
        for name, cells in robustness.corruptions.items()
    }
