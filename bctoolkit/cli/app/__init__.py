"""`bctk app`: a bundle as an app that somebody can open or build."""

import click

from bctoolkit.cli.app.cpp import cpp
from bctoolkit.cli.app.web import web

__all__ = ["app"]


@click.group()
def app() -> None:
    """Write an app around a bundle: the very files of the bundle, and the code that runs them somewhere else."""


app.add_command(web)
app.add_command(cpp)
