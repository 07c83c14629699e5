"""What commands print: lines, documents, and tables in the width of the terminal or, in a pipe, as wide as they are.

Everything goes through `echo` or `echo_json`: what files of others are called, or hold, stands there visible.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from bctoolkit.escaping.text import for_json, visible
from bctoolkit.lazy import is_installed

if TYPE_CHECKING:
    from bctoolkit.bench.documents.report import Report
    from bctoolkit.rendering.table import Table

__all__ = ["echo", "echo_json", "print_report", "print_table"]

WIDEST = 100_000
"""Characters; more than any table needs."""


def echo(line: object = "", err: bool = False) -> None:
    """Print one line."""
    with _stream("standard error" if err else "standard output"):
        click.echo(visible(str(line)), err=err)


def echo_json(document: str) -> None:
    """Print JSON."""
    with _stream("standard output"):
        click.echo(for_json(document.rstrip("\n")))


@contextmanager
def _stream(name: str) -> Iterator[None]:
    """Say which stream it is that takes no more; a reader that has gone, as `head` has, is no error."""
    try:
        yield
    except OSError as problem:
        if problem.errno == errno.EPIPE:
            raise
        raise OSError(problem.errno, problem.strerror, name) from None


def print_table(table: "Table") -> None:
    """Print a table below its title, and its notes below it. Text stands on the left, figures on the right.

    Without rich it is as wide as its cells are.
    """
    if table.title:
        echo(f"{table.title}:")
    for line in _folded(table) if is_installed("rich") else table.to_text():
        echo(line.rstrip())
    for note in table.notes:
        echo(f"  {note}")


def _folded(table: "Table") -> list[str]:
    """The lines of a table in the width of the terminal."""
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    from bctoolkit.rendering.table import text_of

    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for column, heading in enumerate(table.columns):
        justify = "left" if table.is_text(column) else "right"
        grid.add_column(Text(visible(heading)), justify=justify, no_wrap=column == 0, overflow="fold")  # type: ignore[arg-type]
    for row in table.rows:
        grid.add_row(*(Text(visible(text_of(cell))) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(1, console.measure(grid, options=console.options.update(max_width=WIDEST)).maximum)
    with console.capture() as capture:
        console.print(grid)
    return capture.get().splitlines()


def print_report(report: "Report") -> None:
    """Print the report's tables, and what is worth telling of each result."""
    from dataclasses import replace

    from bctoolkit.bench.report.relative import headline, relative_table
    from bctoolkit.bench.report.scenario_tables import scenario_tables
    from bctoolkit.bench.report.summary import summaries
    from bctoolkit.bench.report.tables import figures_table

    print_table(replace(figures_table(report), title=""))
    for table in filter(None, (relative_table(report), *scenario_tables(report))):
        print_table(table)
    results = summaries(report)
    shared = [
        line for line in results[0].warnings if len(results) > 1 and all(line in each.warnings for each in results)
    ]
    for summary in results:
        verdict = (
            summary.outcome and f"verdict {summary.outcome if summary.outcome == 'passed' else summary.outcome.upper()}"
        )
        warnings = [line for line in summary.warnings if line not in shared]
        for line in (*summary.highlights, *warnings, *([verdict] if verdict else [])):
            echo(f"{summary.title}: {line}")
        for line in summary.unmet:
            echo(f"  {line}")
    for line in shared:
        echo(f"every bundle: {line}")
    if found := headline(report):
        echo(found)
