"""`bctk choose`."""

import re
from typing import TYPE_CHECKING

import click

from bctoolkit.cli.output import echo, echo_json, print_table
from bctoolkit.cli.shared import stored_reports
from bctoolkit.errors import RecipeError

if TYPE_CHECKING:
    from bctoolkit.bench.analysis.choose import Choice
    from bctoolkit.recipes import Budget

__all__ = ["choose", "quantity"]

TIMES = {"ms": 1.0, "s": 1000.0}
"""Units of time, in milliseconds."""
SIZES = {"kB": 0.001, "MB": 1.0, "GB": 1000.0}
"""Units of size, in megabytes."""
POINTS = {"": 0.01, "points": 0.01, "%": 0.01}
"""Units of accuracy, as shares."""


@click.command()
@click.argument("reports", nargs=-1, required=True, metavar="REPORT...")
@click.option("--max-p50", metavar="TIME", help="Median latency, as 20ms.")
@click.option("--max-p99", metavar="TIME", help="99th percentile of the latency, as 30ms.")
@click.option("--max-cold-start", metavar="TIME", help="From a fresh process to the first answer, as 1s.")
@click.option("--max-size", metavar="SIZE", help="Of the model's file, as 60MB.")
@click.option("--max-memory", metavar="SIZE", help="Largest resident memory, as 500MB.")
@click.option("--max-drop", metavar="POINTS", help="Of accuracy against the float32 reference, as 0.5.")
@click.option("--max-recall-drop", metavar="POINTS", help="Of the recall of any class, as 2.")
@click.option("--min-agreement", metavar="PERCENT", help="Top-1 agreement with the reference, as 99.")
@click.option("--budget", metavar="NAME|FILE", help="Limits of a budget, besides those given here.")
@click.option(
    "--prefer",
    type=click.Choice(["latency", "size", "accuracy"]),
    default="latency",
    show_default=True,
    help="What decides among those that keep all limits.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.pass_context
def choose(
    context: click.Context,
    /,
    reports: tuple[str, ...],
    budget: str | None,
    prefer: str,
    as_json: bool,
    **limits: str | None,
) -> None:
    """Name the best artifact that keeps your limits, why, and what the others fail on.

    Limits are judged on 95 % intervals. With several reports, or one of several machines, they must be kept on
    all of them.
    `front` marks what no other artifact beats in accuracy, latency and size together. Exit code 3 where none keeps all.

    \b
    Examples:
      bctk choose report/ --max-p99 30ms --max-size 60MB --max-drop 0.5
      bctk choose server/ raspberry/ --budget raspberry-pi --prefer size
    """
    from typing import cast

    from bctoolkit.bench.analysis.choose import Preference, choose_best

    choice = choose_best(
        [each for stored in stored_reports(reports) for each in stored],
        _limits(limits, budget),
        cast("Preference", prefer),
    )
    if as_json:
        from bctoolkit.documents import to_json

        echo_json(to_json(choice).decode())
    else:
        _print(choice)
    context.exit(0 if choice.best else 3)


def quantity(option: str, text: str, units: dict[str, float]) -> float:
    """A number with a unit, in the unit that counts 1.

    Raises:
        RecipeError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([A-Za-z%]*)", text.strip())
    if match is None or match[2] not in units:
        valid = " or ".join(f"a number with {unit}" if unit else "a number" for unit in units)
        raise RecipeError(f"{option} {text}: give {valid}")
    return float(match[1]) * units[match[2]]


def _limits(options: dict[str, str | None], budget: str | None) -> "Budget":
    """The budget's limits, replaced and completed by those of the options."""
    import msgspec

    from bctoolkit.recipes import Budget, read_budget
    from bctoolkit.workspace import Workspace

    base = read_budget(Workspace().declared("benchmarks", budget)) if budget else Budget(device="any")
    changes = {
        field: quantity(f"--{name.replace('_', '-')}", text, units)
        for name, (field, units) in LIMITS.items()
        if (text := options[name]) is not None
    }
    return msgspec.structs.replace(base, **changes)


def _print(choice: "Choice") -> None:
    from bctoolkit.rendering.table import Table

    columns = ("bundle", "accuracy", "p50 ms", "size MB", "front", "limits")
    rows = [
        (
            each.bundle,
            f"{each.accuracy:.2%}",
            f"{each.p50_ms:.2f}",
            f"{each.size_bytes / 1e6:.1f}",
            "front" if each.on_front else "",
            each.outcome,
        )
        for each in choice.candidates
    ]
    print_table(Table(columns, rows, text_columns=frozenset({"front", "limits"})))
    for each in choice.candidates:
        for reason in each.reasons:
            echo(f"{each.bundle}: {reason}")
    echo(f"best: {choice.best}, {choice.why}" if choice.best else choice.why)


LIMITS: dict[str, tuple[str, dict[str, float]]] = {
    "max_p50": ("max_p50_ms", TIMES),
    "max_p99": ("max_p99_ms", TIMES),
    "max_cold_start": ("max_cold_start_ms", TIMES),
    "max_size": ("max_size_mb", SIZES),
    "max_memory": ("max_peak_rss_mb", SIZES),
    "max_drop": ("max_accuracy_drop", POINTS),
    "max_recall_drop": ("max_worst_recall_drop", POINTS),
    "min_agreement": ("min_top1_agreement", POINTS),
}
"""Option → the budget's limit, and the units it may be given in."""
