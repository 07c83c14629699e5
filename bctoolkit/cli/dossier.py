"""`bctk dossier`: what is known of a bundle on one page."""

from pathlib import Path

import click

from bctoolkit.cli.output import echo
from bctoolkit.cli.shared import report_path, run_path
from bctoolkit.cli.signing import trusted_keys

__all__ = ["dossier"]


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("reports", nargs=-1, metavar="[REPORT]...")
@click.option(
    "--run", metavar="RUN", help="The run that the bundle was made of, by path or by its name in training/runs."
)
@click.option(
    "--evaluation",
    "evaluations",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What bctk evaluate --json printed, or the folder that its --out wrote; repeatable.",
)
@trusted_keys
@click.option(
    "--out",
    required=True,
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write; an earlier dossier there is replaced.",
)
def dossier(
    bundle: Path,
    reports: tuple[str, ...],
    run: str | None,
    evaluations: tuple[Path, ...],
    trusted: tuple[Path, ...],
    out: Path,
) -> None:
    """Gather what is known of a bundle on one page, for whoever must sign.

    Model card, data, training, parity, accuracy with intervals, verdicts, robustness, abstention, devices, software,
    hashes and known limits. Each figure is linked to a copy of the file that it stands in, each file to its SHA-256.
    What was not measured is said, with the command that would. A report or evaluation of another model is refused.

    \b
    Examples:
      bctk dossier exports/bundles/atto-onnx-int8-dynamic benchmarks/reports/first --out dossier
      bctk dossier BUNDLE report/ --run atto --evaluation evaluation.json --trusted lab.pub.pem --out dossier
    """
    from bctoolkit.dossier import write

    document = write(
        bundle,
        out,
        reports=[report_path(name) for name in reports],
        evaluations=evaluations,
        run=None if run is None else run_path(run),
        trusted=trusted or None,
    )
    missing = [piece for section in document.sections for piece in section.missing]
    for piece in missing:
        echo(f"{piece.what}: {piece.remedy}")
    signature = {"trusted": "signed by a trusted key", "not checked": "signature not checked", "none": "not signed"}
    echo(f"{len(document.files)} files, {len(document.limits)} known limits, {signature[document.signature.state]}")
    echo(f"page: {out / 'dossier.html'}")
