"""`report.md`: the report for reading as text."""

from collections.abc import Iterator

from bctoolkit.bench.analysis.wording import check_line
from bctoolkit.bench.documents.report import Report
from bctoolkit.bench.report.relative import headline, relative_table
from bctoolkit.bench.report.scenario_tables import scenario_tables
from bctoolkit.bench.report.summary import (
    CORRUPTIONS,
    ResultSummary,
    profile_caption,
    robustness_by_title,
    robustness_line,
    summaries,
)
from bctoolkit.bench.report.tables import corruption_means_table, figures_table, operators_table
from bctoolkit.escaping.text import for_markdown
from bctoolkit.rendering.table import Table

__all__ = ["markdown"]


def markdown(report: Report) -> str:
    """The whole report."""
    lines = [*_head(report)]
    for table in filter(None, (relative_table(report), *scenario_tables(report))):
        lines += _section(table)
    measured = summaries(report)[: len(report.results)]
    for summary, result in zip(measured, report.results, strict=True):
        lines += ["", f"## {for_markdown(summary.title)}", "", *_result(summary)]
        if result.profile is not None:
            lines += [
                "",
                f"{for_markdown(profile_caption(result.profile))}:",
                "",
                *operators_table(result.profile).to_markdown(),
            ]
    if robustness := robustness_by_title(report):
        lines += ["", "## Corruptions", "", CORRUPTIONS, ""]
        lines += [f"- {for_markdown(name)}: {for_markdown(robustness_line(each))}" for name, each in robustness.items()]
        lines += ["", *corruption_means_table(robustness).to_markdown()]
    return "\n".join(lines) + "\n"


def _head(report: Report) -> Iterator[str]:
    machine, settings = report.machine, report.settings
    threads = ", ".join(map(str, settings.sweep or (settings.threads,)))
    parity = report.results[0].parity
    yield from ("# Benchmark report", "")
    yield for_markdown(
        f"{report.created} · {machine.cpu}, {machine.cores_usable} of {machine.cores} cores, {machine.system}"
    )
    found = headline(report)
    if found:
        yield from ("", f"**{for_markdown(found)}.**")
    yield from ("", *figures_table(report).to_markdown(), "")
    yield (
        f"Batch 1, {threads} threads, {settings.sessions} sessions per bundle in rounds, each a fresh process; "
        f"at least {settings.min_runs} runs and {settings.min_seconds:g} s each after warm-up. `~` marks an "
        "unstable result: no verdict rests on it. p99 needs 1,000 samples. Peak is resident memory. Loading is timed "
        "in a fresh process, with the bundle's files in the system's page cache."
    )
    yield ""
    yield (
        f"Parity: relative to the float32 Keras reference on {parity.golden.count} {parity.golden_images} golden "
        "images. Accuracy: on labelled images (in brackets the change in points relative to the reference on the same "
        "images)."
    )
    if report.failures:
        yield from ("", "Not measured:", "", *(f"- {for_markdown(failure.message)}" for failure in report.failures))


def _section(table: Table) -> Iterator[str]:
    yield from ("", f"## {for_markdown(table.title)}", "", for_markdown(table.description), "", *table.to_markdown())
    if table.notes:
        yield from ("", *(f"- {for_markdown(note)}" for note in table.notes))


def _result(summary: ResultSummary) -> Iterator[str]:
    yield from (f"- {for_markdown(line)}" for line in summary.details)
    yield from (f"- **{for_markdown(line)}**" for line in summary.warnings)
    if summary.outcome is not None:
        yield f"- verdict: **{summary.outcome}**"
        yield from (f"  - {for_markdown(check_line(check))}" for check in summary.checks)
