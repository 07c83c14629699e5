"""`bctk app web`: a bundle → a page that runs it in a browser."""

from pathlib import Path

import click

from bctoolkit.cli.output import echo
from bctoolkit.cli.shared import require_extras
from bctoolkit.cli.signing import trusted_keys

__all__ = ["web"]


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--out", required=True, metavar="DIR", help="The folder to write.", type=click.Path(path_type=Path))
@click.option(
    "--form",
    type=click.Choice(["folder", "single-file"]),
    default="folder",
    show_default=True,
    help="A folder for any static host, or one index.html that also opens from a disk.",
)
@click.option(
    "--engine-files",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Take the engine from this unpacked npm package or node_modules; by default npm fetches it once.",
)
@click.option("--webgpu", is_flag=True, help="Let the page offer the graphics processor, off until it is ticked.")
@trusted_keys
def web(bundle: Path, out: Path, form: str, engine_files: Path | None, webgpu: bool, trusted: tuple[Path, ...]) -> None:
    """Write a page that runs a bundle in a browser: the very files of the bundle, and an engine in WebAssembly.

    The page checks every hash, with --trusted also the signature, asks golden images before the first answer, and
    prepares pictures as `bctk predict` does. No picture leaves it, and it loads nothing from elsewhere.

    \b
    Example:  bctk app web exports/bundles/atto-onnx-fp32 --out page --trusted keys/lab.pub.pem
    """
    if trusted:
        require_extras("sign")
    from bctoolkit import bundle as bundles
    from bctoolkit.app.web import FORMS, Packages, write_page
    from bctoolkit.progress import Terminal
    from bctoolkit.signing import read_public_keys

    chosen = next(each for each in FORMS if each == form)
    opened = bundles.read(bundle, trusted or None)
    keys = read_public_keys(trusted) if trusted else ()
    write_page(opened, out, chosen, Packages(engine_files, Terminal()), keys, webgpu)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    hint = "open index.html" if form == "single-file" else "serve it over https, or on localhost"
    echo(f"{out}: {size:.1f} MB; {hint}")
