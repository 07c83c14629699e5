"""`bctk bench`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import click

from bctoolkit.cli import options
from bctoolkit.cli.benchmarks.options import (
    Scenarios,
    engine_names,
    provider_names,
    scenario_options,
    settings_for,
    thread_numbers,
)
from bctoolkit.cli.output import echo, print_report, print_table
from bctoolkit.cli.shared import refuse_beside_resume, require_extras, stamp
from bctoolkit.cli.signing import trusted_keys
from bctoolkit.documents.formats import ENGINES
from bctoolkit.errors import BackendError, RecipeError

if TYPE_CHECKING:
    from bctoolkit.bench.documents.fleet import Fleet
    from bctoolkit.bench.documents.report import Report

__all__ = ["bench"]


@click.command()
@click.argument("bundles", nargs=-1, metavar="[BUNDLE]...", type=click.Path(path_type=Path))
@click.option("--data", metavar="PATH", help="Labelled images: accuracy besides golden parity.")
@options.group
@click.option(
    "--corruptions",
    is_flag=True,
    help="With --data: also report accuracy on corrupted images, relative to the float bundle.",
)
@click.option(
    "--foreign",
    metavar="PATH",
    help="Pictures of which none belongs to a class: how many the bundles' acceptance rules let pass.",
)
@click.option(
    "--baseline",
    metavar="NAME|PATH",
    help="What figures are relative to: one of the bundles, or another, of any format. Default: the float bundle.",
)
@click.option("--budget", metavar="NAME|FILE", help="Limits to judge by; exit code 3 unless all are kept.")
@click.option(
    "--allow-undecided", is_flag=True, help="Exit 0 when no limit fails, even if some checks are inconclusive."
)
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
    "--engine",
    "engines",
    metavar="NAME",
    multiple=True,
    type=click.Choice(ENGINES),
    callback=engine_names,
    help=f"{', '.join(ENGINES)}; repeatable: side by side, each for the bundles of its format. Default: each format's "
    "first.",
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
@click.option(
    "--on",
    multiple=True,
    metavar="ADDRESS",
    help="Measure on this machine instead: ssh://[user@]host[:port][?python=PATH], or local; repeatable, all at once.",
)
@click.option(
    "--python",
    default="python3",
    show_default=True,
    metavar="PATH",
    help="With --on: the Python 3.11 or later on machines whose address names none.",
)
@click.option(
    "--ssh-config",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --on: what ssh reads instead of your own configuration.",
)
@trusted_keys
@click.option("--resume", is_flag=True, help="Go on with an interrupted benchmark: that of --out, or the newest.")
@click.pass_context
def bench(
    context: click.Context,
    bundles: tuple[Path, ...],
    data: str | None,
    group: str | None,
    corruptions: bool,
    foreign: str | None,
    baseline: str | None,
    budget: str | None,
    allow_undecided: bool,
    out: Path | None,
    threads: tuple[int, ...] | None,
    engines: tuple[str, ...],
    providers: tuple[str, ...],
    profile: bool,
    effort: str | None,
    on: tuple[str, ...],
    python: str,
    ssh_config: Path | None,
    trusted: tuple[Path, ...],
    resume: bool,
    **scenarios: Unpack[Scenarios],
) -> None:
    """Measure bundles, on this machine or others: parity with the Keras reference, latency, memory, size.

    Without an argument: the bundles of the run that was exported last. Bundles are timed in rounds, each session in a
    fresh process; the default is 5 sessions of at least 300 runs and 5 s per bundle. A bundle that cannot be measured
    is named at the end, with exit code 1, and the others go on. --batch, --streams and --sustain measure besides, with
    --threads or the first of several.

    \b
    Examples:
      bctk bench
      bctk bench exports/bundles/atto-* --data images/ --budget server-cpu
      bctk bench atto-onnx-fp32 atto-onnx-int8 --data images/ --corruptions
      bctk bench atto-onnx-int8 --data images/ --foreign photographs/
      bctk bench exports/bundles/atto-* --baseline exports/bundles/main-onnx-fp32
      bctk bench --threads 1,2,4
      bctk bench --streams 4 --batch
      bctk bench exports/bundles/atto-* --batch 1,8,32 --sustain 10
      bctk bench exports/bundles/atto-tflite-* --provider cpu,builtin --profile
      bctk bench exports/bundles/atto-onnx-* --engine onnxruntime --engine openvino
      bctk bench exports/bundles/atto-* --on local --on ssh://pi@raspberry --on ssh://10.0.0.7:2222
    """
    from bctoolkit.bench import pipeline
    from bctoolkit.bench.documents.fleet import Fleet
    from bctoolkit.bundle import newest
    from bctoolkit.files import NO_ROOM, unfinished
    from bctoolkit.fleet import pipeline as fleet
    from bctoolkit.progress import Terminal
    from bctoolkit.recipes import read_budget
    from bctoolkit.workspace import Workspace

    if corruptions:
        require_extras("bench")
    if not on and (python != "python3" or ssh_config):
        raise RecipeError("--python and --ssh-config are for the machines of --on")
    workspace, progress = Workspace(), Terminal()
    report: Report | Fleet
    target = out or (workspace.unfinished_report() if resume else workspace.reports / stamp())
    try:
        if resume:
            refuse_beside_resume(context, ("out", "allow_undecided"), "the benchmark")
            several = (unfinished(target) / fleet.FLEET).is_file()
            report = fleet.resume(target, progress) if several else pipeline.resume(target, progress)
        else:
            limits = read_budget(workspace.declared("benchmarks", budget)) if budget else None
            settings = settings_for(effort or "default", threads, providers, profile, corruptions, engines, **scenarios)
            paths = list(bundles) or newest(workspace.bundles)
            if baseline is not None and not Path(baseline).exists() and (workspace.bundles / baseline).is_dir():
                baseline = str(workspace.bundles / baseline)
            asked: dict[str, Any] = {
                "data": data,
                "group": group or "",
                "foreign": foreign,
                "budget": limits,
                "baseline": baseline,
                "trusted_keys": trusted or None,
            }
            if on:
                asked |= {"threads_given": threads is not None, "python": python, "ssh_config": ssh_config}
                report = fleet.bench(paths, settings, target, progress, on, **asked)
            else:
                report = pipeline.bench(paths, settings, target, progress, **asked)
    except KeyboardInterrupt:
        if unfinished(target).exists():
            echo(f"interrupted; continue with: bctk bench --resume --out {target}", err=True)
        raise
    except OSError as problem:
        if problem.errno in NO_ROOM and unfinished(target).exists():
            remedy = f"make room and continue with: bctk bench --resume --out {target}"
            raise RecipeError(f"{problem.filename}: {problem.strerror}; {remedy}") from None
        raise
    reports = _print(report)
    _tell_where(target)
    problems = [failure.message for each in reports for failure in each.failures]
    if isinstance(report, Fleet) and report.unmeasured:
        problems += [device.message for device in report.unmeasured]
        problems.append(f"what is measured is kept: bctk bench --resume --out {target}")
    if problems:
        raise BackendError("; ".join(problems))
    context.exit(_exit_code(reports, allow_undecided))


def _print(report: "Report | Fleet") -> "list[Report]":
    """Print a report, of one machine or several, and return the report of each."""
    from bctoolkit.bench.documents.report import Report

    if isinstance(report, Report):
        print_report(report)
        return [report]
    from dataclasses import replace

    from bctoolkit.bench.report.fleet import fleet_table, told
    from bctoolkit.bench.report.relative import relative_table

    print_table(replace(fleet_table(report), title=""))
    for device in report.devices:
        ratios = relative_table(device.report)
        if ratios is not None:
            print_table(replace(ratios, title=f"{device.name}, relative to {device.report.baseline}"))
        for line in told(device):
            echo(f"{device.name}: {line}")
    return [device.report for device in report.devices]


def _tell_where(target: Path) -> None:
    """Where the report lies, and why a page may be missing."""
    if (target / "report.html").exists():
        echo(f"report: {target / 'report.html'}")
        return
    echo(f"report: {target / 'report.md'}")
    echo("no report.html: to draw it, install: pip install 'bctoolkit[bench]'", err=True)


def _exit_code(reports: "list[Report]", allow_undecided: bool) -> int:
    from bctoolkit.documents import Outcome

    outcomes = {result.verdict.outcome for report in reports for result in report.results if result.verdict}
    allowed = {Outcome.PASSED, Outcome.UNDECIDED} if allow_undecided else {Outcome.PASSED}
    return 0 if outcomes <= allowed else 3
