"""Open a file and its reference, compare them, and seal what holds; imports TensorFlow."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from bctoolkit.bundle import Bundle
from bctoolkit.data.sources.source import open_source as open_images
from bctoolkit.documents import Outcome
from bctoolkit.documents.adopted import Adopted
from bctoolkit.documents.formats import QUANTIZATIONS, Tolerance
from bctoolkit.documents.preprocessing import PRESETS, InputSettings, OutputSettings
from bctoolkit.errors import DatasetError, ParityFailed, RecipeError
from bctoolkit.export.adoption.adapter import Adapter, adaptation
from bctoolkit.export.adoption.classifier import ForeignClassifier
from bctoolkit.export.adoption.foreign import ForeignModel
from bctoolkit.export.adoption.opening import class_names, open_pair
from bctoolkit.export.adoption.reference import FileReference, Reference
from bctoolkit.export.adoption.stated import Adoption, bundle_name
from bctoolkit.export.adoption.suggestions import agreeing_settings, most_accurate_settings
from bctoolkit.export.artifacts import CheckedArtifact
from bctoolkit.export.baseline import Baseline, check_network, limits_of
from bctoolkit.export.build import export_properties, seal
from bctoolkit.export.checks.conditioning import Limits
from bctoolkit.export.checks.images import choose_check_images
from bctoolkit.export.checks.introspection import INTROSPECTORS, coarse_channel
from bctoolkit.export.checks.judgement import Validation, validate
from bctoolkit.export.checks.parity_chain import Variant, compare, compare_float32, require_names
from bctoolkit.export.plan import Artifact, Job
from bctoolkit.export.source import load_data
from bctoolkit.export.variants import artifact_variant, predict_artifact
from bctoolkit.files import without_empty_folders
from bctoolkit.manifest import ParityStep
from bctoolkit.progress import Progress
from bctoolkit.recipes import ExportRecipe
from bctoolkit.statistics import metrics

__all__ = ["Request", "adopt_model"]

INTEGERS = Limits(Tolerance(0.1, 0.01, 0.95), 0.1)
"""How far an integer form may be from the file that it was made of: where a value lies between two integers, the last
bit of a float decides."""


@dataclass(frozen=True)
class Request:
    """What an adoption is to do, apart from what is stated of the file."""

    target: Path
    progress: Progress
    data: str | None
    golden: str | None
    recipe: ExportRecipe
    cache: Path | None


def adopt_model(adoption: Adoption, model: ForeignModel, kind: str, request: Request) -> Bundle:
    """Compare a file that has been read with its reference, and seal it.

    Args:
        adoption: what is stated of it.
        model: the file.
        kind: its quantization.
        request: with which images, and where to.

    Raises:
        BctkError: as `pipeline.adopt`.
    """
    progress, target, data, golden = request.progress, request.target, request.data, request.golden
    recipe, cache, name = request.recipe, request.cache, bundle_name(adoption)
    classifier, reference = open_pair(adoption, model, progress)
    labels = class_names(adoption, model, reference, classifier.classes, _folders(data))
    group = recipe.group or reference.source.group
    source = dataclasses.replace(reference.source, name=name, labels=labels, group=group)
    labelled = None if golden is not None and data is None else load_data(source, data, progress)
    check_images = choose_check_images(golden, recipe.golden, labelled, source.contract, progress)
    job = Job(source, recipe, labelled, check_images, target, progress, cache)
    _require_reference_scale(adoption, classifier, reference, job)
    with without_empty_folders(target, *([cache] if cache else [])):
        reference.require_right_feeding(labelled, OutputSettings(labels=labels), progress)
        network = reference.network(job.check_images.images)
        baseline = check_network(job, network, [(model.format, kind)])
        settings = _settings(classifier, adoption.input, kind, baseline)
        adapter = classifier.adapter(settings, job.check_images.images)
        checked = _check(baseline, classifier, adapter, (model.format, kind), adoption.input)
        checked = _validated(job, checked, (model.format, kind), baseline.validation)
        return seal(
            baseline,
            (model.format, kind),
            checked,
            adaptation=adaptation(adapter, settings),
            adopted=Adopted(adoption.file.name, model.sha256, model.producer, model.arithmetic),
        )


def _folders(data: str | None) -> tuple[str, ...]:
    """The classes of the images, by the alphabet; none where there are none to read, which `load_data` tells."""
    if data is None:
        return ()
    try:
        images = open_images(data)
    except DatasetError:
        return ()
    return () if isinstance(images, str) else images.classes


def _require_reference_scale(adoption: Adoption, classifier: ForeignClassifier, reference: Reference, job: Job) -> None:
    """An ONNX file as the reference has to be fed right, too; only labelled images could tell how.

    Raises:
        RecipeError: its scale is unknown.
    """
    if not isinstance(reference, FileReference) or reference.settings is not None:
        return
    option = "--scale" if classifier.settings(adoption.input) is None else "--reference-scale"
    images = job.check_images
    hint = most_accurate_settings(reference.classifier, adoption.input, images.images, images.labels)
    raise RecipeError(_question(reference.classifier, option) + hint.replace("--scale", option))


def _settings(classifier: ForeignClassifier, stated: InputSettings, kind: str, baseline: Baseline) -> InputSettings:
    """The settings of the file's input.

    Raises:
        RecipeError: its scale is unknown; the message says with which the file gives the reference's answers.
    """
    settings = classifier.settings(stated)
    if settings is None:
        images, expected = baseline.job.check_images.images, baseline.reference.probabilities
        hint = agreeing_settings(classifier, stated, kind, images, expected)
        raise RecipeError(_question(classifier, "--scale") + hint)
    return settings


def _question(classifier: ForeignClassifier, option: str) -> str:
    return (
        f"{classifier.path}: what its input {classifier.model.input} makes of pixels 0–255 is not in the file; say it "
        f"with {option} {'|'.join(PRESETS)} or FACTOR,OFFSET"
    )


def _check(
    baseline: Baseline, classifier: ForeignClassifier, adapter: Adapter, artifact: Artifact, stated: InputSettings
) -> CheckedArtifact:
    """Compare the artifact with the file as it came, and with the reference.

    Raises:
        ParityFailed: it is further from either than the form allows; the message says with which scale it would not be.
    """
    job, kind = baseline.job, artifact[1]
    images = job.check_images
    properties = export_properties(job) | {"adopted_sha256": classifier.model.sha256}
    content = classifier.model.wrapped(adapter, properties)
    as_it_came = classifier.predict(adapter, images.images)
    before = Variant(f"{classifier.path.name} as it came", as_it_came, lambda image: [], lambda image: [])
    after = artifact_variant(job, artifact, content, before)
    steps = [compare(before, after, _written_in(baseline, kind), images, bisect=False)]
    try:
        steps.append(_compare_with_reference(baseline, after, kind))
    except ParityFailed as problem:
        expected = baseline.reference.probabilities
        is_far = bool(metrics.limit_violations(expected, as_it_came, QUANTIZATIONS[kind].tolerance))
        hint = agreeing_settings(classifier, stated, kind, images.images, expected) if is_far else ""
        raise ParityFailed(f"{problem}{hint}") from None
    require_names(after, job.labels, baseline.reference, images)
    weights, products = INTROSPECTORS[artifact[0]].integers(content)
    if fault := coarse_channel(weights):
        job.progress.say(f"  {job.name(artifact)}: {fault}")
    return CheckedArtifact(content, after, tuple(steps), integer_products=products)


def _written_in(baseline: Baseline, kind: str) -> Limits:
    """How far a form may be from the file that it was made of."""
    if QUANTIZATIONS[kind].gated:
        return INTEGERS
    return baseline.conditioning.between if kind == "fp32" else limits_of(kind)


def _compare_with_reference(baseline: Baseline, after: Variant, kind: str) -> ParityStep:
    """The step that counts; float32 is judged by what float32 can hold of the network."""
    images = baseline.job.check_images
    if kind == "fp32":
        return compare_float32(baseline.reference, after, baseline.conditioning, images, bisect=False)
    return compare(baseline.reference, after, limits_of(kind), images, bisect=False)


def _validated(
    job: Job, checked: CheckedArtifact, artifact: Artifact, validation: Validation | None
) -> CheckedArtifact:
    """Let an integer form pass the gate, and keep what it said there.

    Returns:
        Its probabilities on the validation images, where there are some.

    Raises:
        ParityFailed: it costs more accuracy than the gate allows.
    """
    if validation is None:
        return checked
    validated = validate(
        validation, lambda images: predict_artifact(job, artifact, checked.model, images), job.recipe.gate
    )
    reasons = "; ".join(validated.gate.reasons)
    if validated.gate.outcome is Outcome.FAILED:
        raise ParityFailed(f"reference → {' '.join(artifact)}: {reasons}; no bundle was written")
    if reasons:
        job.progress.say(f"  {job.name(artifact)}: {reasons}")
    return dataclasses.replace(checked, validated=validated)
