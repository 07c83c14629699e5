"""`bctk bench`."""

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from bctoolkit.cli.compare import print_table
from bctoolkit.cli.scenarios import Scenarios, scenario_options, several
from bctoolkit.cli.shared import require_extras, stamp
from bctoolkit.errors import BackendError, RecipeError

if TYPE_CHECKING:
    from bctoolkit.bench.documents.report import Report, Settings

__all__ = ["bench", "settings_for", "show"]

EFFORTS = {"quick": (3, 50, 0.7), "default": (5, 300, 5.0), "publish": (10, 1024, 60.0)}
"""Sessions, least runs and least seconds of each session."""
PROFILE_RUNS = 50

CORRUPTED = {"quick": 160, "default": 400, "publish": 2000}
"""Most labelled images that go through the corruption suite."""


def thread_numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """The numbers in `2` or `1,2,4`."""
    return None if value is None else several(value, 256, "number of threads")


def provider_names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """The names in `cpu` or `cpu,builtin`."""
    if value is None:
        return ()
    names = tuple(value.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise click.BadParameter(f"{value!r} names none, or one twice; give one or several: cpu,cuda")
    return names


@click.command()
@click.argument("bundles", nargs=-1, metavar="[BUNDLE]...", type=click.Path(path_type=Path))
@click.option("--data", metavar="PATH", help="Labelled images: accuracy besides golden parity.")
@click.option("--corruptions", is_flag=True, help="With --data: what corrupted images cost beside the float bundle.")
@click.option("--budget", metavar="NAME|FILE", help="Limits to judge by; exit code 3 unless all are kept.")
@click.option("--allow-undecided", is_flag=True, help="Exit code 0 where no limit is broken, though some cannot tell.")
@click.option(
    "--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Default: benchmarks/reports/TIME."
)
@click.option(
    "--threads",
    metavar="N[,N…]",
    callback=thread_numbers,
    help="Several: a sweep. Default: the CPUs at hand, at most 4.",
)
@click.option(
    "--provider",
    "providers",
    metavar="NAME[,NAME…]",
    callback=provider_names,
    help="What to run on, e.g. cpu, cuda, or for TFLite builtin: without XNNPACK. Several: a sweep. Default: each "
    "engine's first.",
)
@click.option("--profile", is_flag=True, help="Ask the engines' profilers which operators take the time.")
@click.option("--quick", "effort", flag_value="quick", help="3 sessions of 0.7 s: a first look.")
@click.option("--publish", "effort", flag_value="publish", help="10 sessions of 60 s: figures to quote.")
@scenario_options
@click.option("--resume", is_flag=True, help="Go on with an interrupted benchmark: that of --out, or the newest.")
@click.pass_context
def bench(
    context: click.Context,
    bundles: tuple[Path, ...],
    data: str | None,
    corruptions: bool,
    budget: str | None,
    allow_undecided: bool,
    out: Path | None,
    threads: tuple[int, ...] | None,
    providers: tuple[str, ...],
    profile: bool,
    effort: str | None,
    resume: bool,
    **scenarios: Unpack[Scenarios],
) -> None:
    """Measure bundles on this machine: parity with the Keras reference, latency, memory, size.

    Without an argument: the bundles of the run that was exported last. Bundles are timed in turns, each session in a
    fresh process; the default is 5 sessions of at least 300 runs and 5 s per bundle. A bundle that cannot be measured
    is named at the end, with exit code 1, and the others go on. --batch, --streams and --sustain measure besides, with
    --threads or the first of several.

    \b
    Examples:
      bctk bench
      bctk bench exports/bundles/atto-* --data images/ --budget server-cpu
      bctk bench atto-onnx-fp32 atto-onnx-int8 --data images/ --corruptions
      bctk bench --threads 1,2,4
      bctk bench --streams 4 --batch
      bctk bench exports/bundles/atto-* --batch 1,8,32 --sustain 10
      bctk bench exports/bundles/atto-tflite-* --provider cpu,builtin --profile
    """
    from bctoolkit.bench import pipeline as stage
    from bctoolkit.bundle import newest
    from bctoolkit.files import unfinished
    from bctoolkit.progress import Terminal
    from bctoolkit.recipes import read_budget
    from bctoolkit.workspace import Workspace

    require_extras("bench")
    workspace, progress = Workspace(), Terminal()
    target = out or (workspace.unfinished_report() if resume else workspace.reports / stamp())
    try:
        if resume:
            _refuse_beside_resume(context)
            report = stage.resume(target, progress)
        else:
            limits = read_budget(workspace.declared("benchmarks", budget)) if budget else None
            settings = settings_for(effort or "default", threads, providers, profile, corruptions, **scenarios)
            paths = list(bundles) or newest(workspace.bundles)
            report = stage.bench(paths, settings, target, progress, data=data, budget=limits)
    except KeyboardInterrupt:
        if unfinished(target).exists():
            click.echo(f"interrupted; go on with: bctk bench --resume --out {target}", err=True)
        raise
    show(report)
    click.echo(f"report: {target / 'report.html'}")
    if report.failures:
        raise BackendError("; ".join(failure.message for failure in report.failures))
    context.exit(_exit_code(report, allow_undecided))


def _refuse_beside_resume(context: click.Context) -> None:
    """A resumed benchmark has its bundles and settings already."""
    given = click.core.ParameterSource.COMMANDLINE
    for parameter in context.command.params:
        name = str(parameter.name)
        if name not in ("resume", "out", "allow_undecided") and context.get_parameter_source(name) == given:
            what = parameter.opts[0] if isinstance(parameter, click.Option) else "BUNDLE"
            raise RecipeError(f"{what} cannot go with --resume: the benchmark goes on as it was begun")


def _exit_code(report: "Report", allow_undecided: bool) -> int:
    from bctoolkit.bench.documents.report import Outcome

    outcomes = {result.verdict.outcome for result in report.results if result.verdict is not None}
    kept = {Outcome.PASSED, Outcome.UNDECIDED} if allow_undecided else {Outcome.PASSED}
    return 0 if outcomes <= kept else 3


def settings_for(
    effort: str,
    threads: tuple[int, ...] | None = None,
    providers: tuple[str, ...] = (),
    profile: bool = False,
    corruptions: bool = False,
    **scenarios: Unpack[Scenarios],
) -> "Settings":
    """How to measure.

    Args:
        effort: one of `EFFORTS`.
        threads: one number of threads or several.
        providers: what to run on; each engine's first if none.
        profile: whether the engines' profilers are asked.
        corruptions: whether labelled images go through the corruption suite.
        scenarios: those beside single-stream.
    """
    from bctoolkit.bench.documents.report import Settings
    from bctoolkit.runtime.backends import default_threads

    sessions, runs, seconds = EFFORTS[effort]
    chosen = threads or (default_threads(),)
    sweep = chosen if len(chosen) > 1 else ()
    return Settings(
        *(sessions, runs, seconds, 20, 0.5, chosen[0], 0, sweep),
        providers=providers,
        corrupted=CORRUPTED[effort] if corruptions else None,
        profile_runs=PROFILE_RUNS if profile else 0,
        **scenarios,
    )


def show(report: "Report") -> None:
    """Print the report's table, and each limit that fails."""
    from bctoolkit.bench.analysis.wording import check_words, outcome_of, title
    from bctoolkit.bench.report.profile_section import line
    from bctoolkit.bench.report.robustness_section import words
    from bctoolkit.bench.report.scenario_tables import tables
    from bctoolkit.bench.report.tables import HEADINGS, row

    settings = report.settings
    print_table(HEADINGS, [row(result, settings) for result in report.results])
    for table in tables(report):
        click.echo(f"{table.heading}:")
        print_table(table.columns, table.rows)
        for remark in table.remarks:
            click.echo(f"  {remark}")
    for result in report.results:
        losing = () if result.parity.labelled is None else result.parity.labelled.losing
        if losing:
            click.echo(f"{title(result, settings)}: loses recall beyond chance in {', '.join(losing)}")
        if result.profile is not None:
            click.echo(f"{title(result, settings)}: time goes to {line(result.profile)}")
        if (robustness := None if result.parity.labelled is None else result.parity.labelled.robustness) is not None:
            click.echo(f"{title(result, settings)}: {words(robustness)}")
        if result.verdict is not None:
            outcome = outcome_of(result.verdict)
            click.echo(f"{title(result, settings)}: verdict {outcome.upper() if outcome != 'passed' else outcome}")
            for check in result.verdict.checks:
                if not check.passed:
                    click.echo(f"  {check_words(check)}")
