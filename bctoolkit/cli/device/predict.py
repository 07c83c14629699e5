"""`bctk predict`: images → classes, printed, or as a file with a row for each."""

import json
import os
from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bctoolkit.cli.device.options import provider_option, time_limit_option
from bctoolkit.cli.output import echo, echo_json
from bctoolkit.cli.shared import quiet_engines
from bctoolkit.cli.signing import trusted_keys
from bctoolkit.documents.formats import ENGINES
from bctoolkit.errors import InputMismatch, RecipeError
from bctoolkit.supervision.time_limit import time_limit

if TYPE_CHECKING:
    from bctoolkit.progress import Progress
    from bctoolkit.runtime import Classifier
    from bctoolkit.scoring.inputs import Inputs
    from bctoolkit.scoring.pipeline import Runner
    from bctoolkit.scoring.rows import Row

__all__ = ["predict"]

AUTO, RAY = "auto", "ray"
MOST_BATCH = 4096


def _batch(context: click.Context, parameter: click.Parameter, value: str) -> int | None:
    """Images of a call; None to measure it."""
    if value == AUTO:
        return None
    if not value.isdecimal() or not 1 <= int(value) <= MOST_BATCH:
        raise click.BadParameter(f"{value!r} is neither a number from 1 to {MOST_BATCH} nor {AUTO!r}")
    return int(value)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="One JSON object per image and line.")
@click.option(
    "--out",
    metavar="FILE.csv|.parquet",
    type=click.Path(path_type=Path),
    help="Write a row for each image; nothing is printed of it.",
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted --out: the same command, with this.")
@click.option(
    "--batch",
    callback=_batch,
    default="1",
    show_default=True,
    metavar=f"N|{AUTO}",
    help=f"Images of a call. {AUTO}: measured; 1 where an answer depends on those beside it.",
)
@click.option(
    "--runner",
    type=click.Choice(("local", RAY)),
    default="local",
    show_default=True,
    help="Where to work: in this process, or on the machines of a Ray cluster.",
)
@click.option("--workers", type=click.IntRange(1, 10_000), help="Processes on Ray. Default: as many as its CPUs take.")
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    help="Of a call. Default: the CPUs at hand, at most four; with --out one, and as many calls at once as CPUs.",
)
@click.option(
    "--engine",
    type=click.Choice((*ENGINES, RAY)),
    metavar="NAME",
    help=f"{', '.join(ENGINES)}. Default: the format's first. {RAY}: as --runner {RAY}.",
)
@provider_option
@trusted_keys
@time_limit_option
def predict(
    bundle: Path,
    images: tuple[str, ...],
    as_json: bool,
    out: Path | None,
    resume: bool,
    batch: int | None,
    runner: str,
    workers: int | None,
    threads: int | None,
    engine: str | None,
    provider: str | None,
    trusted: tuple[Path, ...],
    seconds: int,
) -> None:
    """Classify images with a bundle: label and probabilities, and whether the answer is accepted.

    An answer is not accepted where the bundle's acceptance rule finds the picture unlike the validation images, or the
    model less sure than it nearly always is of those. A bundle without the rule says nothing of it.

    Images are files; all pictures below a FOLDER; the arrays of an .npz, an .npy or a folder of them; a LIST of files,
    as @FILE, .txt (a path a line) or .csv (column file). An image that cannot be used is told, the others go on,
    and the exit code is 1.

    \b
    Examples:
      bctk predict exports/bundles/atto-onnx-fp32 cell.png --json
      bctk predict exports/bundles/atto-onnx-fp32 cell.png --engine openvino
      bctk predict exports/bundles/atto-onnx-fp32 images/ --out results.csv
      bctk predict exports/bundles/atto-onnx-fp32 images/ --out results.csv --resume
      bctk predict exports/bundles/atto-onnx-fp32 @files.txt --out results.parquet --batch auto
      bctk predict exports/bundles/atto-onnx-fp32 images/ --out results.parquet --runner ray
    """
    from bctoolkit.scoring.inputs import Inputs
    from bctoolkit.scoring.pipeline import require_target

    if engine == RAY:
        engine, runner = None, RAY
    _require_together(out, resume, as_json, runner, workers)
    if out is not None:
        require_target(out, resume)
    inputs = Inputs(images)
    with quiet_engines() as progress:
        from bctoolkit.runtime import load

        keys, threads = trusted or None, threads or (None if out is None else 1)
        with time_limit(seconds):
            classifier = load(bundle, engine=engine, threads=threads, provider=provider, trusted_keys=keys)
        run = _runner(runner, seconds, workers, bundle, engine, classifier, keys)
        if out is None:
            _print(classifier, inputs, run, batch, as_json, progress)
        else:
            _write(classifier, bundle, inputs, out, run, batch, resume, progress)


def _require_together(out: Path | None, resume: bool, as_json: bool, runner: str, workers: int | None) -> None:
    """Refuse options that mean nothing beside each other."""
    if out is None and resume:
        raise RecipeError("--resume goes on with a file; name it with --out")
    if out is not None and as_json:
        raise RecipeError("--json prints and --out writes: ask for one at a time")
    if out is None and runner == RAY:
        raise RecipeError("a Ray cluster is for many images: name a file for their rows with --out")
    if workers is not None and runner != RAY:
        raise RecipeError("--workers are processes on Ray; add --runner ray")


def _runner(
    name: str,
    seconds: int,
    workers: int | None,
    bundle: Path,
    engine: str | None,
    classifier: "Classifier",
    keys: tuple[Path, ...] | None,
) -> "Runner":
    """Where the work is done."""
    if name == RAY:
        from bctoolkit.scoring.on_ray import Opening, on_ray

        info = classifier.info()
        opening = Opening(str(bundle), engine, info.provider, info.threads, keys, os.getcwd())
        return on_ray(opening, workers, seconds)
    from bctoolkit.scoring.stream import score_here

    return partial(score_here, seconds=seconds)


def _print(
    classifier: "Classifier",
    inputs: "Inputs",
    run: "Runner",
    batch: int | None,
    as_json: bool,
    progress: "Progress",
) -> None:
    """Print each answer as it comes, and each image that cannot be used."""
    from bctoolkit.scoring.pipeline import batch_size

    inputs.require(classifier.contract, progress)
    count = errors = 0
    for row in chain.from_iterable(run(classifier, inputs, batch_size(classifier, batch, progress))):
        count += 1
        if row.error is not None:
            errors += 1
            progress.say(f"error: {row.error}")
        _print_row(row, classifier.labels, as_json)
    if not count:
        raise InputMismatch(f"no image in {inputs}")
    if errors == count == 1:
        click.get_current_context().exit(1)
    if errors:
        raise InputMismatch(f"{errors:,} of {count:,} images could not be classified")


def _print_row(row: "Row", labels: Sequence[str], as_json: bool) -> None:
    name = row.file if row.place is None else f"{row.file}#{row.place}"
    if row.probabilities is None:
        if as_json:
            echo_json(json.dumps({"image": name, "error": row.error}, ensure_ascii=False))
        return
    named = dict(zip(labels, row.probabilities, strict=True))
    if as_json:
        answer = {"image": name, "label": row.label, "accepted": row.accepted, "probabilities": named}
        echo_json(json.dumps(answer, ensure_ascii=False))
        return
    likeliest = sorted(named.items(), key=lambda item: -item[1])
    warning = "NOT ACCEPTED, would be " if row.accepted is False else ""
    echo(f"{name}: {warning}{row.label}  " + "  ".join(f"{label} {value:.4f}" for label, value in likeliest))


def _write(
    classifier: "Classifier",
    bundle: Path,
    inputs: "Inputs",
    out: Path,
    run: "Runner",
    batch: int | None,
    resume: bool,
    progress: "Progress",
) -> None:
    """Write a row for each image, and say how many could not be classified."""
    from bctoolkit.files import unfinished
    from bctoolkit.scoring.pipeline import score

    try:
        outcome = score(classifier, bundle, inputs, out, run, progress, batch=batch, resume=resume)
    except KeyboardInterrupt:
        if unfinished(out).exists():
            progress.say("interrupted; go on with the same command and --resume")
        raise
    refused = f", {outcome.not_accepted:,} answers not accepted" if outcome.not_accepted else ""
    echo(f"{out}: {outcome.images:,} images{refused}")
    if outcome.errors:
        raise InputMismatch(
            f"{outcome.errors:,} of {outcome.images:,} images could not be classified; the column 'error' says why"
        )
