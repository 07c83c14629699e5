"""The command line: options → recipe → one call → print. Nothing heavy is imported before a command runs."""

import io
import os
import sys
import traceback
import warnings
from contextlib import suppress
from typing import Any

import click

from bctoolkit import __version__
from bctoolkit.cli import adopt, data, demo, dossier, evaluate, export, init, signing, train
from bctoolkit.cli.app import app
from bctoolkit.cli.benchmarks import bench, choose, compare
from bctoolkit.cli.device import predict, vectors, verify
from bctoolkit.cli.output import echo
from bctoolkit.errors import BctkError
from bctoolkit.escaping.text import ESCAPED
from bctoolkit.supervision.child import go_on_in_child

__all__ = ["cli", "main"]

SUPERVISED = (["predict"], ["verify"], ["vectors"])
"""Commands that run a model in their own process."""


PACKAGES = (
    *("numpy", "click", "msgspec", "pillow", "scipy", "onnxruntime", "onnxruntime-gpu", "ai-edge-litert", "openvino"),
    *("tensorflow", "keras", "tf-keras", "onnx", "tf2onnx", "cryptography", "pyarrow", "ray", "psutil"),
)
"""That a report of a fault is about, by their names in the registry."""

INTERRUPTED = 130
"""What shells give to what Ctrl-C ends: 128 and the number of SIGINT."""


class _Commands(click.Group):
    """Ends with `INTERRUPTED` where click would end with 1."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            echo(err=True)  # closes the line in which a terminal shows ^C
            echo("Aborted!", err=True)
            context.exit(INTERRUPTED)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("--version", is_flag=True, help="Show the version and exit.")
@click.option("--verbose", is_flag=True, help="With --version: also what it runs on, for a report of a fault.")
@click.pass_context
def cli(context: click.Context, version: bool, verbose: bool) -> None:
    """Take an image classifier from images to a device, and prove that it arrived intact.

    \b
    bctk train --data PATH          images → a trained network in training/runs/
    bctk export --format onnx       the newest run → a checked bundle in exports/bundles/
    bctk bench --data PATH          the newest bundles → parity and latency in benchmarks/reports/

    Exit codes: 0 done, 1 an error of one line, 2 wrong usage, 3 the verdict failed, 130 interrupted. Every command
    takes --debug, which also prints where an error came from.
    """
    if verbose and not version:
        raise click.UsageError("--verbose goes with --version")
    if version:
        echo(f"bctk, version {__version__}")
        for line in _surroundings() if verbose else ():
            echo(line)
        context.exit()
    if context.invoked_subcommand is None:
        raise click.exceptions.NoArgsIsHelpError(context)


def _surroundings() -> list[str]:
    """What a report of a fault should say: system, CPU and packages, without any name of a user or a folder."""
    import platform

    from bctoolkit.system import cpu_features, cpu_name, usable_cpus, versions

    found = versions(*PACKAGES)
    python = f"Python {found.pop('python')} on {platform.system()} {platform.release()}, {platform.machine()}"
    cpu = f"{usable_cpus()} CPUs: {cpu_name()} ({' '.join(cpu_features()) or 'no extension that counts here'})"
    missing = [name for name in PACKAGES if name not in found]
    return [
        python,
        cpu,
        ", ".join(f"{name} {version}" for name, version in found.items()),
        f"without: {', '.join(missing)}",
    ]


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
    app,
    dossier.dossier,
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
    _escape_what_a_terminal_lacks()
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


def _escape_what_a_terminal_lacks() -> None:
    """Let a character that the output's encoding lacks be no error: the verdict is worth more than a Δ."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPED)


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
