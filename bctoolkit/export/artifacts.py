"""Make each artifact and check it: against what it was made from, against the reference, and by what it holds."""

from dataclasses import dataclass

from bctoolkit.bundle import IntegerProducts, ParityStep
from bctoolkit.documents import Outcome
from bctoolkit.documents.formats import QUANTIZATIONS
from bctoolkit.errors import ParityFailed
from bctoolkit.export.baseline import Baseline, limits_of
from bctoolkit.export.cache import digest
from bctoolkit.export.checks.introspection import require_exact_integers
from bctoolkit.export.checks.parity_chain import Variant, compare, require_names
from bctoolkit.export.exporter import Exporter, QuantizationSettings
from bctoolkit.export.plan import Artifact
from bctoolkit.export.sensitivity.report import write_report
from bctoolkit.export.sensitivity.search import SearchTask, Validation, search_mixed_precision
from bctoolkit.export.variants import artifact_variant, predict_artifact

__all__ = ["CheckedArtifact", "float32_artifact", "quantized_artifact"]


@dataclass(frozen=True)
class CheckedArtifact:
    """An artifact that has passed its checks."""

    model: bytes
    variant: Variant
    steps: tuple[ParityStep, ...]
    keep_float: frozenset[str] = frozenset()
    integer_products: IntegerProducts | None = None


def float32_artifact(baseline: Baseline, format_name: str, exporter: Exporter) -> CheckedArtifact:
    """The fp32 artifact: what every other form of a format is compared with, part of the export or not.

    Raises:
        ParityFailed: it departs from the form it was made from, or from the reference.
        UnsupportedOp: a layer has no counterpart in the format.
    """
    job, artifact = baseline.job, (format_name, "fp32")
    job.progress.step(f"{job.name(artifact)}: converting", 0, 1)
    model = exporter.convert("fp32", QuantizationSettings())
    variant = artifact_variant(job, artifact, model, baseline.last)
    return CheckedArtifact(model, variant, _compare_artifact(baseline, baseline.last, variant, "fp32"))


def quantized_artifact(
    baseline: Baseline, artifact: Artifact, exporter: Exporter, single: CheckedArtifact, keep_float: frozenset[str]
) -> CheckedArtifact:
    """Another form than fp32.

    Args:
        baseline: what it is checked against.
        artifact: format and quantization.
        exporter: of the network and format.
        single: the fp32 artifact.
        keep_float: layers that the user wants in float.

    Raises:
        ParityFailed: it departs from the fp32 artifact or from the reference, or costs too much accuracy.
        UnsupportedOp: a layer has no counterpart in the form.
    """
    kind = artifact[1]
    job, row = baseline.job, QUANTIZATIONS[kind]
    images = baseline.calibration.images if baseline.calibration is not None and row.calibrated else None
    keep_float = keep_float & frozenset(exporter.quantizable(kind)) if row.gated else frozenset()
    settings = QuantizationSettings(images, job.recipe.calibration, keep_float)
    job.progress.step(f"{job.name(artifact)}: converting", 0, 1)
    if row.gated and baseline.validation is not None:
        model, keep_float = _gated(baseline, artifact, exporter, settings, baseline.validation)
    else:
        model = exporter.convert(kind, settings)
    products = require_exact_integers(single.variant.name, artifact, model) if row.gated else None
    variant = artifact_variant(job, artifact, model, baseline.last)
    steps = single.steps + _compare_artifact(baseline, single.variant, variant, kind)
    return CheckedArtifact(model, variant, steps, keep_float, products)


def _gated(
    baseline: Baseline, artifact: Artifact, exporter: Exporter, settings: QuantizationSettings, validation: Validation
) -> tuple[bytes, frozenset[str]]:
    """The integer form that the gate lets pass, and the layers it keeps in float for that."""
    job, name = baseline.job, baseline.job.name(artifact)
    task = SearchTask(
        exporter,
        artifact[1],
        settings,
        lambda model, images: predict_artifact(job, artifact, model, images),
        validation,
        job.recipe.gate,
        network=f"{artifact[0]} {digest(job.source.provenance.model_sha256, job.source.adaptation)}",
        folder=job.cache or job.target,
        progress=job.progress,
    )
    result = search_mixed_precision(task)
    if result.ranking is not None:
        job.reports.mkdir(parents=True, exist_ok=True)
        write_report(job.reports, name, job.recipe.gate, result)
        job.progress.say(f"  {name}: {len(result.keep_float)} layers in float, see {job.reports / name}.md")
    reasons = "; ".join(result.final.reasons)
    if result.final.outcome is Outcome.FAILED:
        raise ParityFailed(f"{artifact[0]} fp32 → {' '.join(artifact)}: {reasons}; no bundle was written")
    if result.final.outcome is Outcome.UNDECIDED:
        job.progress.say(f"  {name}: {reasons}")
    return result.model, result.keep_float


def _compare_artifact(baseline: Baseline, before: Variant, after: Variant, kind: str) -> tuple[ParityStep, ...]:
    """Compare an artifact with what it was made from, with the reference, and with the names of the classes."""
    job, limits = baseline.job, limits_of(kind)
    earlier = (before, baseline.reference)
    steps = tuple(compare(variant, after, limits, job.check_images, job.bisect) for variant in earlier)
    require_names(after, job.labels, baseline.reference, job.check_images)
    return steps
