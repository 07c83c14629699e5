"""The options of `bctk bench`, and the settings they come to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

if TYPE_CHECKING:
    from bctoolkit.bench.documents.settings import Settings

__all__ = [
    "EFFORTS",
    "Scenarios",
    "engine_names",
    "provider_names",
    "scenario_options",
    "settings_for",
    "thread_numbers",
]

LONGEST = 240
"""Minutes of a sustained run: every run is kept."""
KNEE = "knee"
"""What `--batch` alone stands for."""


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    sessions: int
    min_runs: int
    min_seconds: float
    corrupted: int
    """Most labelled images that go through the corruption suite."""


EFFORTS = {
    "quick": Effort(3, 50, 0.7, corrupted=160),
    "default": Effort(5, 300, 5.0, corrupted=400),
    "publish": Effort(10, 1024, 60.0, corrupted=2000),
}
PROFILE_RUNS = 50


class Scenarios(TypedDict, total=False):
    """What the options come to, by the names of the settings."""

    batches: tuple[int, ...] | None
    streams: int | None
    sustain_minutes: float | None


def _numbers(value: str, most: int, what: str) -> tuple[int, ...]:
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
    return _numbers(value, 1024, "batch size")


def minutes(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """More than 0, which NaN is not."""
    if value is not None and not 0 < value <= LONGEST:
        raise click.BadParameter(f"{value:g} is not in the range 0<x<={LONGEST}")
    return value


def thread_numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """The numbers in `2` or `1,2,4`."""
    return None if value is None else _numbers(value, 256, "number of threads")


def engine_names(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Engines, each named once."""
    if len(set(value)) < len(value):
        raise click.BadParameter(f"{', '.join(value)}: one is named twice")
    return value


def provider_names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """The names in `cpu` or `cpu,builtin`."""
    if value is None:
        return ()
    names = tuple(value.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise click.BadParameter(f"{value!r} names none, or one twice; give one or several: cpu,cuda")
    return names


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


def settings_for(
    effort: str,
    threads: tuple[int, ...] | None = None,
    providers: tuple[str, ...] = (),
    profile: bool = False,
    corruptions: bool = False,
    engines: tuple[str, ...] = (),
    **scenarios: Unpack[Scenarios],
) -> "Settings":
    """How to measure.

    Args:
        effort: one of `EFFORTS`.
        threads: one number of threads or several.
        providers: what to run on; each engine's first if none.
        profile: whether the engines' profilers are asked.
        corruptions: whether labelled images go through the corruption suite.
        engines: what to run in; each format's first if none.
        scenarios: those beside single-stream.
    """
    from bctoolkit.bench.documents.settings import Settings
    from bctoolkit.runtime.backends import default_threads

    level, numbers = EFFORTS[effort], threads or (default_threads(),)
    return Settings(
        sessions=level.sessions,
        min_runs=level.min_runs,
        min_seconds=level.min_seconds,
        threads=numbers[0],
        sweep=numbers if len(numbers) > 1 else (),
        engines=engines,
        providers=providers,
        corrupted=level.corrupted if corruptions else None,
        profile_runs=PROFILE_RUNS if profile else 0,
        **scenarios,
    )
