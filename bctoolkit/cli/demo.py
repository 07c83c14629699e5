"""`bctk demo`."""

from pathlib import Path

import click

from bctoolkit.cli.output import echo, print_report
from bctoolkit.cli.shared import quiet_engines, require_extras, stamp

__all__ = ["demo"]

ROUNDS = 5
"""More than a quick look has: ratios of a busy machine need them."""
NEXT = (
    "bctk train --data images/ --recipe convnext_atto",
    "bctk export --format onnx --format tflite --quantize all",
    "bctk bench --data images/",
)


@click.command()
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="The workspace to fill. Default: this folder.",
)
def demo(out: Path | None) -> None:
    """Go the whole way once on SYNTHETIC pictures: train, export four bundles, measure them.

    Takes a few minutes on two CPU cores. The figures show that the way works; they say nothing about real cells.

    \b
    Example:  bctk demo
    """
    from msgspec.structs import replace

    from bctoolkit.bench.pipeline import bench
    from bctoolkit.cli.benchmarks.options import settings_for
    from bctoolkit.documents.formats import FORMATS
    from bctoolkit.recipes import ExportRecipe, read_train_recipe
    from bctoolkit.workspace import Workspace

    workspace, name = Workspace(out), f"demo-{stamp()}"
    recipe = read_train_recipe(workspace.declared("training", "demo"))
    wanted = ExportRecipe(formats=tuple(FORMATS), quantizations=("fp32", "int8-dynamic"))
    target = workspace.reports / name
    with quiet_engines() as progress:
        require_extras("train", "export", "bench")
        from bctoolkit.export import export
        from bctoolkit.train import train

        progress.say("1/3 train convnext_atto on synthetic pictures (drawn, not cells)")
        figures = train(recipe, "synthetic", workspace.runs / name, progress)
        progress.say(f"  accuracy {figures.accuracy:.2%} on {figures.count} synthetic test pictures")
        progress.say("2/3 export to ONNX and TFLite, each checked against Keras before it is sealed")
        made = export(workspace.runs / name, wanted, workspace.bundles, progress)
        progress.say("3/3 measure the bundles in rounds, each session in a fresh process")
        settings = replace(settings_for("quick"), sessions=ROUNDS)
        report = bench([bundle.path for bundle in made], settings, target, progress, data="synthetic")
    print_report(report)
    echo(f"report: {target / 'report.html'}")
    echo(
        f"shown: one network, trained here, in {len(report.results)} bundles that answer as Keras does, and what each "
        "costs; drawn pictures, so the accuracy says nothing about real cells"
    )
    echo("next, with your own images, a folder for each class:")
    for line in NEXT:
        echo(f"  {line}")
