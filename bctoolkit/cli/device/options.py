"""Options that several of these commands take."""

import click

from bctoolkit.documents.formats import ENGINES

__all__ = ["engine_option", "provider_option", "threads_option", "time_limit_option"]

threads_option = click.option("--threads", type=click.IntRange(1, 256), help="Default: the CPUs at hand, at most four.")
engine_option = click.option(
    "--engine", type=click.Choice(ENGINES), metavar="NAME", help=f"{', '.join(ENGINES)}. Default: the format's first."
)
provider_option = click.option(
    "--provider", help="What to run on, e.g. cpu, cuda or builtin. Default: the engine's first."
)
time_limit_option = click.option(
    "--time-limit",
    "seconds",
    type=click.IntRange(1, 86_400),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="The longest that opening the model, or one answer, may take.",
)
