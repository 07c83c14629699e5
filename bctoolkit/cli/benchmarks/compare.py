"""`bctk compare`."""

from typing import TYPE_CHECKING

import click

from bctoolkit.cli.output import echo, echo_json, print_table
from bctoolkit.cli.shared import stored_reports
from bctoolkit.errors import RecipeError

if TYPE_CHECKING:
    from bctoolkit.bench.analysis.compare import Comparison
    from bctoolkit.bench.documents.stored import StoredReport

__all__ = ["compare"]


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
    The surest comparison is within one report, where bundles were measured in the same rounds: give --baseline.

    A REPORT is a folder, its report.json, or the name of one in benchmarks/reports.

    \b
    Examples:
      bctk compare main pull-request
      bctk compare report/ --baseline main-onnx-fp32
      bctk compare --devices server/ raspberry/ phone/report.json
    """
    stored = stored_reports(reports)
    if devices:
        if baseline is not None or as_json:
            raise RecipeError("--devices: it judges nothing, so give neither --baseline nor --json")
        _print_merged([each for reports_ in stored for each in reports_])
        return
    comparison = _compared(stored, baseline, margin / 100)
    if as_json:
        from bctoolkit.documents import to_json

        echo_json(to_json(comparison).decode())
    else:
        _print(comparison)
    context.exit(3 if comparison.worse else 0)


def _compared(stored: "list[list[StoredReport]]", baseline: str | None, margin: float) -> "Comparison":
    from bctoolkit.bench.analysis.compare import compare_reports, compare_with_baseline, merged, same_devices

    if baseline is not None:
        if len(stored) != 1:
            raise RecipeError(f"--baseline compares within one report, got {len(stored)}")
        return merged({each.name: compare_with_baseline(each, baseline, margin) for each in stored[0]})
    if len(stored) != 2:
        raise RecipeError(f"{len(stored)} reports: give OLD and NEW, one with --baseline, or several with --devices")
    pairs = same_devices(*stored)
    return merged({new.name: compare_reports(old, new, margin) for old, new in pairs})


def _print(comparison: "Comparison") -> None:
    from bctoolkit.rendering.table import Table

    rows = []
    for change in comparison.changes:
        low, high = change.ci95
        if change.figure == "accuracy":
            values = (f"{change.old:.2%}", f"{change.new:.2%}", f"{-change.change * 100:+.2f} points")
            interval = f"{-high * 100:+.2f} to {-low * 100:+.2f}"
        else:
            values = (f"{change.old:.2f}", f"{change.new:.2f}", f"{change.change - 1:+.1%}")
            interval = f"{low - 1:+.1%} to {high - 1:+.1%}"
        trend = change.trend.upper() if change.trend == "worse" else change.trend
        rows.append((change.bundle, change.figure, *values, interval, trend))
    columns = ("bundle", "figure", "old", "new", "change", "95 % interval", "trend")
    print_table(Table(columns, rows, text_columns=frozenset({"figure", "trend"})))
    for note in comparison.notes:
        echo(note)
    echo(f"{len(comparison.worse)} of {len(comparison.changes)} figures worse")


def _print_merged(stored: "list[StoredReport]") -> None:
    from bctoolkit.bench.report.tables import merged_figures_table

    print_table(merged_figures_table([(each.name, each.report) for each in stored]))
    for each in stored:
        machine = each.report.machine
        echo(f"{each.name}: {machine.cpu}, {machine.cores_usable} of {machine.cores} cores, {machine.system}")
