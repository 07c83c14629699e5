"""`bctk verify`: does a bundle compute here what was sealed?"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bctoolkit.cli.device.answers import timed_answers
from bctoolkit.cli.device.options import engine_option, provider_option, threads_option, time_limit_option
from bctoolkit.cli.output import echo
from bctoolkit.cli.shared import quiet_engines, require_extras
from bctoolkit.cli.signing import trusted_keys
from bctoolkit.supervision.time_limit import time_limit

if TYPE_CHECKING:
    from bctoolkit.bundle import Bundle
    from bctoolkit.manifest import Processor
    from bctoolkit.runtime import Classifier

__all__ = ["verify"]


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@threads_option
@engine_option
@provider_option
@trusted_keys
@click.option(
    "--vectors",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also hold this implementation against conformance vectors; see bctk vectors.",
)
@time_limit_option
@click.pass_context
def verify(
    context: click.Context,
    bundle: Path,
    threads: int | None,
    engine: str | None,
    provider: str | None,
    trusted: tuple[Path, ...],
    vectors: Path | None,
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
      bctk verify exports/zoo/atto-onnx-int8-dynamic --vectors exports/zoo/vectors
      bctk verify exports/bundles/atto-onnx-fp32 --engine openvino --provider cpu-bf16
    """
    from bctoolkit.bundle import read
    from bctoolkit.runtime import load
    from bctoolkit.runtime.self_test.diagnosis import diagnose
    from bctoolkit.statistics.metrics import drifted, limit_violations, parity

    opened = read(bundle, trusted or None)
    golden = opened.golden()
    opened.check()
    with quiet_engines():
        with time_limit(seconds):
            classifier = load(
                bundle,
                threads=threads,
                engine=engine,
                provider=provider,
                trusted_keys=trusted or None,
                self_test="never",
            )
        observed = timed_answers(classifier, golden.images, seconds)
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
    if vectors is not None:
        violations = [*violations, *_against_vectors(vectors, opened, classifier, seconds)]
    if violations:
        causes = diagnose(golden.probabilities, observed, limits.max_abs_diff, opened.manifest, classifier.info())
        likely = "; ".join(cause.words for cause in causes)
        echo(f"FAILED: {'; '.join(violations)}; likely cause: {likely}", err=True)
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


def _against_vectors(folder: Path, opened: "Bundle", classifier: "Classifier", seconds: int) -> tuple[str, ...]:
    """Print what conformance vectors say of this implementation, and return what does not agree."""
    require_extras("images")
    from bctoolkit.vectors import compare

    comparison = compare(folder, opened.manifest, lambda image: timed_answers(classifier, image, seconds))
    for line in comparison.lines:
        echo(line)
    return comparison.faults


def _drift(sealed_on: "Processor | None") -> str:
    """What to make of outputs further from the reference than when the bundle was sealed."""
    from bctoolkit.system import cpu_features, cpu_name

    where = f"{sealed_on.name} ({', '.join(sealed_on.features)})" if sealed_on else "another machine"
    return (
        f"outputs deviate more from the reference here than where the bundle was sealed: {where}; this is "
        f"{cpu_name()} ({', '.join(cpu_features())}), which computes differently; the limits hold, but measure "
        "the accuracy here with: bctk bench --data"
    )
