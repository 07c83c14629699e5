"""`bctk data`: inspect a set of images, clean it, and fetch a public one."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bctoolkit.cli import options
from bctoolkit.cli.output import echo, echo_json, print_table
from bctoolkit.cli.shared import require_extras
from bctoolkit.progress import Terminal

if TYPE_CHECKING:
    from bctoolkit.data.quality.inspect import Inspection

__all__ = ["data"]

HTML_HELP = "Also write a page that shows what was flagged and why."


@click.group()
def data() -> None:
    """Look at a set of images before it is trained on, clean it, or fetch a public one."""


@data.command()
@click.argument("path")
@click.option("--json", "as_json", is_flag=True, help="One JSON document with every finding.")
@click.option("--html", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help=HTML_HELP)
@options.white
def inspect(path: str, as_json: bool, html: Path | None, white: int | None) -> None:
    """Report what a set of images holds and what in it is suspicious; changes nothing.

    PATH is a folder of class folders, an .npz or .npy (docs/arrays.md), or 'synthetic'. Reported are
    counts, sizes, colour and sharpness by class, unreadable files, copies (also under different labels), pictures
    repeated many times, and pictures like no other of the set.

    \b
    Examples:
      bctk data inspect images/
      bctk data inspect set.npz --html inspection.html
      bctk data inspect images/ --json > inspection.json
    """
    require_extras("data")
    from bctoolkit.data.quality.contact_sheet import write_contact_sheet
    from bctoolkit.data.quality.inspect import inspect as run_inspection
    from bctoolkit.documents import to_json

    inspection = run_inspection(path, Terminal(), white)
    if html is not None:
        write_contact_sheet(inspection, html)
    if as_json:
        echo_json(to_json(inspection).decode())
        return
    show(inspection)
    if html is not None:
        echo(f"page: {html}")
    if inspection.flagged:
        echo(
            f"next: bctk data clean {shlex.quote(path)} --out DIR"
            + ("" if html else f", or look: bctk data inspect {shlex.quote(path)} --html FILE")
        )


@data.command()
@click.argument("path")
@click.option(
    "--out", required=True, metavar="DIR|FILE.npz", type=click.Path(path_type=Path), help="What to make; never PATH."
)
@click.option("--keep", metavar="REASON", multiple=True, help="Flag, but do not leave out; repeatable.")
@click.option("--drop", metavar="REASON", multiple=True, help="Leave out besides the default reasons; repeatable.")
@click.option("--html", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help=HTML_HELP)
@options.white
def clean(
    path: str, out: Path, keep: tuple[str, ...], drop: tuple[str, ...], html: Path | None, white: int | None
) -> None:
    """Write a set again without what does not belong there; PATH itself is not changed.

    Left out are images flagged as unreadable, repeated, foreign, label-conflict (the same picture under
    different labels) and duplicate (all but the first). near-duplicate and odd-size stay unless --drop names them.
    A manifest records what was left out and why. Files are copied byte for byte.

    \b
    Examples:
      bctk data clean images/ --out cleaned/
      bctk data clean images/ --out cleaned/ --drop near-duplicate --keep foreign --html inspection.html
      bctk data clean images/ --out cleaned.npz
    """
    require_extras("data")
    from bctoolkit.data.quality.clean import clean as run_cleaning
    from bctoolkit.data.quality.contact_sheet import write_contact_sheet

    manifest, inspection = run_cleaning(path, out, keep, drop, Terminal(), white)
    if html is not None:
        write_contact_sheet(inspection, html)
    removed, remaining = len(manifest.removed), sum(manifest.counts_after.values())
    reasons = _counts(manifest.removed_by_reason) or "nothing to leave out"
    echo(f"{out}: {remaining:,} images kept, {removed:,} left out: {reasons}")
    if manifest.flagged_but_kept:
        echo(f"flagged but kept: {_counts(manifest.flagged_but_kept)}")
    if html is not None:
        echo(f"page: {html}")
    echo(f"next: bctk train --data {shlex.quote(str(out))}")


@data.command()
@click.argument("name", type=click.Choice(["bloodmnist"]))
@click.option(
    "--size",
    type=click.Choice(["28", "64", "128", "224"]),
    default="128",
    show_default=True,
    help="Height and width of the images in pixels.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the file. Default: training/data.")
@click.option("--mirror", metavar="URL", help="Another web folder with the same files, instead of the publisher's.")
def fetch(name: str, size: str, out: Path | None, mirror: str | None) -> None:
    """Download a public data set; prints its licence and whom to cite.

    A broken download continues where it ended when the command is run again. The file is compared with the published
    checksum before it gets its name.

    \b
    Examples:
      bctk data fetch bloodmnist --size 128
      bctk data fetch bloodmnist --size 28 --out images/ --mirror https://mirror.example.org/medmnist
    """
    from bctoolkit.data.sources import download
    from bctoolkit.workspace import Workspace

    release = download.SETS[name]
    file = download.fetch(release, int(size), out or Workspace().data, Terminal(), mirror)
    echo(f"{file}: {len(release.classes)} classes ({', '.join(release.classes)}), checksum as published")
    echo(f"licence: {release.licence}")
    for citation in release.citations:
        echo(f"cite: {citation}")
    echo(f"next: bctk train --data {shlex.quote(str(file))}")


def _counts(images: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in images.items())


def show(inspection: "Inspection") -> None:
    """Print the classes, what was flagged, and what is unusual about the set as a whole."""
    from bctoolkit.data.quality.tables import classes_table, flagged_table

    print_table(classes_table(inspection))
    echo()
    sizes = ", ".join(f"{size.width}×{size.height} ({size.count:,})" for size in inspection.sizes[:6])
    more = f" and {len(inspection.sizes) - 6} more" if len(inspection.sizes) > 6 else ""
    modes = ", ".join(f"{mode} ({count:,})" for mode, count in inspection.modes.items())
    echo(f"{inspection.count:,} images, {inspection.pictures:,} different pictures; sizes {sizes}{more}; modes {modes}")
    if inspection.flagged:
        echo()
        print_table(flagged_table(inspection))
    else:
        echo("nothing is suspicious")
    for note in inspection.notes:
        echo(f"note: {note}")
