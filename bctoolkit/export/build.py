"""Build bundles: one twin, one exporter per format, each variant compared with the one before, and sealed."""

import dataclasses
import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle
from bctoolkit.bundle import Bundle, BundleContent, Golden, IntegerProducts, ParityStep, Processor, Reference
from bctoolkit.data.dataset import positions
from bctoolkit.documents import Outcome
from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS, Tolerance
from bctoolkit.errors import ExportError, ParityFailed, RecipeError
from bctoolkit.export.cache import TOOLS, digest
from bctoolkit.export.calibration import ranges
from bctoolkit.export.calibration.ranges import Calibration
from bctoolkit.export.checks.introspection import require_exact_integers
from bctoolkit.export.checks.parity_chain import Limits, Variant, compare, require_names, require_trained_accuracy
from bctoolkit.export.exporter import Exporter, ExportSettings, QuantizationSettings
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.export.plan import Artifact, Job
from bctoolkit.export.reference import ReferencePredictions
from bctoolkit.export.sensitivity.report import write_report
from bctoolkit.export.sensitivity.search import SearchTask, Validation, search_mixed_precision
from bctoolkit.export.variants import artifact_variant, keras_variant, predict_artifact
from bctoolkit.lazy import attribute
from bctoolkit.networks import leaves
from bctoolkit.networks.inference import in_float32
from bctoolkit.statistics import metrics
from bctoolkit.system import cpu_features, cpu_name, utc_now, versions

__all__ = ["build_bundles"]

CONFIDENT = 0.5
"""Least margin of an image that the reference is sure of."""

MIXED_PRECISION = Limits(Tolerance(0.5, 0.03, 0.95), 0.2)
"""Half precision, as the network was trained, against float32: rounding of the size of an int8 form's."""


@dataclass(frozen=True)
class _Shared:
    """What all artifacts of a job are checked against, computed and checked once."""

    job: Job
    original: Variant
    """The float32 Keras reference."""
    folded: Variant
    steps: tuple[ParityStep, ...]
    test_part: Reference | None
    validation: Validation | None
    calibration: Calibration | None
    keep_float: frozenset[str]

    @property
    def golden(self) -> Golden:
        """The golden images with the reference's probabilities."""
        images, indices = self.job.check_images, self.golden_indices
        return Golden(images.images[indices], self.original.probabilities[indices], images.labels[indices], images.kind)

    @cached_property
    def golden_indices(self) -> NDArray[np.intp]:
        """Which check images are golden: of the candidates first those that the reference is sure of.

        Near a tie rounding alone moves an integer form's probabilities many times as far, so that what is sealed would
        say more of this CPU's order of adding than of the artifact. Such images are still checked.
        """
        images = self.job.check_images
        unsure = metrics.margin(self.original.probabilities[: images.candidates]) < CONFIDENT
        return np.sort(np.argsort(unsure, kind="stable")[: images.golden])


@dataclass(frozen=True)
class _CheckedArtifact:
    """An artifact that has passed its checks."""

    model: bytes
    variant: Variant
    steps: tuple[ParityStep, ...]
    keep_float: frozenset[str] = frozenset()
    integer_products: IntegerProducts | None = None


def build_bundles(job: Job, inputs: dict[Artifact, str]) -> dict[Artifact, Bundle]:
    """Build artifacts, check each, and seal each in a bundle of its own.

    Args:
        job: what they share.
        inputs: artifact → hash of all that decides it, for its manifest.

    Raises:
        ParityFailed: a parity step fails. No bundle is left of the artifact.
        UnsupportedOp: a layer has no form in a format.
        RecipeError: a pattern of layers to keep in float fits none.
    """
    job.progress.step("loading the network", 0, 1)
    network = job.source.load()
    frozen = freeze(network)
    folded = fold(frozen)
    settings = _export_settings(job)
    exporters = {name: attribute(FORMATS[name].exporter)(folded, settings) for name, _ in inputs}
    keep_float = _matching_layers(job.recipe.keep_float, exporters, inputs)
    shared = _check_twin(job, (network, frozen, folded), inputs, keep_float)
    del network, frozen
    result: dict[Artifact, Bundle] = {}
    for name in list(exporters):
        exporter = exporters.pop(name)  # so that its graph goes when it is done
        single = _float32(shared, name, exporter)
        for artifact in (artifact for artifact in inputs if artifact[0] == name):
            checked = single if artifact[1] == "fp32" else _quantized(shared, artifact, exporter, single)
            result[artifact] = _seal(shared, artifact, checked, inputs[artifact])
    return result


def _export_settings(job: Job) -> ExportSettings:
    properties = {
        "labels": msgspec.json.encode(job.labels).decode(),
        "input": msgspec.json.encode(job.contract).decode(),
        "run": job.source.name,
        "source_sha256": job.source.provenance.model_sha256,
    }
    if job.recipe.licence:
        properties["licence"] = job.recipe.licence
    return ExportSettings(job.contract, job.recipe.opset, properties)


def _matching_layers(
    patterns: tuple[str, ...], exporters: dict[str, Exporter], artifacts: Iterable[Artifact]
) -> frozenset[str]:
    """The layers that the patterns name, among those that one of the artifacts would turn into integers."""
    if not patterns:
        return frozenset()
    forms = [(name, kind) for name, kind in artifacts if QUANTIZATIONS[kind].gated]
    names = list(dict.fromkeys(layer for name, kind in forms for layer in exporters[name].quantizable(kind)))
    if not names:
        raise RecipeError("keep_float is given, but no form of this export turns a layer into integers; leave it out")
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            some = ", ".join(dict.fromkeys(names[:3] + names[-3:]))
            raise RecipeError(f"--keep-float {pattern!r} fits none of the {len(names)} layers to quantize: {some}, …")
    return frozenset(layer for pattern in patterns for layer in fnmatch.filter(names, pattern))


def _check_twin(
    job: Job, networks: tuple[Any, Any, Any], artifacts: Iterable[Artifact], keep_float: frozenset[str]
) -> _Shared:
    """Compare the Keras variants of the network, and predict with its float32 reference all that the artifacts need."""
    network, frozen, folded = networks
    kinds = [QUANTIZATIONS[kind] for _, kind in artifacts]
    float32 = in_float32(network)
    predictions = ReferencePredictions(job, float32)
    test_part = predictions.test_part()
    original = keras_variant(job, "float32 Keras", float32, predictions.check_images(test_part))
    steps = []
    if float32 is not network:
        trained = keras_variant(job, f"Keras in {_precision(network)}", network)
        steps.append(compare(trained, original, MIXED_PRECISION, job.check_images, job.bisect))
    _require_training(job, original, test_part)
    before = original
    for name, model in (("frozen twin", frozen), ("folded twin", folded)):
        after = keras_variant(job, name, model)
        steps.append(compare(before, after, _limits("fp32"), job.check_images, job.bisect))
        before = after
    return _Shared(
        job,
        # From here on the folded twin's layers stand for the reference's, whose network is needed no more.
        original=dataclasses.replace(original, layers=before.layers, tensors=before.tensors),
        folded=before,
        steps=tuple(steps),
        test_part=test_part,
        validation=predictions.validation() if any(kind.gated for kind in kinds) else None,
        calibration=_calibration(job) if any(kind.calibrated for kind in kinds) else None,
        keep_float=keep_float,
    )


def _require_training(job: Job, original: Variant, test_part: Reference | None) -> None:
    """Compare the reference's predictions on the test part with what training wrote down of the same images."""
    trained, data = job.source.test_metrics, job.data
    if trained and data and test_part and data.dataset.sha256 == job.source.provenance.dataset_sha256:
        require_trained_accuracy(original.name, trained, data.dataset.labels[data.parts.test], test_part.probabilities)


def _calibration(job: Job) -> Calibration:
    """The calibration images, looked up again by their hashes."""
    if job.data is None:
        raise ExportError("int8 needs images of the training part to calibrate on; say where they are with --data")
    dataset, train = job.data.dataset, job.data.parts.train
    calibration = ranges.choose(dataset, job.data.parts, job.recipe.calibration.images)
    index = positions(calibration.hashes, dataset.hashes[train])
    if (index < 0).any() or not np.array_equal(dataset.images[train[index]], calibration.images):
        raise ParityFailed(
            "training part → calibration images: calibration images do not match their recorded hashes; "
            "no bundle was written"
        )
    return calibration


def _float32(shared: _Shared, format_name: str, exporter: Exporter) -> _CheckedArtifact:
    """The fp32 artifact: what every other form of a format is compared with, part of the export or not."""
    job, artifact = shared.job, (format_name, "fp32")
    job.progress.step(f"{job.name(artifact)}: converting", 0, 1)
    model = exporter.convert("fp32", QuantizationSettings())
    variant = artifact_variant(job, artifact, model, shared.folded)
    return _CheckedArtifact(model, variant, _compare_artifact(shared, shared.folded, variant, "fp32"))


def _quantized(shared: _Shared, artifact: Artifact, exporter: Exporter, single: _CheckedArtifact) -> _CheckedArtifact:
    """Another form than fp32, compared with the fp32 artifact and with the reference."""
    kind = artifact[1]
    job, row = shared.job, QUANTIZATIONS[kind]
    images = shared.calibration.images if shared.calibration is not None and row.calibrated else None
    keep_float = shared.keep_float & frozenset(exporter.quantizable(kind)) if row.gated else frozenset()
    settings = QuantizationSettings(images, job.recipe.calibration, keep_float)
    job.progress.step(f"{job.name(artifact)}: converting", 0, 1)
    if row.gated and shared.validation is not None:
        model, keep_float = _gated(shared, artifact, exporter, settings, shared.validation)
    else:
        model = exporter.convert(kind, settings)
    products = require_exact_integers(single.variant.name, artifact, model) if row.gated else None
    variant = artifact_variant(job, artifact, model, shared.folded)
    steps = single.steps + _compare_artifact(shared, single.variant, variant, kind)
    return _CheckedArtifact(model, variant, steps, keep_float, products)


def _gated(
    shared: _Shared, artifact: Artifact, exporter: Exporter, settings: QuantizationSettings, validation: Validation
) -> tuple[bytes, frozenset[str]]:
    """The integer form that the gate lets pass, and the layers it keeps in float for that."""
    job, name = shared.job, shared.job.name(artifact)
    task = SearchTask(
        exporter,
        artifact[1],
        settings,
        lambda model, images: predict_artifact(job, artifact, model, images),
        validation,
        job.recipe.gate,
        network=f"{artifact[0]} {digest(job.source.provenance.model_sha256)}",
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


def _compare_artifact(shared: _Shared, before: Variant, after: Variant, kind: str) -> tuple[ParityStep, ...]:
    """Compare an artifact with what it was made from, with the reference, and with the names of the classes."""
    job, limits = shared.job, _limits(kind)
    earlier = (before, shared.original)
    steps = tuple(compare(variant, after, limits, job.check_images, job.bisect) for variant in earlier)
    require_names(after, job.labels, shared.original, job.check_images)
    return steps


def _seal(shared: _Shared, artifact: Artifact, checked: _CheckedArtifact, inputs_sha256: str) -> Bundle:
    job, golden = shared.job, shared.golden
    provenance = job.source.provenance
    if job.data is not None:
        provenance = msgspec.structs.replace(provenance, dataset_sha256=job.data.dataset.sha256)
    calibration = shared.calibration if QUANTIZATIONS[artifact[1]].calibrated else None
    content = BundleContent(
        format=artifact[0],
        quantization=artifact[1],
        model=checked.model,
        input=job.contract,
        labels=job.labels,
        golden=golden,
        reference=shared.test_part,
        source=provenance,
        tools=versions(*TOOLS),
        parity=metrics.parity(golden.probabilities, checked.variant.probabilities[shared.golden_indices]),
        created=utc_now(),
        parity_steps=shared.steps + checked.steps,
        calibration=None if calibration is None else calibration.hashes,
        keep_float=tuple(sorted(checked.keep_float)),
        integer_products=checked.integer_products,
        cpu=Processor(cpu_name(), cpu_features()),
        inputs_sha256=inputs_sha256,
    )
    sealed = bundle.write(job.target / job.name(artifact), content)
    parity, floats = content.parity, len(content.keep_float)
    job.progress.say(
        f"  {sealed.manifest.name}  {len(checked.model) / 1e6:.1f} MB  {parity.count} {golden.kind} golden images: "
        f"top-1 agreement {parity.top1_agreement:.2%}, max |Δp| {parity.max_abs_diff:.1e}"
        + (f", {floats} layers in float" if floats else "")
    )
    return sealed


def _limits(kind: str) -> Limits:
    return Limits(QUANTIZATIONS[kind].tolerance, QUANTIZATIONS[kind].logit_error)


def _precision(network: Any) -> str:
    """The dtype most of the layers that are not float32 compute in."""
    dtypes = [layer.compute_dtype for layer in leaves(network) if layer.compute_dtype != "float32"]
    return str(max(dict.fromkeys(dtypes), key=dtypes.count))
