"""`bctk adopt`."""

from pathlib import Path
from typing import Any, TypeVar

import click

from bctoolkit.cli.shared import quiet_engines, require_extras
from bctoolkit.cli.signing import Signer, signing_key
from bctoolkit.documents import Document, parse
from bctoolkit.documents.formats import QUANTIZATIONS
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
@click.option("--data", metavar="PATH", help="The network's images. Default: those of the run.")
@click.option(
    "--scale",
    metavar="PRESET|F,O",
    help="What the file makes of pixels 0–255: none, 0-1, -1-1, imagenet, caffe, or FACTOR,OFFSET.",
)
@click.option("--channels", type=click.Choice(["rgb", "bgr", "grey"]), help="Order of colours that the file takes.")
@click.option("--size", metavar="N|HxW", help="Height and width, where the file leaves them open.")
@click.option(
    "--reference-scale", metavar="PRESET|F,O", help="As --scale, of the reference. Default: none; of an .onnx --scale."
)
@click.option("--labels", metavar="FILE|A,B,C", help="The classes in the order of the outputs. Default: the run's.")
@click.option("--output", metavar="NAME", help="The output that holds the classes, where there are several.")
@click.option(
    "--head",
    type=click.Choice(["none", "softmax", "sigmoid"]),
    help="What the output lacks to be probabilities. Default: seen on the images.",
)
@click.option("--reference-output", metavar="NAME", help="As --output, of the reference.")
@click.option(
    "--reference-head", type=click.Choice(["none", "softmax", "sigmoid"]), help="As --head, of the reference."
)
@click.option(
    "--reference-channels", type=click.Choice(["rgb", "bgr", "grey"]), help="As --channels, of the reference."
)
@click.option(
    "--import",
    "imports",
    multiple=True,
    metavar="MODULE",
    help="Run this module, by name or .py file, for the classes that a Keras reference names; repeatable.",
)
@click.option("--trust-lambda", is_flag=True, help="Run the Python code inside a Keras reference: its Lambda layers.")
@click.option(
    "--quantization",
    type=click.Choice(list(QUANTIZATIONS)),
    help="Whose limits hold, where the file's operators do not show it.",
)
@click.option("--golden", metavar="WHAT", help="Golden images to ship instead of test images: 'synthetic' or a folder.")
@click.option("--licence", metavar="TEXT", help="Of the network's images; stored as by `bctk export`.")
@click.option("--name", help="First part of the bundle's name. Default: the file's.")
@signing_key
@click.option(
    "--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Default: exports/bundles."
)
def adopt(
    file: Path,
    reference: str,
    data: str | None,
    scale: str | None,
    channels: str | None,
    size: str | None,
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
    from bctoolkit.documents.options import read_labels, read_scale, read_size
    from bctoolkit.documents.preprocessing import InputSettings, OutputSettings
    from bctoolkit.recipes import ExportRecipe
    from bctoolkit.trust import LoadOptions
    from bctoolkit.workspace import Workspace

    workspace = Workspace()
    stated = {
        "scale": None if scale is None else read_scale(scale),
        "channels": channels,
        "size": None if size is None else read_size(size),
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
            recipe=ExportRecipe(licence=licence or ""),
            cache=workspace.prediction_cache,
        )
    signer.sign(bundle.path)
    click.echo(bundle.path)
    click.echo("next: bctk bench" + (f" {out}/*" if out else ""))


def settings(kind: type[D], options: dict[str, Any]) -> D:
    """A document made of options."""
    return parse(kind, {key: value for key, value in options.items() if value is not None}, "bctk adopt", RecipeError)
