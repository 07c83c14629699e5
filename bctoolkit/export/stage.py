"""`export`: run → float32 twin → artifacts → bundles, each checked before it is sealed."""

from dataclasses import dataclass
from pathlib import Path

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit import metrics
from bctoolkit.bundle import Bundle, Golden, Reference
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, Parts
from bctoolkit.data.dataset import stratified
from bctoolkit.errors import ExportError, ParityFailed, RecipeError
from bctoolkit.export.exporter import Exporter, Quantizing, Settings
from bctoolkit.export.golden import answers, freeze_golden, freeze_reference
from bctoolkit.export.origin import Origin, images_of, open_origin
from bctoolkit.export.twin import fold, freeze, reference
from bctoolkit.formats import FORMATS, QUANTIZATIONS, Tolerance, engine_for
from bctoolkit.lazy import attribute
from bctoolkit.progress import Progress
from bctoolkit.recipes import ExportRecipe
from bctoolkit.runtime.backends import default_threads
from bctoolkit.tools import utc_now, versions

__all__ = ["export"]

CHECKED = 128
"""Further images of the test part that an artifact is checked on before it is sealed, besides the golden ones."""

TOOLS = ("bctoolkit", "keras", "tensorflow", "onnx", "onnxruntime", "ai-edge-litert", "numpy")


@dataclass(frozen=True)
class _Evidence:
    """Images with the reference's answers: what every artifact of one export is held against."""

    golden: Golden
    reference: Reference | None
    images: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    labels: tuple[str, ...]
    dataset_sha256: str


def export(
    path: Path,
    recipe: ExportRecipe,
    target: Path,
    progress: Progress,
    *,
    data: str | None = None,
    golden: str | None = None,
) -> list[Bundle]:
    """Export a network to every format and quantization of the recipe.

    Args:
        path: a run folder, or a `.keras` / `.h5` file.
        recipe: formats, quantizations, input dtype, number of golden images.
        target: the folder that gets one bundle folder per artifact.
        progress: told what goes on.
        data: the network's images, where the run does not know them or they have moved.
        golden: None for golden images of the test part, `synthetic`, or a path to images of the user's own.

    Returns:
        The bundles, in the order of the recipe.

    Raises:
        ParityFailed: an artifact departs from the Keras reference; the message names the link. No bundle is left of it.
        UnsupportedOp: a layer has no form in a format.
        ExportError: there is nothing to export, or nothing to check it on.
    """
    artifacts = _plan(recipe)
    origin = open_origin(path)
    known = None if golden is not None and data is None else images_of(origin, data, progress)
    contract = msgspec.structs.replace(origin.contract, dtype=recipe.input)
    original = reference(origin.model)
    evidence = _gather(origin, original, recipe, known, golden, progress)
    twin = _checked_twin(origin.model, evidence, progress)
    settings = Settings(contract)
    exporters = {name: attribute(FORMATS[name].exporter)(twin, settings) for name in dict.fromkeys(recipe.formats)}
    return [
        _seal(exporters[name], name, kind, contract, origin, evidence, target, progress) for name, kind in artifacts
    ]


def _plan(recipe: ExportRecipe) -> list[tuple[str, str]]:
    """The pairs of format and quantization to make, checked against the table before any work is done."""
    for name in recipe.formats:
        for kind in recipe.quantizations:
            if kind not in FORMATS[name].quantizations:
                known = ", ".join(FORMATS[name].quantizations)
                raise RecipeError(f"{name} has no quantization {kind!r}; it has {known}")
    return [(name, kind) for name in dict.fromkeys(recipe.formats) for kind in dict.fromkeys(recipe.quantizations)]


def _gather(
    origin: Origin,
    original: keras.Model,
    recipe: ExportRecipe,
    known: tuple[Dataset, Parts] | None,
    golden: str | None,
    progress: Progress,
) -> _Evidence:
    frozen = freeze_golden(original, golden, recipe.golden, known, origin.contract, progress)
    classes = frozen.probabilities.shape[1]
    if known is None:
        labels = origin.labels or tuple(f"class_{i}" for i in range(classes))
        return _Evidence(frozen, None, frozen.images, frozen.probabilities, labels, origin.source.dataset_sha256)
    dataset, parts = known
    whole = freeze_reference(original, dataset, parts, progress)
    taken = len(frozen.images) if golden is None else 0  # golden images of the test part are the first of its order
    further = stratified(dataset, parts.test, taken + CHECKED)[taken:]
    extra = np.searchsorted(parts.test, further)
    images = np.concatenate([frozen.images, dataset.images[further]])
    probabilities = np.concatenate([frozen.probabilities, whole.probabilities[extra]])
    return _Evidence(frozen, whole, images, probabilities, origin.labels or dataset.classes, dataset.sha256)


def _checked_twin(model: keras.Model, evidence: _Evidence, progress: Progress) -> keras.Model:
    """The folded float32 twin, checked link by link against the trained network."""
    limits = QUANTIZATIONS["fp32"].tolerance
    twin = model
    for link, step in (("Keras → float32 twin", freeze), ("float32 twin → folded twin", fold)):
        twin = step(twin)
        _require(link, evidence, answers(twin, evidence.images, link, progress), limits)
    return twin


def _seal(
    exporter: Exporter,
    format_name: str,
    quantization: str,
    contract: InputContract,
    origin: Origin,
    evidence: _Evidence,
    target: Path,
    progress: Progress,
) -> Bundle:
    """Make one artifact, check it in the engine that will run it, and write its bundle."""
    name = f"{origin.name}-{format_name}-{quantization}"
    progress.step(f"{name}: converting", 0, 1)
    model = exporter.convert(quantization, Quantizing())
    observed = _run(model, format_name, evidence.images.astype(contract.dtype), name, progress)
    _require(f"float32 twin → {format_name} {quantization}", evidence, observed, QUANTIZATIONS[quantization].tolerance)
    golden = evidence.golden
    sealed = bundles.write(
        target / name,
        format=format_name,
        quantization=quantization,
        model=model,
        input=contract,
        labels=evidence.labels,
        golden=golden,
        reference=evidence.reference,
        source=msgspec.structs.replace(origin.source, dataset_sha256=evidence.dataset_sha256),
        tools=versions(*TOOLS),
        parity=metrics.parity(golden.probabilities, observed[: len(golden.images)]),
        created=utc_now(),
    )
    parity = sealed.manifest.parity
    progress.say(
        f"  {name}  {len(model) / 1e6:.1f} MB  {parity.count} {golden.kind} golden images: "
        f"top-1 agreement {parity.top1_agreement:.2%}, max |Δp| {parity.max_abs_diff:.1e}"
    )
    return sealed


def _run(
    model: bytes, format_name: str, images: NDArray[np.generic], name: str, progress: Progress
) -> NDArray[np.float32]:
    """The artifact's probabilities, image by image, as a device would ask for them."""
    engine = engine_for(format_name)
    backend = attribute(engine.backend)(model, engine.providers[0], default_threads())
    rows = []
    for index in range(len(images)):
        progress.step(f"{name}: checking", index, len(images))
        rows.append(backend.run(images[index : index + 1]))
    progress.step(f"{name}: checking", len(images), len(images))
    return np.concatenate(rows)


def _require(link: str, evidence: _Evidence, observed: NDArray[np.float32], limits: Tolerance) -> None:
    if observed.shape != evidence.probabilities.shape:
        raise ExportError(f"{link}: answers have shape {observed.shape}, expected {evidence.probabilities.shape}")
    broken = metrics.broken_limits(evidence.probabilities, observed, limits)
    if broken:
        raise ParityFailed(f"{link}: {'; '.join(broken)} on {len(observed)} images; no bundle was written")
