"""Make what is asked for: one twin, one exporter per format, each stage checked against the one before."""

import dataclasses
import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit.bundle import Bundle, Golden, IntegerProducts, Link, Processor, Reference
from bctoolkit.data.dataset import positions
from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS, Tolerance, engine_for
from bctoolkit.errors import ExportError, ParityFailed, RecipeError
from bctoolkit.export.cache import TOOLS, digest
from bctoolkit.export.calibration import ranges
from bctoolkit.export.calibration.ranges import Calibration
from bctoolkit.export.checks.introspection import INSIDE, coarse_channel
from bctoolkit.export.checks.locate import layer_outputs
from bctoolkit.export.checks.parity_chain import Limits, Stage, join, require_names, require_trained_accuracy
from bctoolkit.export.exporter import Exporter, Quantizing, Settings
from bctoolkit.export.keras_graph.twin import fold, freeze, reference
from bctoolkit.export.plan import Artifact, Job
from bctoolkit.export.reference import ReferenceAnswers, answers
from bctoolkit.export.sensitivity import search
from bctoolkit.export.sensitivity.report import write_report
from bctoolkit.export.sensitivity.search import Validation
from bctoolkit.lazy import attribute
from bctoolkit.networks import leaves
from bctoolkit.runtime.backends import default_threads
from bctoolkit.statistics import metrics
from bctoolkit.tools import cpu_features, cpu_name, utc_now, versions

__all__ = ["make"]

FEW = 16
"""Images on which two Keras networks are compared: what is wrong with a layer's form shows on any image."""

SURE = 0.5
"""Least margin of an image that the reference is sure of."""

MIXED = Limits(Tolerance(0.5, 0.03, 0.95), 0.2)
"""Half precision, as the network was trained, against float32: rounding of the size of an int8 form's."""


@dataclass(frozen=True)
class _Shared:
    """What is made and checked once, before any artifact."""

    job: Job
    plain: Stage
    """The float32 Keras reference."""
    folded: Stage
    links: tuple[Link, ...]
    reference: Reference | None
    validation: Validation | None
    calibration: Calibration | None
    keep_float: frozenset[str]

    @property
    def golden(self) -> Golden:
        """The golden images with the reference's answers."""
        evidence, chosen = self.job.evidence, self.golden_positions
        return Golden(evidence.images[chosen], self.plain.probabilities[chosen], evidence.labels[chosen], evidence.kind)

    @cached_property
    def golden_positions(self) -> NDArray[np.intp]:
        """Which images of the evidence are golden: of the candidates first those that the reference is sure of.

        Near a tie rounding alone moves an integer form's answer many times as far, so that what is sealed would say
        more of this CPU's order of adding than of the artifact. Such images are still part of the evidence.
        """
        evidence = self.job.evidence
        unsure = metrics.margin(self.plain.probabilities[: evidence.candidates]) < SURE
        return np.sort(np.argsort(unsure, kind="stable")[: evidence.golden])


@dataclass(frozen=True)
class _Made:
    """An artifact that has passed its checks."""

    model: bytes
    stage: Stage
    links: tuple[Link, ...]
    keep_float: frozenset[str] = frozenset()
    integer_products: IntegerProducts | None = None


def make(job: Job, wanted: dict[Artifact, str]) -> dict[Artifact, Bundle]:
    """Make artifacts, check each, and seal each in a bundle of its own.

    Args:
        job: what they share.
        wanted: artifact → hash of all that decides it, for its manifest.

    Raises:
        ParityFailed: a link does not hold. No bundle is left of the artifact.
        UnsupportedOp: a layer has no form in a format.
        RecipeError: a pattern of layers to keep in float fits none.
    """
    job.progress.step("loading the network", 0, 1)
    network = job.origin.load()
    frozen = freeze(network)
    folded = fold(frozen)
    settings = _settings(job)
    exporters = {name: attribute(FORMATS[name].exporter)(folded, settings) for name, _ in wanted}
    keep_float = _matched(job.recipe.keep_float, exporters, wanted)
    kinds = [QUANTIZATIONS[kind] for _, kind in wanted]
    shared = _checked_twin(
        job, (network, frozen, folded), any(k.gated for k in kinds), any(k.calibrated for k in kinds), keep_float
    )
    del network, frozen
    made: dict[Artifact, Bundle] = {}
    for name in list(exporters):
        exporter = exporters.pop(name)  # so that its graph goes when it is done
        single = _float32(shared, name, exporter)
        for artifact in (artifact for artifact in wanted if artifact[0] == name):
            done = single if artifact[1] == "fp32" else _quantized(shared, artifact, exporter, single)
            made[artifact] = _seal(shared, artifact, done, wanted[artifact])
    return made


def _settings(job: Job) -> Settings:
    properties = {
        "labels": msgspec.json.encode(job.labels).decode(),
        "input": msgspec.json.encode(job.contract).decode(),
        "run": job.origin.name,
        "source_sha256": job.origin.source.model_sha256,
    }
    if job.recipe.licence:
        properties["licence"] = job.recipe.licence
    return Settings(job.contract, job.recipe.opset, properties)


def _matched(patterns: tuple[str, ...], exporters: dict[str, Exporter], wanted: Iterable[Artifact]) -> frozenset[str]:
    """The layers that the patterns name, among those that a wanted form would turn into integers."""
    if not patterns:
        return frozenset()
    forms = [(name, kind) for name, kind in wanted if QUANTIZATIONS[kind].gated]
    names = list(dict.fromkeys(layer for name, kind in forms for layer in exporters[name].quantizable(kind)))
    if not names:
        raise RecipeError("keep_float is given, but no form of this export turns a layer into integers; leave it out")
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            some = ", ".join(dict.fromkeys(names[:3] + names[-3:]))
            raise RecipeError(f"--keep-float {pattern!r} fits none of the {len(names)} layers to quantize: {some}, …")
    return frozenset(layer for pattern in patterns for layer in fnmatch.filter(names, pattern))


def _checked_twin(
    job: Job, networks: tuple[Any, Any, Any], gated: bool, calibrated: bool, keep_float: frozenset[str]
) -> _Shared:
    """Compare the Keras forms of the network, and ask its float32 reference all that the artifacts need of it."""
    network, frozen, folded = networks
    original = reference(network)
    asked = ReferenceAnswers(job, original)
    whole = asked.test_part()
    plain = _of_keras("float32 Keras", original, asked.evidence(whole))
    links = []
    if original is not network:
        trained = _asked(job, f"Keras in {_precision(network)}", network)
        links.append(join(trained, plain, MIXED, job.evidence, job.bisect))
    _require_training(job, plain, whole)
    before = plain
    for name, model in (("frozen twin", frozen), ("folded twin", folded)):
        after = _asked(job, name, model)
        links.append(join(before, after, _limits("fp32"), job.evidence, job.bisect))
        before = after
    return _Shared(
        job,
        # From here on the folded twin's layers stand for the reference's, whose network is needed no more.
        plain=dataclasses.replace(plain, layers=before.layers, tensors=before.tensors),
        folded=before,
        links=tuple(links),
        reference=whole,
        validation=asked.validation() if gated else None,
        calibration=_chosen(job) if calibrated else None,
        keep_float=keep_float,
    )


def _require_training(job: Job, plain: Stage, whole: Reference | None) -> None:
    """Hold the reference's answers on the test part against what training wrote down of the same images."""
    trained, known = job.origin.trained, job.known
    if trained and known and whole and known.dataset.sha256 == job.origin.source.dataset_sha256:
        require_trained_accuracy(plain.name, trained, known.dataset.labels[known.parts.test], whole.probabilities)


def _chosen(job: Job) -> Calibration:
    if job.known is None:
        raise ExportError("int8 needs images of the training part to calibrate on; say where they are with --data")
    dataset, train = job.known.dataset, job.known.parts.train
    chosen = ranges.choose(dataset, job.known.parts, job.recipe.calibration.images)
    place = positions(chosen.hashes, dataset.hashes[train])
    if (place < 0).any() or not np.array_equal(dataset.images[train[place]], chosen.images):
        raise ParityFailed(
            "training part → calibration images: they are not the images of the training part that their hashes name; "
            "no bundle was written"
        )
    return chosen


def _float32(shared: _Shared, format_name: str, exporter: Exporter) -> _Made:
    """The fp32 artifact: what every other form of a format is compared with, asked for or not."""
    job = shared.job
    job.progress.step(f"{job.name((format_name, 'fp32'))}: converting", 0, 1)
    model = exporter.convert("fp32", Quantizing())
    stage = _of_artifact(shared, (format_name, "fp32"), model)
    return _Made(model, stage, _joined(shared, shared.folded, stage, "fp32"))


def _quantized(shared: _Shared, artifact: Artifact, exporter: Exporter, single: _Made) -> _Made:
    """Another form than fp32, compared with the fp32 artifact and with the reference."""
    kind = artifact[1]
    job, row = shared.job, QUANTIZATIONS[kind]
    settings = job.recipe.calibration
    images = shared.calibration.images if shared.calibration is not None and row.calibrated else None
    keep_float = shared.keep_float & frozenset(exporter.quantizable(kind)) if row.gated else frozenset()
    quantizing = Quantizing(images, settings.method, settings.percentile, keep_float)
    job.progress.step(f"{job.name(artifact)}: converting", 0, 1)
    if row.gated and shared.validation is not None:
        model, keep_float = _settled(shared, artifact, exporter, quantizing, shared.validation)
    else:
        model = exporter.convert(kind, quantizing)
    products = _checked_integers(single.stage.name, artifact, model) if row.gated else None
    stage = _of_artifact(shared, artifact, model)
    return _Made(model, stage, single.links + _joined(shared, single.stage, stage, kind), keep_float, products)


def _settled(
    shared: _Shared, artifact: Artifact, exporter: Exporter, quantizing: Quantizing, validation: Validation
) -> tuple[bytes, frozenset[str]]:
    """The integer form that the gate lets pass, and the layers it keeps in float for that."""
    job, name = shared.job, shared.job.name(artifact)
    settled = search.settle(
        exporter,
        artifact[1],
        quantizing,
        lambda model, images: _observe(job, artifact, model, images),
        validation,
        job.recipe.gate,
        subject=f"{artifact[0]} {digest(job.origin.source.model_sha256)}",
        folder=job.cache or job.target,
        progress=job.progress,
    )
    if settled.ranking is not None:
        job.reports.mkdir(parents=True, exist_ok=True)
        write_report(job.reports, name, job.recipe.gate, settled)
        job.progress.say(f"  {name}: {len(settled.keep_float)} layers in float, see {job.reports / name}.md")
    reasons = "; ".join(settled.judgement.reasons)
    if settled.judgement.outcome == "failed":
        raise ParityFailed(f"{artifact[0]} fp32 → {' '.join(artifact)}: {reasons}; no bundle was written")
    if settled.judgement.outcome == "undecided":
        job.progress.say(f"  {name}: {reasons}")
    return settled.model, settled.keep_float


def _checked_integers(before: str, artifact: Artifact, model: bytes) -> IntegerProducts | None:
    """The products of integers: each output channel needs a scale of its own, and sums that every CPU gets right."""
    inside = INSIDE.get(artifact[0])
    if inside is None:
        return None
    fault = coarse_channel(inside.integer_weights(model))
    products = inside.integer_products(model)
    if fault is None and products is not None and products.saturating:
        fault = (
            f"{products.saturating} of {products.columns} columns of integer weights hold neighbours that x86 without "
            "VNNI cannot add up in 16 bits"
        )
    if fault:
        raise ParityFailed(f"{before} → {' '.join(artifact)}: {fault}; no bundle was written")
    return products


def _joined(shared: _Shared, before: Stage, after: Stage, kind: str) -> tuple[Link, ...]:
    """Compare an artifact with what it was made from, with the reference, and with the names of the classes."""
    job = shared.job
    links = tuple(join(stage, after, _limits(kind), job.evidence, job.bisect) for stage in (before, shared.plain))
    require_names(after, job.labels, shared.plain, job.evidence)
    return links


def _seal(shared: _Shared, artifact: Artifact, made: _Made, inputs_sha256: str) -> Bundle:
    job, golden = shared.job, shared.golden
    dataset_sha256 = job.known.dataset.sha256 if job.known else job.origin.source.dataset_sha256
    calibrated = shared.calibration if QUANTIZATIONS[artifact[1]].calibrated else None
    sealed = bundles.write(
        job.target / job.name(artifact),
        format=artifact[0],
        quantization=artifact[1],
        model=made.model,
        input=job.contract,
        labels=job.labels,
        golden=golden,
        reference=shared.reference,
        source=msgspec.structs.replace(job.origin.source, dataset_sha256=dataset_sha256),
        tools=versions(*TOOLS),
        parity=metrics.parity(golden.probabilities, made.stage.probabilities[shared.golden_positions]),
        created=utc_now(),
        links=shared.links + made.links,
        calibration=None if calibrated is None else calibrated.hashes,
        keep_float=tuple(sorted(made.keep_float)),
        integer_products=made.integer_products,
        cpu=Processor(cpu_name(), cpu_features()),
        inputs_sha256=inputs_sha256,
    )
    parity, kept = sealed.manifest.parity, len(made.keep_float)
    job.progress.say(
        f"  {sealed.manifest.name}  {len(made.model) / 1e6:.1f} MB  {parity.count} {golden.kind} golden images: "
        f"top-1 agreement {parity.top1_agreement:.2%}, max |Δp| {parity.max_abs_diff:.1e}"
        + (f", {kept} layers in float" if kept else "")
    )
    return sealed


def _limits(kind: str) -> Limits:
    return Limits(QUANTIZATIONS[kind].tolerance, QUANTIZATIONS[kind].logit_error)


def _precision(network: Any) -> str:
    """The dtype most of the layers that are not float32 compute in."""
    found = [layer.compute_dtype for layer in leaves(network) if layer.compute_dtype != "float32"]
    return str(max(dict.fromkeys(found), key=found.count))


def _asked(job: Job, name: str, model: Any) -> Stage:
    return _of_keras(name, model, answers(model, job.evidence.images[:FEW], name, job.progress))


def _of_keras(name: str, model: Any, probabilities: NDArray[np.float32]) -> Stage:
    return Stage(
        name,
        probabilities,
        layers=partial(layer_outputs, model),
        tensors=lambda image: [output.value for output in layer_outputs(model, image)],
    )


def _of_artifact(shared: _Shared, artifact: Artifact, model: bytes) -> Stage:
    job, inside = shared.job, INSIDE.get(artifact[0])
    dtype = job.contract.dtype
    return Stage(
        " ".join(artifact),
        _observe(job, artifact, model, job.evidence.images),
        layers=shared.folded.layers,
        tensors=lambda image: [] if inside is None else inside.tensors(model, image.astype(dtype)),
    )


def _observe(job: Job, artifact: Artifact, model: bytes, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The artifact's probabilities in the engine that will run it, image by image, as a device asks.

    Dynamic int8 takes the range of a whole batch, so a larger one would answer differently.
    """
    engine = engine_for(artifact[0])
    backend = attribute(engine.backend)(model, engine.providers[0], default_threads())
    given = images.astype(job.contract.dtype)
    label = f"{job.name(artifact)}: checking"
    rows = []
    for index in range(len(given)):
        job.progress.step(label, index, len(given))
        rows.append(backend.run(given[index : index + 1]))
    job.progress.step(label, len(given), len(given))
    return np.concatenate(rows)
