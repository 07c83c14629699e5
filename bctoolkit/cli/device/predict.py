"""`bctk predict`: image files → classes."""

import json
from pathlib import Path

import click

from bctoolkit.cli.device.options import engine_option, provider_option, threads_option, time_limit_option
from bctoolkit.cli.output import echo, echo_json
from bctoolkit.cli.shared import quiet_engines
from bctoolkit.cli.signing import trusted_keys
from bctoolkit.supervision.time_limit import time_limit

__all__ = ["predict"]


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object per image and line.")
@threads_option
@engine_option
@provider_option
@trusted_keys
@time_limit_option
def predict(
    bundle: Path,
    images: tuple[Path, ...],
    as_json: bool,
    threads: int | None,
    engine: str | None,
    provider: str | None,
    trusted: tuple[Path, ...],
    seconds: int,
) -> None:
    """Classify image files with a bundle: label and probabilities, and whether the answer is accepted.

    An answer is not accepted where the bundle's acceptance rule finds the picture unlike the validation images, or the
    model less sure than it nearly always is of those. A bundle without the rule says nothing of it.

    \b
    Examples:
      bctk predict exports/bundles/atto-onnx-fp32 cell.png --json
      bctk predict exports/bundles/atto-onnx-fp32 cell.png --engine openvino
    """
    from bctoolkit.runtime import load

    with quiet_engines():
        with time_limit(seconds):
            classifier = load(bundle, threads=threads, engine=engine, provider=provider, trusted_keys=trusted or None)
        for path in images:
            with time_limit(seconds):
                prediction = classifier.predict(path)
            named = dict(zip(classifier.labels, prediction.probabilities[0].tolist(), strict=True))
            label = prediction.labels[0]
            accepted = None if prediction.accepted is None else bool(prediction.accepted[0])
            if as_json:
                answer = {"image": str(path), "label": label, "accepted": accepted, "probabilities": named}
                echo_json(json.dumps(answer, ensure_ascii=False))
            else:
                likeliest = sorted(named.items(), key=lambda item: -item[1])
                warning = "NOT ACCEPTED, would be " if accepted is False else ""
                echo(f"{path}: {warning}{label}  " + "  ".join(f"{name} {value:.4f}" for name, value in likeliest))
