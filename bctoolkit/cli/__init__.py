"""The command line: options → recipe → one call → print. Nothing heavy is imported before a command runs."""

import os
import sys
import traceback
import warnings
from contextlib import suppress
from typing import Any

import click

from bctoolkit import __version__
from bctoolkit.cli import adopt, app, data, demo, evaluate, export, init, signing, train
from bctoolkit.cli.benchmarks import bench, choose, compare
from bctoolkit.cli.device import predict, vectors, verify
from bctoolkit.cli.output import echo
from bctoolkit.errors import BctkError
from bctoolkit.supervision.child import go_on_in_child

__all__ = ["cli", "main"]

SUPERVISED = (["predict"], ["verify"], ["vectors"])
"""Commands that run a model in their own process."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="bctk")
def cli() -> None:
    """Take an image classifier from images to a device, and prove that it arrived intact.

    \b
    bctk train --data PATH          images → a trained network in training/runs/
    bctk export --format onnx       the newest run → a checked bundle in exports/bundles/
    bctk bench --data PATH          the newest bundles → parity and latency in benchmarks/reports/

    Exit codes: 0 done, 1 an error of one line, 2 wrong usage, 3 the verdict failed. Every command takes --debug,
    which also prints where an error came from.
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
    predict.predict,
    verify.verify,
    vectors.vectors,
    signing.keygen,
    signing.sign,
    app.app,
):
    cli.add_command(command)


def _add_debug(command: click.Command) -> None:
    """Give every command that does something the option `--debug`."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _add_debug(inner)
        return
    command.params.append(
        click.Option(
            ["--debug"],
            is_flag=True,
            expose_value=False,
            callback=lambda context, _, value: context.ensure_object(dict).update(debug=value),
            help="Also print where an error came from.",
        )
    )


_add_debug(cli)


def main(arguments: list[str] | None = None) -> Any:
    """Run `bctk`; an error is one line on standard error and exit code 1, after its traceback with `--debug`."""
    settings: dict[str, Any] = {}
    _occupy_standard_streams()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # a damaged picture is read, or refused in one line
    words = sys.argv[1:] if arguments is None else arguments
    try:
        if words[:1] in SUPERVISED:
            go_on_in_child()
        return cli.main(arguments, prog_name="bctk", obj=settings)
    except Exception as error:
        line = str(error) if isinstance(error, BctkError) else _unforeseen(error)
        trace = traceback.format_exc().splitlines() if settings.get("debug") else []
    with suppress(OSError):  # nobody can be told
        for each in (*trace, f"error: {line}"):
            echo(each, err=True)
    _forget_what_cannot_be_printed()
    sys.exit(1)


def _occupy_standard_streams() -> None:
    """Open what a caller has closed: the next file would get its number, and what an engine prints would land in it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _forget_what_cannot_be_printed() -> None:
    """Python would try again at its end, and end with a code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _unforeseen(error: Exception) -> str:
    """One line of an error that is nobody's on purpose."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    where = "".join(f" at {note}" for note in getattr(error, "__notes__", [])[:1])
    reason = "out of memory" if isinstance(error, MemoryError) else " ".join(str(error).split())[:200]
    return f"unexpected {type(error).__name__}{where}: {reason}; run again with --debug for the traceback"
