"""`bctk bench`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bctoolkit.cli.shared import require_extras, stamp

if TYPE_CHECKING:
    from bctoolkit.bench.report import Report, Settings

__all__ = ["bench", "settings_for", "show"]

EFFORTS = {"quick": (2, 50, 1.0), "default": (3, 300, 5.0), "publish": (10, 1024, 60.0)}
"""Sessions, least runs and least seconds of each session."""


@click.command()
@click.argument("bundles", nargs=-1, metavar="[BUNDLE]...", type=click.Path(path_type=Path))
@click.option("--data", metavar="PATH", help="Labelled images: accuracy besides golden parity.")
@click.option("--budget", metavar="NAME|FILE", help="Limits to judge by; exit code 3 when one fails.")
@click.option(
    "--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Default: benchmarks/reports/TIME."
)
@click.option("--threads", type=click.IntRange(1, 256), help="Default: the CPUs at hand, at most four.")
@click.option("--provider", help="What to run on, e.g. cpu or cuda. Default: each engine's first.")
@click.option("--quick", "effort", flag_value="quick", help="2 sessions of 1 s: a first look.")
@click.option("--publish", "effort", flag_value="publish", help="10 sessions of 60 s: figures to quote.")
@click.pass_context
def bench(
    context: click.Context,
    bundles: tuple[Path, ...],
    data: str | None,
    budget: str | None,
    out: Path | None,
    threads: int | None,
    provider: str | None,
    effort: str | None,
) -> None:
    """Measure bundles on this machine: parity with the Keras reference, latency, memory, size.

    Without an argument: the bundles of the run that was exported last. Bundles are timed in turns, each session in a
    fresh process; the default is 3 sessions of at least 300 runs and 5 s per bundle.

    \b
    Examples:
      bctk bench
      bctk bench exports/bundles/atto-* --data images/ --budget server-cpu
    """
    from bctoolkit.bench import bench as run_bench
    from bctoolkit.bundle import newest
    from bctoolkit.progress import Terminal
    from bctoolkit.recipes import read_budget
    from bctoolkit.workspace import Workspace

    require_extras("bench")
    workspace = Workspace()
    limits = read_budget(workspace.declared("benchmarks", budget)) if budget else None
    settings = settings_for(effort or "default", threads)
    target = out or workspace.reports / stamp()
    paths = list(bundles) or newest(workspace.bundles)
    report = run_bench(paths, settings, target, Terminal(), data=data, budget=limits, provider=provider)
    show(report)
    click.echo(f"report: {target / 'report.md'}")
    if any(result.verdict is not None and not result.verdict.passed for result in report.results):
        context.exit(3)


def settings_for(effort: str, threads: int | None = None) -> "Settings":
    """How to measure with one of `EFFORTS`."""
    from bctoolkit.bench.report import Settings
    from bctoolkit.runtime.backends import default_threads

    sessions, runs, seconds = EFFORTS[effort]
    return Settings(sessions, runs, seconds, 20, 0.5, threads or default_threads(), seed=0)


def show(report: "Report") -> None:
    """Print the report's table, and each limit that fails."""
    from rich.console import Console
    from rich.table import Table

    from bctoolkit.bench.tables import HEADINGS, row

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "bundle" else "right", no_wrap=heading == "bundle")
    for result in report.results:
        table.add_row(*row(result))
    console = Console()
    if not console.is_terminal:
        console.width = 200
    console.print(table)
    for result in report.results:
        if result.verdict is not None:
            click.echo(f"{result.bundle}: verdict {'passed' if result.verdict.passed else 'FAILED'}")
            for check in result.verdict.checks:
                if not check.passed:
                    observed = "not measured" if check.observed is None else f"{check.observed:.4g}"
                    click.echo(f"  {check.name} {check.limit:g}: {observed} {check.note}".rstrip())
