"""`bctk export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from bctoolkit.cli import options
from bctoolkit.cli.output import echo
from bctoolkit.cli.shared import quiet_engines, require_extras
from bctoolkit.cli.signing import Signer, signing_key
from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS
from bctoolkit.documents.quantization import Method
from bctoolkit.errors import FormsRefused
from bctoolkit.progress import duration

if TYPE_CHECKING:
    from bctoolkit.recipes import ExportRecipe

__all__ = ["export"]

BY_NAME = ", ".join(name for name, form in QUANTIZATIONS.items() if form.by_name)


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
    help=f"Numeric form; repeatable; all: each that a format has but {BY_NAME}. Default: fp32.",
)
@click.option(
    "--keep-float",
    multiple=True,
    metavar="PATTERN",
    help="Layers that integer forms compute in float, such as 'stage_0_*'; repeatable.",
)
@click.option("--calibrate", type=click.Choice(get_args(Method)), help="How int8 ranges are set. Default: minmax.")
@click.option("--opset", type=click.IntRange(min=1), help="Version of ONNX's operators. Default: the exporter's own.")
@click.option(
    "--input",
    "dtype",
    type=click.Choice(["uint8", "float32"]),
    help="dtype of the input, values 0–255. Default: uint8.",
)
@options.scale
@options.channels
@options.size
@options.white
@options.prepared
@options.output
@options.head
@options.labels
@options.imports
@options.trust_lambda
@options.own_data
@options.group
@options.golden
@options.licence
@click.option(
    "--coverage",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="Share of validation images whose answers the bundle's acceptance rule lets pass. Default: 0.95.",
)
@click.option("--no-reference", is_flag=True, help="Leave out the reference's predictions on the whole test part.")
@click.option("--bisect", is_flag=True, help="Trace a failed check to the first layer whose output departs.")
@click.option("--force", is_flag=True, help="Export every artifact anew, even where no input has changed.")
@click.option("--recipe", default="default", show_default=True, help="A recipe's name, or a .toml file.")
@click.option("--dry-run", is_flag=True, help="Only say what would be made, and its size, time, memory and disk.")
@signing_key
@options.to_bundles
def export(
    source: str | None,
    formats: tuple[str, ...],
    quantizations: tuple[str, ...],
    keep_float: tuple[str, ...],
    calibrate: str | None,
    opset: int | None,
    dtype: str | None,
    scale: str | None,
    channels: str | None,
    size: str | None,
    white: int | None,
    prepared: str | None,
    output: str | None,
    head: str | None,
    labels: str | None,
    imports: tuple[str, ...],
    trust_lambda: bool,
    data: str | None,
    group: str | None,
    golden: str | None,
    licence: str | None,
    coverage: float | None,
    no_reference: bool,
    bisect: bool,
    force: bool,
    recipe: str,
    dry_run: bool,
    sign: Path | None,
    out: Path | None,
) -> None:
    """Export a run, or any Keras image classifier, to bundles that are checked before they are sealed.

    Without an argument: the newest run. Each artifact becomes a folder RUN-FORMAT-QUANTIZATION; a bundle
    whose inputs have not changed is reused.

    \b
    Examples:
      bctk export --format onnx
      bctk export atto --format onnx --format tflite --quantize fp32 --quantize int8-dynamic
      bctk export atto --format onnx --format tflite --quantize all
      bctk export atto --quantize int8 --calibrate percentile --keep-float 'stage_0_*'
      bctk export atto --format onnx --quantize all --dry-run
      bctk export model.keras --format tflite --data images/ --golden synthetic
      bctk export model.keras --scale imagenet --labels labels.txt --data images/
      bctk export model.keras --scale=1/127.5,-1 --channels bgr --size 96x128 --data images/
    """
    from bctoolkit.documents.options import read_labels, read_prepared, read_scale, read_size
    from bctoolkit.recipes import read_export_recipe
    from bctoolkit.trust import LoadOptions
    from bctoolkit.workspace import Workspace

    workspace = Workspace()
    stated = {
        "formats": list(formats),
        "quantizations": list(quantizations),
        "keep_float": list(keep_float),
        "calibration": {"method": calibrate},
        "opset": opset,
        "input": {
            "dtype": dtype,
            "scale": None if scale is None else read_scale(scale),
            "channels": channels,
            "size": None if size is None else read_size(size),
            "white": white,
            "prepared": None if prepared is None else read_prepared(prepared),
        },
        "output": {"name": output, "head": head, "labels": None if labels is None else read_labels(labels)},
        "licence": licence,
        "coverage": coverage,
        "reference": False if no_reference else None,
        "group": group,
    }
    declared = read_export_recipe(workspace.declared("exports", recipe), _stated(stated))
    path = workspace.model(source)
    trust = LoadOptions(imports, trust_lambda)
    if dry_run:
        _dry_run(path, declared, out or workspace.bundles, data=data, golden=golden, options=trust, force=force)
        return
    signer = Signer(sign)
    with quiet_engines() as progress:
        require_extras("export")
        from bctoolkit.export import export

        try:
            bundles = export(
                path,
                declared,
                out or workspace.bundles,
                progress,
                data=data,
                golden=golden,
                options=trust,
                cache=workspace.prediction_cache,
                force=force,
                bisect=bisect,
            )
        except FormsRefused as refused:
            for bundle in refused.bundles:
                signer.sign(bundle.path)
                echo(bundle.path)
            *others, last = refused.refusals
            for refusal in others:
                echo(f"error: {refusal}", err=True)
            raise last from None
    for bundle in bundles:
        signer.sign(bundle.path)
        echo(bundle.path)
    echo("next: bctk bench" + (f" {out}/*" if out else ""))


def _dry_run(path: Path, recipe: "ExportRecipe", target: Path, **options: Any) -> None:
    """Print what the export would take."""
    with quiet_engines() as progress:
        require_extras("export")
        from bctoolkit.export import dry_run

        plan = dry_run(path, recipe, target, progress, **options)
    if plan is None:
        echo("nothing to make")
        return
    width = max(len(bundle.name) for bundle in plan.bundles)
    for bundle in plan.bundles:
        echo(f"{bundle.name:{width}}  {bundle.bytes / 1e6:7.1f} MB  about {duration(bundle.seconds)}")
    echo(
        f"all: about {duration(plan.seconds)} on this machine, up to {plan.memory / 1e9:.1f} GB of memory, "
        f"{plan.bytes / 1e6:.1f} MB in {target} ({plan.free / 1e9:.1f} GB free)"
    )
    if plan.searched:
        echo("an integer form that is not good enough as it is takes some minutes more: its layers are ranked")


def _stated(options: dict[str, Any]) -> dict[str, Any]:
    """Of options and tables of options those that stand on the command line."""
    inner = {key: _stated(value) if isinstance(value, dict) else value for key, value in options.items()}
    return {key: value for key, value in inner.items() if value not in (None, [], {}, "")}
