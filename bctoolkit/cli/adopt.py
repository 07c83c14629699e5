"""`bctk adopt`."""

from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from bctoolkit.cli import options
from bctoolkit.cli.output import echo
from bctoolkit.cli.shared import quiet_engines, require_extras
from bctoolkit.cli.signing import Signer, signing_key
from bctoolkit.documents import Document, parse
from bctoolkit.documents.formats import QUANTIZATIONS
from bctoolkit.documents.preprocessing import Channels, Head
from bctoolkit.errors import RecipeError

__all__ = ["adopt"]

D = TypeVar("D", bound=Document)


@click.command()
@click.argument("file", metavar="FILE.onnx|FILE.tflite", type=click.Path(path_type=Path))
@click.option(
    "--reference",
    required=True,
    metavar="RUN|FILE",
    help="What the file has to answer like: a run, a .keras or .h5 file, or the float .onnx it was made from.",
)
@options.own_data
@options.group
@options.scale
@options.channels
@options.size
@options.white
@options.prepared
@click.option(
    "--reference-scale", metavar="PRESET|F,O", help="As --scale, of the reference. Default: none; of an .onnx --scale."
)
@options.labels
@options.output
@options.head
@click.option("--reference-output", metavar="NAME", help="As --output, of the reference.")
@click.option("--reference-head", type=click.Choice(get_args(Head)), help="As --head, of the reference.")
@click.option("--reference-channels", type=click.Choice(get_args(Channels)), help="As --channels, of the reference.")
@options.imports
@options.trust_lambda
@click.option(
    "--quantization",
    type=click.Choice(list(QUANTIZATIONS)),
    help="Whose limits hold, where the file's operators do not show it.",
)
@options.golden
@options.licence
@click.option("--name", help="First part of the bundle's name. Default: the file's.")
@signing_key
@options.to_bundles
def adopt(
    file: Path,
    reference: str,
    data: str | None,
    group: str | None,
    scale: str | None,
    channels: str | None,
    size: str | None,
    white: int | None,
    prepared: str | None,
    reference_scale: str | None,
    labels: str | None,
    output: str | None,
    head: str | None,
    reference_output: str | None,
    reference_head: str | None,
    reference_channels: str | None,
    imports: tuple[str, ...],
    trust_lambda: bool,
    quantization: str | None,
    golden: str | None,
    licence: str | None,
    name: str | None,
    sign: Path | None,
    out: Path | None,
) -> None:
    """Seal a model file made elsewhere in a bundle, checked like our own exports.

    What the file lacks is written into it: it then takes uint8 images and returns probabilities. It has to answer
    like its reference, and in integers as accurately. What the file does not tell is asked for, option by option.

    \b
    Examples:
      bctk adopt torch.onnx --reference atto --scale imagenet
      bctk adopt vendor-int8.tflite --reference model.keras --data images/ --labels cat,dog
      bctk adopt int8.onnx --reference float.onnx --data images/ --scale imagenet --labels labels.txt
    """
    from bctoolkit.documents.options import read_labels, read_prepared, read_scale, read_size
    from bctoolkit.documents.preprocessing import InputSettings, OutputSettings
    from bctoolkit.recipes import ExportRecipe
    from bctoolkit.trust import LoadOptions
    from bctoolkit.workspace import Workspace

    workspace = Workspace()
    stated = {
        "scale": None if scale is None else read_scale(scale),
        "channels": channels,
        "size": None if size is None else read_size(size),
        "white": white,
        "prepared": None if prepared is None else read_prepared(prepared),
    }
    outputs = {"name": output or "", "head": head, "labels": () if labels is None else read_labels(labels)}
    fed = {
        "scale": None if reference_scale is None else read_scale(reference_scale, "--reference-scale"),
        "channels": reference_channels,
    }
    path = Path(reference) if reference.endswith((".onnx", ".tflite")) else workspace.model(reference)
    signer = Signer(sign)
    with quiet_engines() as progress:
        require_extras("export")
        from bctoolkit.export.adoption.pipeline import Adoption
        from bctoolkit.export.adoption.pipeline import adopt as run_adoption

        adoption = Adoption(
            file,
            path,
            settings(InputSettings, stated),
            settings(OutputSettings, outputs),
            settings(InputSettings, fed) if any(fed.values()) else None,
            settings(OutputSettings, {"name": reference_output, "head": reference_head}),
            LoadOptions(imports, trust_lambda),
            quantization,
            name,
        )
        bundle = run_adoption(
            adoption,
            out or workspace.bundles,
            progress,
            data=data,
            golden=golden,
            recipe=ExportRecipe(licence=licence or "", group=group or ""),
            cache=workspace.prediction_cache,
        )
    signer.sign(bundle.path)
    echo(bundle.path)
    echo("next: bctk bench" + (f" {out}/*" if out else ""))


def settings(kind: type[D], options: dict[str, Any]) -> D:
    """A document made of options."""
    return parse(kind, {key: value for key, value in options.items() if value is not None}, "bctk adopt", RecipeError)
