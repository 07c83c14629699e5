"""`bctk compare`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bctoolkit.cli.shared import require_extras
from bctoolkit.errors import RecipeError

if TYPE_CHECKING:
    from bctoolkit.bench.analysis.compare import Comparison
    from bctoolkit.bench.documents.stored import Stored

__all__ = ["compare", "print_table", "stored_reports"]


@click.command()
@click.argument("reports", nargs=-1, required=True, metavar="REPORT...")
@click.option("--baseline", metavar="BUNDLE", help="Compare the bundles of one report with this one of them.")
@click.option(
    "--margin",
    metavar="PERCENT",
    type=click.FloatRange(0, 100),
    default=3.0,
    show_default=True,
    help="A change of time, memory or size within so much counts as none.",
)
@click.option("--devices", is_flag=True, help="Merge reports of several devices into one table; nothing is judged.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.pass_context
def compare(
    context: click.Context,
    reports: tuple[str, ...],
    baseline: str | None,
    margin: float,
    devices: bool,
    as_json: bool,
) -> None:
    """Tell regressions from noise: OLD and NEW report, or the bundles of one report.

    A change is judged by the 95 % interval of the ratio new / old over the sessions: worse where all of it lies beyond
    the margin, unclear where it reaches over. Accuracy is paired image by image. Exit code 3 where something is worse.
    The surest comparison is within one report, where bundles were measured in the same turns: give --baseline.

    A REPORT is a folder, its report.json, or the name of one in benchmarks/reports.

    \b
    Examples:
      bctk compare main pull-request
      bctk compare report/ --baseline main-onnx-fp32
      bctk compare --devices server/ raspberry/ phone/report.json
    """
    require_extras("bench")
    stored = stored_reports(reports)
    if devices:
        if baseline is not None or as_json:
            raise RecipeError("--devices: it judges nothing, so give neither --baseline nor --json")
        _merge(stored)
        return
    found = _compared(stored, baseline, margin / 100)
    if as_json:
        from bctoolkit.documents import to_json

        click.echo(to_json(found), nl=False)
    else:
        _show(found)
    context.exit(3 if found.worse else 0)


def stored_reports(names: tuple[str, ...]) -> "list[Stored]":
    """The reports of these folders, files, or names on the shelf."""
    from bctoolkit.bench.documents.stored import read
    from bctoolkit.workspace import Workspace

    shelf = Workspace().reports
    return [read(Path(name) if Path(name).exists() or not (shelf / name).exists() else shelf / name) for name in names]


def print_table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table whose first column is text and whose others are figures."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", no_wrap=not place)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)


def _compared(stored: "list[Stored]", baseline: str | None, margin: float) -> "Comparison":
    from bctoolkit.bench.analysis.compare import against_baseline, old_and_new

    if baseline is not None:
        if len(stored) != 1:
            raise RecipeError(f"--baseline compares within one report, {len(stored)} were given")
        return against_baseline(stored[0], baseline, margin)
    if len(stored) != 2:
        raise RecipeError(f"{len(stored)} reports: give OLD and NEW, one with --baseline, or several with --devices")
    return old_and_new(stored[0], stored[1], margin)


def _show(found: "Comparison") -> None:
    rows = []
    for one in found.changes:
        low, high = one.ci95
        if one.figure == "accuracy":
            values = (f"{one.old:.2%}", f"{one.new:.2%}", f"{-one.change * 100:+.2f} points")
            interval = f"{-high * 100:+.2f} to {-low * 100:+.2f}"
        else:
            values = (f"{one.old:.2f}", f"{one.new:.2f}", f"{one.change - 1:+.1%}")
            interval = f"{low - 1:+.1%} to {high - 1:+.1%}"
        trend = one.trend.upper() if one.trend == "worse" else one.trend
        rows.append((one.bundle, one.figure, *values, interval, trend))
    print_table(("bundle", "figure", "old", "new", "change", "95 % interval", ""), rows)
    for note in found.notes:
        click.echo(note)
    click.echo(f"{len(found.worse)} of {len(found.changes)} figures worse")


def _merge(stored: "list[Stored]") -> None:
    from bctoolkit.bench.report.tables import HEADINGS, row

    rows = [
        (cells[0], one.name, *cells[1:])
        for one in stored
        for cells in (row(result, one.report.settings) for result in one.report.results)
    ]
    print_table((HEADINGS[0], "report", *HEADINGS[1:]), sorted(rows, key=lambda cells: cells[0]))
    for one in stored:
        machine = one.report.machine
        click.echo(f"{one.name}: {machine.cpu}, {machine.cores_usable} of {machine.cores} cores, {machine.system}")
