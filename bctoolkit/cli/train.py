"""`bctk train`."""

from pathlib import Path

import click

from bctoolkit.cli.shared import quiet_engines, require_extras, stamp

__all__ = ["train"]


@click.command()
@click.option("--recipe", default="convnext_small", show_default=True, help="A recipe's name, or a .toml file.")
@click.option("--data", metavar="PATH", help="Folder of class folders, .npz, or 'synthetic'. Default: training/data.")
@click.option("--name", help="The run's name. Default: the recipe's with the time.")
@click.option("--weights", metavar="WHAT", help="imagenet, none, a Keras weights file, or an earlier run.")
@click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="Override a value of the recipe; repeatable."
)
def train(recipe: str, data: str | None, name: str | None, weights: str | None, settings: tuple[str, ...]) -> None:
    """Train a network; leaves model, recipe, history, split, test figures and plots in training/runs/NAME.

    \b
    Examples:
      bctk train --data images/
      bctk train --recipe convnext_atto --data images/ --set phases.0.epochs=8 --name atto
      bctk train --weights none --set batch_size=16 --data set.npz
    """
    from bctoolkit.errors import DatasetError, RecipeError
    from bctoolkit.recipes import read_train_recipe
    from bctoolkit.workspace import Workspace

    if name is not None and (Path(name).name != name or name.startswith(".")):
        raise RecipeError(f"--name {name}: a run's name is one plain word, it becomes a folder in training/runs")
    workspace = Workspace()
    path = workspace.declared("training", recipe)
    chosen = read_train_recipe(path, (*settings, *([f"weights={weights}"] if weights else [])))
    source = data or workspace.default_data()
    if source is None:
        raise DatasetError(
            f"no images: {workspace.data} holds neither class folders nor one .npz; put them there, or say where they "
            "are with --data PATH (--data synthetic trains on drawn pictures)"
        )
    target = workspace.runs / (name or f"{path.stem}-{stamp()}")
    with quiet_engines() as progress:
        progress.step("starting TensorFlow", 0, 1)
        require_extras("train")
        from bctoolkit.train import train as run_training

        figures = run_training(chosen, source, target, progress)
    low, high = figures.accuracy_ci95
    click.echo(
        f"{target}: accuracy {figures.accuracy:.2%} on the {figures.count} images of the test part "
        f"(95 % interval {low:.2%}–{high:.2%}), macro-F1 {figures.macro_f1:.4f}, ECE {figures.ece:.4f}"
    )
    click.echo(f"next: bctk export {target.name} --format onnx")
