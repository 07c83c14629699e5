"""`bctk train`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bctoolkit.cli import options
from bctoolkit.cli.output import echo
from bctoolkit.cli.shared import quiet_engines, refuse_beside_resume, require_extras, stamp
from bctoolkit.errors import DatasetError, RecipeError
from bctoolkit.progress import duration

if TYPE_CHECKING:
    from bctoolkit.progress import Terminal
    from bctoolkit.recipes import TrainRecipe

__all__ = ["train"]


@click.command()
@click.option("--recipe", default="convnext_small", show_default=True, help="A recipe's name, or a .toml file.")
@click.option("--data", metavar="PATH", help="Class folders, .npz or .npy (docs/arrays.md), or 'synthetic'.")
@options.prepared
@options.group
@click.option(
    "--split",
    type=click.Choice(["own", "content"]),
    help="own, the default: as the set comes divided, where it does; content: by each image's content.",
)
@click.option("--name", help="The run's name. Default: the recipe's with the time.")
@click.option("--weights", metavar="WHAT", help="imagenet, none, a Keras weights file, or an earlier run.")
@click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="Override a value of the recipe; repeatable."
)
@click.option("--deterministic", is_flag=True, help="The same bits on every run on one machine; slower.")
@click.option(
    "--devices",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="GPUs of this machine that divide each batch among them.",
)
@click.option("--resume", is_flag=True, help="Continue an interrupted run: the one called --name, or the newest.")
@click.option("--dry-run", is_flag=True, help="Print the resolved recipe, what it trains, and how long it takes.")
@click.option(
    "--preview", type=click.Path(path_type=Path), metavar="PNG", help="Write a picture of what the model sees."
)
@click.pass_context
def train(
    context: click.Context,
    recipe: str,
    data: str | None,
    prepared: str | None,
    group: str | None,
    split: str | None,
    name: str | None,
    weights: str | None,
    settings: tuple[str, ...],
    deterministic: bool,
    devices: int,
    resume: bool,
    dry_run: bool,
    preview: Path | None,
) -> None:
    """Train a network; leaves model, recipe, history, split, test figures and plots in training/runs/NAME.

    Ctrl-C or a crash loses at most five minutes or an epoch: --resume continues, with the result of an unbroken run.

    \b
    Examples:
      bctk train --data images/
      bctk train --recipe convnext_atto --data images/ --set phases.0.epochs=8 --name atto
      bctk train --recipe convnext_atto --data crops/ --prepared "centre 200 of 360"
      bctk train --data slides/ --group "slide_[0-9]+"
      bctk train --data table.csv
      bctk train --weights none --set batch_size=16 --data set.npz
      bctk train --recipe convnext_atto --data images/ --preview look.png
      bctk train --resume --name atto
      bctk train --data images/ --devices 4 --set batch_size=128
    """
    from bctoolkit.documents.options import read_prepared
    from bctoolkit.recipes import read_train_recipe
    from bctoolkit.workspace import Workspace

    if name is not None and (not name or Path(name).name != name or name.startswith(".")):
        raise RecipeError(f"--name {name}: a run's name is one plain word, it becomes a folder in training/runs")
    if dry_run and preview:
        raise RecipeError("--dry-run and --preview: ask for one at a time")
    if preview and (preview.suffix.lower() != ".png" or not preview.parent.is_dir()):
        raise RecipeError(f"--preview {preview}: give a file that ends in .png, in a folder that exists")
    workspace = Workspace()
    if resume:
        refuse_beside_resume(context, ("name", "devices"), "the run")
        _train(workspace.unfinished_run(name), devices=devices)
        return
    path = workspace.declared("training", recipe)
    overrides = [f"weights={weights}"] if weights else []
    overrides += ["deterministic=true"] if deterministic else []
    overrides += [f"split.by={split}"] if split else []
    overrides += [f"split.group={json.dumps(group)}"] if group else []
    if prepared is not None:
        overrides += map("input.{}={}".format, ("crop", "picture"), read_prepared(prepared))
    resolved = read_train_recipe(path, (*settings, *overrides))
    source = data or workspace.default_data()
    if source is None:
        raise DatasetError(
            f"no images: {workspace.data} holds neither class folders nor one .npz; put them there, or say where they "
            "are with --data PATH (--data synthetic trains on drawn pictures)"
        )
    if preview:
        _preview(resolved, source, preview)
    elif dry_run:
        _dry_run(resolved, source, workspace.runs)
    else:
        _train(workspace.runs / (name or f"{path.stem}-{stamp()}"), resolved, source, devices)


def _train(target: Path, recipe: "TrainRecipe | None" = None, source: str = "", devices: int = 1) -> None:
    """Train, or without a recipe continue, and print the figures."""
    try:
        with _engines() as progress:
            from bctoolkit.train import pipeline

            if recipe is None:
                figures = pipeline.resume(target, progress, devices)
            else:
                figures = pipeline.train(recipe, source, target, progress, devices)
    except KeyboardInterrupt:
        from bctoolkit.files import unfinished

        if unfinished(target).exists():
            echo(f"interrupted; continue with: bctk train --resume --name {target.name}", err=True)
        raise
    from bctoolkit.rendering.groups import over_groups

    low, high = figures.accuracy_ci95
    echo(
        f"{target}: accuracy {figures.accuracy:.2%} on the {figures.count} images of the test part "
        f"(95 % interval {low:.2%}–{high:.2%}{over_groups(figures.groups)}), macro-F1 {figures.macro_f1:.4f}, "
        f"ECE {figures.ece:.4f}"
    )
    echo(f"next: bctk export {target.name} --format onnx")


def _preview(recipe: "TrainRecipe", source: str, picture: Path) -> None:
    """Draw what the network would see."""
    with _engines() as progress:
        from bctoolkit.train import preview

        preview(recipe, source, picture, progress)
    echo(f"{picture}: one row per class, the image as it is and augmented twelve times")


def _dry_run(recipe: "TrainRecipe", source: str, runs: Path) -> None:
    """Print what the recipe would do."""
    from bctoolkit.documents import to_toml

    with _engines() as progress:
        from bctoolkit.train import dry_run

        plans = dry_run(recipe, source, runs, progress)
    for line in to_toml(recipe).decode().split("\n"):
        echo(line)
    for phase in plans:
        echo(
            f"# phase {phase.name}: {phase.epochs} epochs of {phase.steps} steps, {phase.trainable:,} trainable "
            f"parameters, about {duration(phase.seconds)}"
        )
    echo(f"# all phases: about {duration(sum(phase.seconds for phase in plans))} on this machine")


@contextmanager
def _engines() -> Iterator["Terminal"]:
    with quiet_engines() as progress:
        require_extras("train")
        yield progress
