"""Make each artifact and judge it: against what it was made from, against the reference, and by what it holds."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents import Outcome
from bctoolkit.documents.formats import QUANTIZATIONS
from bctoolkit.errors import ParityFailed
from bctoolkit.export.baseline import Baseline, limits_of
from bctoolkit.export.cache import digest
from bctoolkit.export.checks.constants import altered_constant
from bctoolkit.export.checks.introspection import INTROSPECTORS, require_exact_integers
from bctoolkit.export.checks.judgement import Judgement, Validated, validate
from bctoolkit.export.checks.parity_chain import (
    Variant,
    compare,
    compare_float32,
    require_names,
    require_weights,
    violations,
)
from bctoolkit.export.exporter import Exporter, QuantizationSettings
from bctoolkit.export.plan import Artifact
from bctoolkit.export.sensitivity.search import MixedPrecisionResult, SearchTask, search_mixed_precision
from bctoolkit.export.variants import artifact_variant, predict_artifact
from bctoolkit.manifest import ClassRecall, IntegerProducts, LabelledFigures, ParityStep
from bctoolkit.statistics.clustered import number_of
from bctoolkit.statistics.metrics import Labels, Probabilities, accuracy_interval, confusion, exact_interval

__all__ = ["CheckedArtifact", "float32_artifact", "labelled_figures", "quantized_artifact"]


@dataclass(frozen=True)
class CheckedArtifact:
    """An artifact that has passed its checks."""

    model: bytes
    variant: Variant
    steps: tuple[ParityStep, ...]
    keep_float: frozenset[str] = frozenset()
    integer_products: IntegerProducts | None = None
    search: MixedPrecisionResult | None = None
    """How an integer form was chosen."""
    validated: Validated | None = None
    """What it answered on the validation part, where it was judged on that."""


def float32_artifact(baseline: Baseline, format_name: str, exporter: Exporter) -> CheckedArtifact:
    """The fp32 artifact: what every other form of a format is compared with, part of the export or not.

    Raises:
        ParityFailed: it departs from the form it was made from, or from the reference.
        UnsupportedOp: a layer has no counterpart in the format.
    """
    job, artifact, introspector = baseline.job, (format_name, "fp32"), INTROSPECTORS.get(format_name)
    job.progress.step(f"{job.name(artifact)}: converting", 0, 1)
    model = exporter.convert("fp32", QuantizationSettings())
    variant = artifact_variant(job, artifact, model, baseline.last)
    steps = tuple(
        compare_float32(earlier, variant, baseline.conditioning, job.check_images, job.bisect)
        for earlier in (baseline.last, baseline.reference)
    )
    if introspector is not None:
        altered = altered_constant(baseline.weights(), introspector.constants(model))
        require_weights(baseline.last.name, variant.name, altered)
    require_names(variant, job.labels, baseline.reference, job.check_images)
    return CheckedArtifact(model, variant, steps)


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
    images = baseline.calibration.images if row.calibrated else None
    job.progress.step(f"{job.name(artifact)}: converting", 0, 1)
    if row.gated:
        fixed = keep_float & frozenset(exporter.quantizable(kind))
        settings = QuantizationSettings(images, job.recipe.calibration, fixed)
        return _integer_artifact(baseline, artifact, exporter, single, settings)
    model = exporter.convert(kind, QuantizationSettings(images, job.recipe.calibration))
    variant = artifact_variant(job, artifact, model, baseline.last)
    steps = tuple(
        compare(earlier, variant, limits_of(kind), job.check_images, job.bisect)
        for earlier in (single.variant, baseline.reference)
    )
    require_names(variant, job.labels, baseline.reference, job.check_images)
    return CheckedArtifact(model, variant, single.steps + steps)


def _integer_artifact(
    baseline: Baseline, artifact: Artifact, exporter: Exporter, single: CheckedArtifact, settings: QuantizationSettings
) -> CheckedArtifact:
    """The integer form that is judged well, and the layers it keeps in float for that."""
    job, name = baseline.job, baseline.job.name(artifact)
    judge = _Judge(baseline, artifact, single)
    task = _search_task(baseline, artifact, exporter, settings, judge)
    result = search_mixed_precision(task)
    accepted = judge.accepted
    if result.final.outcome is Outcome.FAILED or accepted is None:
        task.file.unlink(missing_ok=True)
        total = len(exporter.quantizable(artifact[1]))
        raise ParityFailed(
            f"{single.variant.name} → {judge.name}: {result.final.reasons[0]}, with {len(result.keep_float)} of "
            f"{total} layers in float; no bundle was written; {single.variant.name} passes its checks"
        )
    if result.keep_float.issuperset(exporter.quantizable(artifact[1])):
        task.file.unlink(missing_ok=True)
        raise ParityFailed(
            f"{single.variant.name} → {judge.name}: within its limits only with all {len(result.keep_float)} of its "
            "layers in float, as fp32 is; no bundle was written; export fp32 instead"
        )
    if result.final.outcome is Outcome.UNDECIDED:
        job.progress.say(f"  {name}: {'; '.join(result.final.reasons)}")
    return replace(accepted, keep_float=result.keep_float, search=result)


def _search_task(
    baseline: Baseline,
    artifact: Artifact,
    exporter: Exporter,
    settings: QuantizationSettings,
    judge: Callable[[bytes], Judgement],
) -> SearchTask:
    """The search among the layers, on the labelled images or, where there are none, on the check images."""
    job, validation, source = baseline.job, baseline.validation, baseline.job.source
    return SearchTask(
        exporter,
        artifact[1],
        settings,
        judge,
        lambda model, images: predict_artifact(job, artifact, model, images),
        job.check_images.images if validation is None else validation.images,
        baseline.reference.probabilities if validation is None else validation.reference,
        network=f"{artifact[0]} {digest(source.provenance.model_sha256, source.code_sha256, source.adaptation)}",
        folder=job.cache or job.target,
        progress=job.progress,
    )


class _Judge:
    """Judges candidates of one integer form by all that is asked before sealing."""

    def __init__(self, baseline: Baseline, artifact: Artifact, single: CheckedArtifact) -> None:
        self.name = " ".join(artifact)
        self.accepted: CheckedArtifact | None = None
        """The last candidate that nothing spoke against."""
        self._baseline, self._artifact, self._single = baseline, artifact, single

    def __call__(self, model: bytes) -> Judgement:
        """Judge a candidate.

        Raises:
            ParityFailed: its integers are written wrongly, or its labels: no layer in float would mend that.
        """
        baseline, single, job = self._baseline, self._single, self._baseline.job
        products = require_exact_integers(single.variant.name, self._artifact, model)
        variant = artifact_variant(job, self._artifact, model, baseline.last)
        limits = limits_of(self._artifact[1])
        pairs = [violations(earlier, variant, limits) for earlier in (single.variant, baseline.reference)]
        broken = tuple(dict.fromkeys(reason for reasons, _ in pairs for reason in reasons))
        validated = self._validated(model)
        judgement = Judgement(None if validated is None else validated.gate, broken)
        if judgement.outcome is not Outcome.FAILED:
            require_names(variant, job.labels, baseline.reference, job.check_images)
            steps = single.steps + tuple(step for _, step in pairs)
            self.accepted = CheckedArtifact(model, variant, steps, integer_products=products, validated=validated)
        return judgement

    def _validated(self, model: bytes) -> Validated | None:
        validation, job = self._baseline.validation, self._baseline.job
        if validation is None:
            return None
        return validate(
            validation, lambda images: predict_artifact(job, self._artifact, model, images), job.recipe.gate
        )


def labelled_figures(baseline: Baseline, checked: CheckedArtifact) -> LabelledFigures | None:
    """How often an artifact is right: on the validation part where it was judged on it, or on the test images checked.

    Returns:
        None where no labelled image is known.
    """
    names = baseline.job.labels
    if (validated := checked.validated) is not None:
        judged = validated.validation
        return _figures("validation", judged.labels, validated.probabilities, names, judged.groups)
    labels = baseline.job.check_images.labels
    known = labels >= 0
    if not known.any():
        return None
    job = baseline.job
    groups = None if job.data is None else job.data.dataset.groups_of(job.check_images.hashes[known])
    return _figures("test", labels[known], checked.variant.probabilities[known], names, groups)


def _figures(
    part: Literal["test", "validation"],
    labels: Labels,
    probabilities: Probabilities,
    names: tuple[str, ...],
    groups: NDArray[np.object_] | None,
) -> LabelledFigures:
    counts = confusion(labels, probabilities)
    right, total = np.diag(counts).tolist(), counts.sum(1).tolist()
    classes = zip(names, right, total, strict=True)
    return LabelledFigures(
        part=part,
        count=len(labels),
        accuracy=sum(right) / len(labels),
        accuracy_ci95=accuracy_interval(labels, probabilities, groups),
        groups=number_of(groups),
        recall={name: ClassRecall(n, k / n, exact_interval(k, n)) for name, k, n in classes if n},
    )
