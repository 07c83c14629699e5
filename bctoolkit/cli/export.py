"""`bctk export`."""

from pathlib import Path
from typing import Any

import click

from bctoolkit.cli.shared import quiet_engines, require_extras
from bctoolkit.formats import FORMATS, QUANTIZATIONS

__all__ = ["export"]


@click.command()
@click.argument("source", metavar="[RUN|FILE.keras]", required=False)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(list(FORMATS)),
    help="What to export to; repeatable. Default: onnx.",
)
@click.option(
    "--quantize",
    "quantizations",
    multiple=True,
    type=click.Choice([*QUANTIZATIONS, "all"]),
    help="Numeric form; repeatable. Default: fp32.",
)
@click.option(
    "--input",
    "dtype",
    type=click.Choice(["uint8", "float32"]),
    help="dtype of the input, values 0–255. Default: uint8.",
)
@click.option("--data", metavar="PATH", help="The network's images. Default: where the run found them.")
@click.option(
    "--golden", metavar="WHAT", help="'synthetic', or images of your own, where no test image may leave the lab."
)
@click.option("--recipe", default="default", show_default=True, help="A recipe's name, or a .toml file.")
@click.option(
    "--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Default: exports/bundles."
)
def export(
    source: str | None,
    formats: tuple[str, ...],
    quantizations: tuple[str, ...],
    dtype: str | None,
    data: str | None,
    golden: str | None,
    recipe: str,
    out: Path | None,
) -> None:
    """Export a run, or any Keras image classifier, to bundles that are checked before they are sealed.

    Without an argument: the newest run. Each artifact becomes a folder RUN-FORMAT-QUANTIZATION.

    \b
    Examples:
      bctk export --format onnx
      bctk export atto --format onnx --format tflite --quantize fp32 --quantize int8-dynamic
      bctk export model.keras --format tflite --data images/ --golden synthetic
    """
    from bctoolkit.recipes import read_export_recipe
    from bctoolkit.workspace import Workspace

    workspace = Workspace()
    kinds = tuple(QUANTIZATIONS) if "all" in quantizations else quantizations
    given: dict[str, Any] = {"formats": list(formats), "quantizations": list(kinds), "input": dtype}
    chosen = read_export_recipe(workspace.declared("exports", recipe), {k: v for k, v in given.items() if v})
    path = workspace.model(source)
    with quiet_engines() as progress:
        progress.step("starting TensorFlow", 0, 1)
        require_extras("export")
        from bctoolkit.export import export as run_export

        made = run_export(path, chosen, out or workspace.bundles, progress, data=data, golden=golden)
    for bundle in made:
        click.echo(bundle.path)
    click.echo("next: bctk bench" + (f" {out}/*" if out else ""))
