"""`bctk init`."""

from pathlib import Path

import click

from bctoolkit.cli.output import echo

__all__ = ["init"]


@click.command()
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
def init(folder: Path) -> None:
    """Create a workspace: training/, exports/ and benchmarks/ with the shipped recipes and budgets.

    \b
    Example:  bctk init my-project && cd my-project && bctk train --data PATH
    """
    from bctoolkit.workspace import create

    for shelf in create(folder):
        echo(f"created {shelf}")
    echo("next: bctk train --data PATH")
