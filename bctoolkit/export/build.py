"""Build bundles: one network, one exporter per format, each form compared with the one before, and sealed."""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle
from bctoolkit.bundle import Bundle, BundleContent
from bctoolkit.data import Dataset
from bctoolkit.data.dataset import rows
from bctoolkit.documents.formats import QUANTIZATIONS
from bctoolkit.errors import ExportError, RecipeError
from bctoolkit.export.artifacts import CheckedArtifact, float32_artifact, labelled_figures, quantized_artifact
from bctoolkit.export.baseline import Baseline, check_network
from bctoolkit.export.cache import TOOLS
from bctoolkit.export.checks.acceptance import fit
from bctoolkit.export.exporter import Exporter, ExportSettings
from bctoolkit.export.keras_graph.state import training_warning
from bctoolkit.export.keras_network import KerasNetwork
from bctoolkit.export.network import Network
from bctoolkit.export.plan import Artifact, Job
from bctoolkit.export.sensitivity.report import write_report
from bctoolkit.export.sensitivity.search import MixedPrecisionResult
from bctoolkit.export.variants import predict_artifact
from bctoolkit.manifest import Processor
from bctoolkit.runtime.model_files.ports import classifier_ports, require_ports
from bctoolkit.statistics import metrics
from bctoolkit.statistics.acceptance import AcceptanceRule
from bctoolkit.statistics.metrics import Probabilities
from bctoolkit.system import cpu_features, cpu_name, utc_now, versions

__all__ = ["Built", "build_bundles", "export_properties", "seal"]


@dataclass(frozen=True)
class Built:
    """What became of the artifacts."""

    bundles: dict[Artifact, Bundle] = field(default_factory=dict)
    refusals: dict[Artifact, ExportError] = field(default_factory=dict)


def build_bundles(job: Job, inputs: dict[Artifact, str]) -> Built:
    """Build artifacts, check each, and seal each in a bundle of its own.

    Args:
        job: what they share.
        inputs: artifact → hash of all that decides it, for its manifest.

    Returns:
        The bundles, and why an artifact could not be made: nothing is left of it.

    Raises:
        ParityFailed: the network's forms depart from it, so that there is no artifact to make.
        UnsupportedOp: a layer has no form at all.
        RecipeError: a pattern of layers to keep in float fits none.
    """
    job.progress.step("loading the network", 0, 1)
    model = job.source.load()
    warning = training_warning(model)
    if warning:
        job.progress.say(f"  warning: {warning}")
    network = KerasNetwork(model)
    del model
    built = Built()
    exporters = _exporters(job, network, inputs, built)
    if not exporters:
        return built
    keep_float = _matching_layers(job.recipe.keep_float, exporters, inputs)
    baseline = check_network(job, network, inputs)
    del network  # only its last form is needed from here on
    for name in list(exporters):
        exporter = exporters.pop(name)  # so that its graph goes when it is done
        forms = [artifact for artifact in inputs if artifact[0] == name]
        try:
            single = float32_artifact(baseline, name, exporter)
        except ExportError as refusal:
            built.refusals.update(dict.fromkeys(forms, refusal))
            continue
        for artifact in forms:
            is_single = artifact[1] == "fp32"
            try:
                checked = single if is_single else quantized_artifact(baseline, artifact, exporter, single, keep_float)
            except ExportError as refusal:
                built.refusals[artifact] = refusal
            else:
                built.bundles[artifact] = seal(
                    baseline,
                    artifact,
                    checked,
                    calibration=baseline.calibration.hashes if QUANTIZATIONS[artifact[1]].calibrated else None,
                    adaptation=job.source.adaptation,
                    inputs_sha256=inputs[artifact],
                )
    return built


def _exporters(job: Job, network: Network, artifacts: Iterable[Artifact], built: Built) -> dict[str, Exporter]:
    """An exporter for each format; the artifacts of a format without one are refused."""
    settings, exporters = ExportSettings(job.contract, job.recipe.opset, export_properties(job)), {}
    for name in dict.fromkeys(name for name, _ in artifacts):
        try:
            exporters[name] = network.exporter(name, settings)
        except ExportError as refusal:
            built.refusals.update({artifact: refusal for artifact in artifacts if artifact[0] == name})
    return exporters


def export_properties(job: Job) -> dict[str, str]:
    """What a model file says of itself."""
    properties = {
        "labels": msgspec.json.encode(job.labels).decode(),
        "input": msgspec.json.encode(job.contract).decode(),
        "run": job.source.name,
        "source_sha256": job.source.provenance.model_sha256,
    }
    if job.recipe.licence:
        properties["licence"] = job.recipe.licence
    return properties


def _matching_layers(
    patterns: tuple[str, ...], exporters: dict[str, Exporter], artifacts: Iterable[Artifact]
) -> frozenset[str]:
    """The layers that the patterns name, among those that one of the artifacts would turn into integers."""
    if not patterns:
        return frozenset()
    forms = [(name, kind) for name, kind in artifacts if name in exporters and QUANTIZATIONS[kind].gated]
    names = list(dict.fromkeys(layer for name, kind in forms for layer in exporters[name].quantizable(kind)))
    if not names:
        raise RecipeError("keep_float is given, but no form of this export turns a layer into integers; leave it out")
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            some = ", ".join(dict.fromkeys(names[:3] + names[-3:]))
            raise RecipeError(f"--keep-float {pattern!r} fits none of the {len(names)} layers to quantize: {some}, …")
    return frozenset(layer for pattern in patterns for layer in fnmatch.filter(names, pattern))


def seal(baseline: Baseline, artifact: Artifact, checked: CheckedArtifact, **facts: Any) -> Bundle:
    """Seal an artifact that has passed its checks.

    Args:
        baseline: what it was checked against.
        artifact: format and quantization.
        checked: the artifact.
        facts: fields of `BundleContent` that the caller alone knows.

    Raises:
        ExportError: no device would take it: it holds a loop, say.
    """
    job, golden = baseline.job, baseline.golden
    wanted = classifier_ports(job.contract, len(job.labels))
    require_ports(checked.model, artifact[0], wanted, job.name(artifact), ExportError)
    provenance = job.source.provenance
    if job.data is not None:
        provenance = msgspec.structs.replace(provenance, dataset_sha256=job.data.dataset.sha256)
    content = BundleContent(
        format=artifact[0],
        quantization=artifact[1],
        model=checked.model,
        input=job.contract,
        labels=job.labels,
        golden=golden,
        reference=baseline.test_part,
        source=provenance,
        tools=versions(*TOOLS),
        parity=metrics.parity(golden.probabilities, checked.variant.probabilities[baseline.golden_indices]),
        created=utc_now(),
        licence=job.recipe.licence,
        labelled=labelled_figures(baseline, checked),
        gate=None if checked.validated is None else checked.validated.gate,
        parity_steps=baseline.steps + checked.steps,
        keep_float=tuple(sorted(checked.keep_float)),
        integer_products=checked.integer_products,
        cpu=Processor(cpu_name(), cpu_features()),
        acceptance=_acceptance(baseline, artifact, checked),
        **facts,
    )
    sealed = bundle.write(job.target / job.name(artifact), content)
    baseline.predictions.keep()
    _report(job, sealed.manifest.name, checked.search)
    parity, floats = content.parity, len(content.keep_float)
    job.progress.say(
        f"  {sealed.manifest.name}  {len(checked.model) / 1e6:.1f} MB  {parity.count} {golden.kind} golden images: "
        f"top-1 agreement {parity.top1_agreement:.2%}, max |Δp| {parity.max_abs_diff:.1e}"
        + (f", {floats} layers in float" if floats else "")
    )
    return sealed


def _acceptance(baseline: Baseline, artifact: Artifact, checked: CheckedArtifact) -> AcceptanceRule | None:
    """Which of the artifact's answers to accept; None without enough labelled images to fit that to."""
    images = baseline.fitting_images
    if images is None:
        return None
    return fit(images, _answers(baseline, artifact, checked, images), baseline.job.recipe.coverage)


def _answers(baseline: Baseline, artifact: Artifact, checked: CheckedArtifact, images: Dataset) -> Probabilities:
    """What the artifact answers to images; those that it was judged on are not predicted again."""
    known: dict[bytes, NDArray[np.float32]] = {}
    if (validated := checked.validated) is not None:
        known = dict(zip(rows(validated.validation.hashes), validated.probabilities, strict=True))
    keys = rows(images.hashes)
    missing = images.take(np.array([i for i, key in enumerate(keys) if key not in known], np.int64))
    if len(missing):
        predicted = predict_artifact(baseline.job, artifact, checked.model, missing.images[:])
        known.update(zip(rows(missing.hashes), predicted, strict=True))
    return np.stack([known[key] for key in keys])


def _report(job: Job, name: str, search: MixedPrecisionResult | None) -> None:
    """Write down how layers returned to float, where some had to."""
    if search is None or search.ranking is None:
        return
    job.reports.mkdir(parents=True, exist_ok=True)
    write_report(job.reports, name, job.recipe.gate, search)
    job.progress.say(f"  {name}: {len(search.keep_float)} layers in float, see {job.reports / name}.md")
