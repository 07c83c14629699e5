"""The command line: options → recipe → one call → print. Nothing heavy is imported before a command runs."""

import sys
from typing import Any

import click

from bctoolkit import __version__
from bctoolkit.cli import adopt, data, demo, device, evaluate, export, init, train
from bctoolkit.cli.benchmarks import bench, choose, compare
from bctoolkit.errors import BctkError

__all__ = ["cli", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="bctk")
def cli() -> None:
    """Take an image classifier from images to a device, and prove that it arrived intact.

    \b
    bctk train --data PATH          images → a trained network in training/runs/
    bctk export --format onnx       the newest run → a checked bundle in exports/bundles/
    bctk bench --data PATH          the newest bundles → parity and latency in benchmarks/reports/

    Exit codes: 0 done, 1 an error of one line, 2 wrong usage, 3 the verdict failed.
    """


for command in (
    demo.demo,
    init.init,
    data.data,
    train.train,
    evaluate.evaluate,
    export.export,
    adopt.adopt,
    bench.bench,
    compare.compare,
    choose.choose,
    device.predict,
    device.verify,
):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> Any:
    """Run `bctk`; an error a user can mend is one line on standard error and exit code 1."""
    try:
        return cli.main(arguments, prog_name="bctk")
    except BctkError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
