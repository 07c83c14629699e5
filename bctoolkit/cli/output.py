"""What commands print: tables, in the width of the terminal or, in a file or pipe, as wide as they are."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bctoolkit.bench.documents.report import Report
    from bctoolkit.rendering.table import Table

__all__ = ["print_report", "print_table"]

WIDEST = 100_000
"""Characters; more than any table needs."""


def print_table(table: "Table") -> None:
    """Print a table below its title, and its notes below it. Text stands on the left, figures on the right."""
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    from bctoolkit.rendering.table import text_of

    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for column, heading in enumerate(table.columns):
        justify = "left" if table.is_text(column) else "right"
        grid.add_column(Text(heading), justify=justify, no_wrap=column == 0, overflow="fold")  # type: ignore[arg-type]
    for row in table.rows:
        grid.add_row(*(Text(text_of(cell)) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(1, console.measure(grid, options=console.options.update(max_width=WIDEST)).maximum)
    if table.title:
        click.echo(f"{table.title}:")
    with console.capture() as capture:
        console.print(grid)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())
    for note in table.notes:
        click.echo(f"  {note}")


def print_report(report: "Report") -> None:
    """Print the report's tables, and what is worth telling of each result."""
    from dataclasses import replace

    from bctoolkit.bench.report.scenario_tables import scenario_tables
    from bctoolkit.bench.report.summary import summaries
    from bctoolkit.bench.report.tables import figures_table

    print_table(replace(figures_table(report), title=""))
    for table in scenario_tables(report):
        print_table(table)
    for summary in summaries(report):
        verdict = (
            summary.outcome and f"verdict {summary.outcome if summary.outcome == 'passed' else summary.outcome.upper()}"
        )
        for line in (*summary.highlights, *summary.warnings, *([verdict] if verdict else [])):
            click.echo(f"{summary.title}: {line}")
        for line in summary.unmet:
            click.echo(f"  {line}")
