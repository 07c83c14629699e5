"""`bctk evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from bctoolkit.cli import options
from bctoolkit.cli.output import echo, echo_json, print_table
from bctoolkit.cli.shared import quiet_engines, require_extras
from bctoolkit.cli.signing import trusted_keys

if TYPE_CHECKING:
    from bctoolkit.evaluate.report import Evaluation

__all__ = ["evaluate"]


@click.command()
@click.argument("subject", metavar="RUN|BUNDLE")
@click.option(
    "--data", required=True, metavar="PATH", help="Class folders, .npz or .npy (docs/arrays.md), or 'synthetic'."
)
@click.option(
    "--part",
    type=click.Choice(["test", "validation", "train", "all"]),
    default="test",
    show_default=True,
    help="Which of the images, by the run's own split; a bundle records its test part only.",
)
@click.option("--corruptions", is_flag=True, help="Also measure under every corruption of docs/corruptions.md.")
@click.option(
    "--map",
    "site_map",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A .toml that says which of the set's classes is which of the network's.",
)
@click.option(
    "--map-template",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write such a file to be filled in, and measure nothing.",
)
@options.group
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N of the images, for a quick look.")
@click.option(
    "--foreign",
    metavar="PATH",
    help="Pictures of which none belongs to a class, in one folder or one a kind: how many the bundle accepts.",
)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write evaluation.json, evaluation.html and pictures there. Default: nothing is written.",
)
@trusted_keys
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def evaluate(
    subject: str,
    data: str,
    part: Literal["test", "validation", "train", "all"],
    corruptions: bool,
    site_map: Path | None,
    map_template: Path | None,
    group: str | None,
    limit: int | None,
    foreign: str | None,
    out: Path | None,
    trusted: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Measure a run or a bundle on labelled images: accuracy, per-class metrics, calibration, robustness.

    Images are matched with the run's split, or the bundle's test part, by their content. Where none of them is
    recorded there, all are taken, and the output says so.

    Of a bundle with an acceptance rule it is said first whether the images look like those it was validated on, and
    which share of its answers is accepted.

    \b
    Examples:
      bctk evaluate atto --data images/
      bctk evaluate atto --data images/ --part validation --corruptions --out report/
      bctk evaluate exports/bundles/atto-onnx-int8-dynamic --data images/ --json
      bctk evaluate exports/bundles/atto-onnx-fp32 --data other-site/ --foreign photographs/
      bctk evaluate atto --data other-site/ --map-template map.toml
      bctk evaluate atto --data other-site/ --map map.toml --out report/
    """
    from bctoolkit.documents import to_json
    from bctoolkit.evaluate.subject import is_run, locate
    from bctoolkit.workspace import Workspace

    path = locate(Workspace(), subject)
    require_extras("bench", *(["train"] if is_run(path) else []))
    if map_template is not None:
        _write_template(map_template, path, data)
        return
    with quiet_engines() as progress:
        progress.step("opening the model", 0, 1)
        from bctoolkit.evaluate import evaluate as run_evaluation

        evaluation = run_evaluation(
            path,
            data,
            progress,
            part=part,
            corruptions=corruptions,
            group=group or "",
            site_map=site_map,
            limit=limit,
            foreign=foreign,
            target=out,
            trusted_keys=trusted or None,
        )
    if as_json:
        echo_json(to_json(evaluation).decode())
        return
    show(evaluation)
    if out is not None:
        echo(f"page: {out / 'evaluation.html'}")


def _write_template(target: Path, subject: Path, data: str) -> None:
    """Write a map of the set's classes to be filled in."""
    from bctoolkit import bundle, run
    from bctoolkit.data.sources.collection import open_collection
    from bctoolkit.evaluate.site_map import write_template
    from bctoolkit.evaluate.subject import is_run

    labels = run.read(subject).labels if is_run(subject) else bundle.read(subject).manifest.labels
    write_template(target, open_collection(data).classes, labels)
    echo(f"{target}: fill it in, then evaluate with --map {target}")


def show(evaluation: "Evaluation") -> None:
    """Print the figures as tables."""
    from bctoolkit.evaluate.tables import (
        classes_table,
        corruptions_table,
        home_table,
        macro_line,
        site_lines,
        unreadable_line,
    )
    from bctoolkit.rendering.acceptance import site_line
    from bctoolkit.rendering.groups import over_groups

    low, high = evaluation.accuracy_ci95
    echo(
        f"{evaluation.subject}: a {evaluation.kind} on {evaluation.count} {evaluation.images} images "
        f"of {evaluation.source}"
    )
    echo(f"images: {evaluation.selection}")
    if evaluation.unreadable:
        echo(unreadable_line(evaluation))
    if evaluation.site is not None:
        echo(site_line(evaluation.site))
    for line in filter(None, (macro_line(evaluation), *site_lines(evaluation))):
        echo(line)
    echo(f"accuracy {evaluation.accuracy:.2%} (95 % interval {low:.2%}–{high:.2%}{over_groups(evaluation.groups)})")
    echo(f"macro-F1 {evaluation.macro_f1:.4f}, ECE {evaluation.ece:.4f}")
    _show_acceptance(evaluation)
    print_table(classes_table(evaluation))
    if evaluation.home is not None:
        echo()
        print_table(home_table(evaluation))
    if evaluation.corruptions is not None:
        echo()
        print_table(corruptions_table(evaluation))
        echo(_summary(evaluation))


def _show_acceptance(evaluation: "Evaluation") -> None:
    """Print what is accepted, of these images and of foreign pictures, and what refusing the least sure would gain."""
    from bctoolkit.rendering.acceptance import accepted_line, curve_line, foreign_line, kinds_table

    if evaluation.accepted is not None:
        echo(accepted_line(evaluation.accepted))
    echo(curve_line(evaluation.risk_coverage))
    echo()
    if evaluation.foreign is not None:
        echo(foreign_line(evaluation.foreign))
        if evaluation.foreign.kinds:
            print_table(kinds_table(evaluation.foreign))
        echo()


def _summary(evaluation: "Evaluation") -> str:
    """The corruption suite in one line."""
    from bctoolkit.data.corruptions.suite import display_name

    worst = evaluation.corruption_worst
    lowest = "" if worst is None else f"; worst at middle severity: {display_name(worst.name)} {worst.accuracy:.2%}"
    return (
        f"\nunder corruptions (suite {evaluation.corruption_suite}): mean {evaluation.corruption_mean:.2%}, "
        f"of those without similar augmentations {evaluation.corruption_mean_unseen:.2%}{lowest}"
    )
