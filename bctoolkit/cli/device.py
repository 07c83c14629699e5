"""`bctk predict` and `bctk verify`: what one does with a bundle on the device."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bctoolkit.cli.output import echo, echo_json
from bctoolkit.cli.shared import quiet_engines
from bctoolkit.cli.signing import trusted_keys
from bctoolkit.supervision.time_limit import time_limit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bctoolkit.bundle import Bundle
    from bctoolkit.manifest import Processor
    from bctoolkit.runtime import Classifier

__all__ = ["predict", "verify"]

time_limit_option = click.option(
    "--time-limit",
    "seconds",
    type=click.IntRange(1, 86_400),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="The longest that opening the model, or one answer, may take.",
)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object per image and line.")
@click.option("--threads", type=click.IntRange(1, 256), help="Default: the CPUs at hand, at most four.")
@click.option("--provider", help="What to run on, e.g. cpu, cuda or builtin. Default: the engine's first.")
@trusted_keys
@time_limit_option
def predict(
    bundle: Path,
    images: tuple[Path, ...],
    as_json: bool,
    threads: int | None,
    provider: str | None,
    trusted: tuple[Path, ...],
    seconds: int,
) -> None:
    """Classify image files with a bundle: label and probabilities, and whether the answer is accepted.

    An answer is not accepted where the bundle's acceptance rule finds the picture unlike the validation images, or the
    model less sure than it nearly always is of those. A bundle without the rule says nothing of it.

    \b
    Example:  bctk predict exports/bundles/atto-onnx-fp32 cell.png --json
    """
    from bctoolkit.runtime import load

    with quiet_engines():
        with time_limit(seconds):
            classifier = load(bundle, threads=threads, provider=provider, trusted_keys=trusted or None)
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


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--threads", type=click.IntRange(1, 256), help="Default: the CPUs at hand, at most four.")
@click.option("--provider", help="What to run on, e.g. cpu, cuda or builtin. Default: the engine's first.")
@trusted_keys
@time_limit_option
@click.pass_context
def verify(
    context: click.Context,
    bundle: Path,
    threads: int | None,
    provider: str | None,
    trusted: tuple[Path, ...],
    seconds: int,
) -> None:
    """Check a bundle on this machine: every hash, and parity with the Keras reference on the golden images.

    With --trusted also who signed it. The images are classified one at a time, as on a device. Exit code 1 when a file
    is damaged or not as it was signed, 3 when outputs deviate from the reference; within the limits, a warning says
    when they deviate more than on the machine that exported.

    \b
    Examples:
      bctk verify exports/bundles/atto-onnx-fp32
      bctk verify exports/bundles/atto-onnx-fp32 --trusted signing.pub.pem
    """
    from bctoolkit.bundle import read
    from bctoolkit.runtime import load
    from bctoolkit.statistics.metrics import drifted, limit_violations, parity

    opened = read(bundle, trusted or None)
    golden = opened.golden()
    opened.check()
    with quiet_engines():
        with time_limit(seconds):
            classifier = load(
                bundle, threads=threads, provider=provider, trusted_keys=trusted or None, self_test="never"
            )
        observed = _answers(classifier, golden.images, seconds)
    limits = opened.manifest.tolerance
    measured, sealed = parity(golden.probabilities, observed), opened.manifest.parity
    violations = limit_violations(golden.probabilities, observed, limits)
    echo(_signature(opened))
    echo("hashes: manifest, model and images are as sealed")
    echo(_names(opened))
    echo(
        f"parity on {measured.count} {golden.kind} golden images: top-1 agreement {measured.top1_agreement:.2%}, "
        f"max |Δp| {measured.max_abs_diff:.1e} (sealed with {sealed.max_abs_diff:.1e}), "
        f"mean |Δp| {measured.mean_abs_diff:.1e} ({sealed.mean_abs_diff:.1e})"
    )
    if violations:
        echo(f"FAILED: {'; '.join(violations)}", err=True)
        context.exit(3)
    if drifted(measured, sealed, limits):
        echo(f"warning: {_drift(opened.manifest.cpu)}", err=True)
    echo("verified")


def _signature(opened: "Bundle") -> str:
    """Who vouches for a bundle; a signature of nobody in particular says nothing."""
    from bctoolkit.signing import SIGNATURE

    if opened.signed_by:
        return f"signature: by the trusted key {opened.signed_by[:16]}…"
    if (opened.path / SIGNATURE).exists():
        return f"signature: {SIGNATURE} is not checked, as no key is --trusted"
    return "signature: none"


def _names(opened: "Bundle") -> str:
    """Which files state labels, input and source; they agree, or the bundle would have been refused."""
    from bctoolkit.manifest import Identity
    from bctoolkit.runtime.model_files.identity import identity_of

    manifest = opened.manifest
    model = [] if identity_of(opened, opened.model()) == Identity() else [manifest.model.file]
    files = model + ([] if manifest.schema < 2 else [manifest.golden.file])
    where = f"the same in manifest, {', '.join(files)}" if files else "stated by the manifest alone"
    return f"labels, input and source: {where}"


def _answers(classifier: "Classifier", images: "NDArray[np.uint8]", seconds: int) -> "NDArray[np.float32]":
    """Probabilities, N × classes, of images one at a time, each within its time."""
    import numpy as np

    answers: list[NDArray[np.float32]] = []
    for index in range(len(images)):
        with time_limit(seconds):
            answers += [*classifier.predict_each(images[index : index + 1])]
    return np.stack(answers)


def _drift(sealed_on: "Processor | None") -> str:
    """What to make of outputs further from the reference than when the bundle was sealed."""
    from bctoolkit.system import cpu_features, cpu_name

    where = f"{sealed_on.name} ({', '.join(sealed_on.features)})" if sealed_on else "another machine"
    return (
        f"outputs deviate more from the reference here than where the bundle was sealed: {where}; this is "
        f"{cpu_name()} ({', '.join(cpu_features())}), which computes differently; the limits hold, but measure "
        "the accuracy here with: bctk bench --data"
    )
