"""The options of `bctk bench` for scenarios beside single-stream."""

from collections.abc import Callable
from typing import Any, TypedDict

import click

__all__ = ["Scenarios", "scenario_options", "several"]

LONGEST = 240
"""Minutes of a sustained run: every run is kept."""
KNEE = "knee"
"""What `--batch` alone stands for."""


class Scenarios(TypedDict, total=False):
    """What the options come to, by the names of the settings."""

    batches: tuple[int, ...] | None
    streams: int | None
    sustain_minutes: float | None


def several(value: str, most: int, what: str) -> tuple[int, ...]:
    """The numbers in `2` or `1,2,4`, each from 1 to `most` and named once."""
    parts = value.split(",")
    for part in parts:
        if not part.isdecimal() or not 1 <= int(part) <= most:
            raise click.BadParameter(f"{part} is not in the range 1<=x<={most}; give one number or several: 1,2,4")
    numbers = tuple(map(int, parts))
    if len(set(numbers)) < len(numbers):
        raise click.BadParameter(f"{value!r} names a {what} twice")
    return numbers


def batch_sizes(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """The sizes in `1,8,32`; none, to be doubled to the knee, for the option alone."""
    if value is None or value == KNEE:
        return None if value is None else ()
    if not value[:1].isdecimal():
        raise click.BadParameter(
            f"{value!r} is no batch size; give several as 1,8,32, or {KNEE} (also where the option stands last) to "
            "double to the knee"
        )
    return several(value, 1024, "batch size")


def minutes(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """More than 0, which NaN is not."""
    if value is not None and not 0 < value <= LONGEST:
        raise click.BadParameter(f"{value:g} is not in the range 0<x<={LONGEST}")
    return value


OPTIONS = (
    click.option(
        "--batch",
        "batches",
        metavar="[N,…]",
        is_flag=False,
        flag_value=KNEE,
        callback=batch_sizes,
        help="Offline too: throughput at these batch sizes; alone, or 'knee', doubled until it no longer grows.",
    ),
    click.option(
        "--streams",
        metavar="N",
        type=click.IntRange(1, 64),
        help="Multi-stream too: N classifiers at once in one process, each with a part of the threads.",
    ),
    click.option(
        "--sustain",
        "sustain_minutes",
        metavar="MINUTES",
        type=float,
        callback=minutes,
        help="In the end each bundle without pause for so long: latency, temperature, frequency over time.",
    ),
)


def scenario_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, in their order."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
