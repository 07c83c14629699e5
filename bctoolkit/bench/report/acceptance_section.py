"""The report page's part on which answers are accepted."""

from collections.abc import Iterator

import msgspec

from bctoolkit.bench.analysis.wording import title
from bctoolkit.bench.documents.judgements import Labelled, ParityReport
from bctoolkit.bench.documents.report import Report
from bctoolkit.escaping.text import for_html
from bctoolkit.rendering import html
from bctoolkit.rendering.acceptance import accepted_line, curve_line, foreign_line, kinds_table, site_line

__all__ = ["sections"]


def sections(report: Report) -> Iterator[str]:
    """A risk–coverage curve for each target, and the foreign pictures it accepts; none without such images."""
    settings = msgspec.structs.replace(report.settings, sweep=())
    targets = {title(result, settings): result.parity for result in report.results}
    curves = "".join(
        f"<figure><figcaption>{for_html(name)}</figcaption>{_curve(labelled)}</figure>"
        for name, parity in targets.items()
        if (labelled := parity.labelled) is not None and labelled.risk_coverage is not None
    )
    if curves:
        what = "Share of errors among the surest answers; the mark is where the bundle's acceptance rule lies."
        yield html.section("Risk and coverage", what, f'<div class="pairs">{curves}</div>')
    foreign = "".join(_foreign(name, parity) for name, parity in targets.items())
    if foreign:
        yield html.section("Foreign pictures", "Pictures of which none belongs to a class.", foreign)


def _curve(labelled: Labelled) -> str:
    """The curve, and in words what is accepted."""
    curve, accepted = labelled.risk_coverage, labelled.accepted
    if curve is None:
        return ""
    mark = None if accepted is None or accepted.accuracy is None else (accepted.coverage, 1 - accepted.accuracy)
    lines = [curve_line(curve)]
    lines += [] if accepted is None else [accepted_line(accepted)]
    lines += [] if labelled.site is None else [site_line(labelled.site)]
    return html.risk_coverage(curve, mark) + "".join(f"<p>{for_html(line)}.</p>" for line in lines)


def _foreign(name: str, parity: ParityReport) -> str:
    if parity.foreign is None:
        return ""
    table = kinds_table(parity.foreign).to_html() if parity.foreign.kinds else ""
    return f"<p>{for_html(name)}: {for_html(foreign_line(parity.foreign))}.</p>{table}"
