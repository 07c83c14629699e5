"""`bctk vectors`: bundles → files, arrays and answers that another implementation is held against."""

from pathlib import Path

import click

from bctoolkit.cli.device.options import time_limit_option
from bctoolkit.cli.output import echo
from bctoolkit.cli.shared import quiet_engines
from bctoolkit.cli.signing import trusted_keys
from bctoolkit.supervision.time_limit import time_limit

__all__ = ["vectors"]


@click.command()
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="The folder to make."
)
@trusted_keys
@time_limit_option
def vectors(bundles: tuple[Path, ...], out: Path, trusted: tuple[Path, ...], seconds: int) -> None:
    """Write conformance vectors: image files, the arrays they become, and what bundles answer to them.

    Whoever prepares pictures in another language holds the code against them: 64 JPEG and PNG files of all kinds, some
    of which have to be refused. Several bundles share a folder where they have the same contract and labels.

    \b
    Examples:
      bctk vectors exports/bundles/atto-onnx-fp32 --out vectors/
      bctk vectors exports/bundles/atto-* --out vectors/
      bctk verify exports/bundles/atto-onnx-fp32 --vectors vectors/
    """
    from bctoolkit.bundle import read
    from bctoolkit.runtime import load
    from bctoolkit.vectors import write

    opened = [read(path, trusted or None) for path in bundles]
    with quiet_engines():
        subjects = []
        for bundle in opened:
            with time_limit(seconds):
                subjects.append((bundle, load(bundle.path, threads=1, trusted_keys=trusted or None)))
        with time_limit(seconds):
            written = write(subjects, out)
    echo(f"{out}: {len(written.cases)} files, {len(written.cases) - written.count} of them to be refused")
    echo(f"next: bctk verify {bundles[0]} --vectors {out}")
