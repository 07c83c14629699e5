"""What an export would take: the size of each bundle, time, memory and disk. Nothing is written.

What decides the time is tried: the network is loaded, predicts a batch in Keras, is converted to float32 in each format
and predicts a few images there. How often each of these is done by the export is counted.
"""

import shutil
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from bctoolkit.documents.formats import QUANTIZATIONS
from bctoolkit.export.build import export_properties
from bctoolkit.export.checks.acceptance import fitting_images
from bctoolkit.export.exporter import Exporter, ExportSettings, QuantizationSettings
from bctoolkit.export.keras_network import KerasNetwork
from bctoolkit.export.plan import Artifact, Job
from bctoolkit.export.reference import VALIDATED
from bctoolkit.export.variants import predict_artifact
from bctoolkit.system.counters import peak_rss

__all__ = ["BundlePlan", "ExportPlan", "estimate"]

BATCH, FEW = 32, 8
"""Images that the reference and an artifact predict for the estimate."""
REFERENCE_GRAPHS = 5
"""Times that a graph of the network is built: for the parts, the check images, a twin and float64."""
INTEGER_CONVERSION = 2.0
"""Time of converting to an integer form, over that of converting to float32; the greater part is the same work."""
OBSERVED_IMAGE = 3.0
"""Time of an image whose activations are all looked at, over that of predicting it."""
MEMORY = 1.15
"""Largest memory of an export over that of its estimate, which has done the same work once."""
FACTS_BYTES = 40_000
"""Manifest, bill of materials and what the acceptance rule is made of."""


class BundlePlan(NamedTuple):
    """One bundle, as an export would write it."""

    name: str
    bytes: int
    """Of the whole folder, estimated."""
    seconds: float
    """That it takes besides what all bundles share."""


class ExportPlan(NamedTuple):
    """What an export would do on this machine."""

    bundles: tuple[BundlePlan, ...]
    seconds: float
    """Estimated, of all together."""
    memory: int
    """Bytes that the process has at its largest, estimated."""
    free: int
    """Bytes that the disk has."""
    searched: tuple[str, ...]
    """Bundles whose time grows where not all layers can be integers: which these are is then searched."""

    @property
    def bytes(self) -> int:
        """That the bundles take on the disk."""
        return sum(bundle.bytes for bundle in self.bundles)


def estimate(job: Job, artifacts: Sequence[Artifact]) -> ExportPlan:
    """Try what decides the time, and count the rest.

    Args:
        job: what the artifacts share.
        artifacts: those that would be made, at least one.

    Raises:
        UnsupportedOp: a layer has no form in one of the formats.
        WeightsError: Keras cannot load the file safely.
    """
    job.progress.step("loading the network", 0, 1)
    seconds, network = _timed(lambda: KerasNetwork(job.source.load()))
    seconds += _reference_seconds(job, network, artifacts)
    bundles: list[BundlePlan] = []
    for name in dict.fromkeys(name for name, _ in artifacts):
        kinds = [kind for each, kind in artifacts if each == name]
        float32, others = _format(job, network, name, kinds)
        seconds += float32
        bundles += others
    free = shutil.disk_usage(next(path for path in (job.target, *job.target.absolute().parents) if path.exists())).free
    searched = tuple(job.name(artifact) for artifact in artifacts if QUANTIZATIONS[artifact[1]].gated)
    total = seconds + sum(bundle.seconds for bundle in bundles)
    return ExportPlan(tuple(bundles), total, int(MEMORY * peak_rss()), free, searched)


def _reference_seconds(job: Job, network: KerasNetwork, artifacts: Sequence[Artifact]) -> float:
    """Of all that the reference and the twins predict."""
    images, data = job.check_images.images, job.data
    batch = np.resize(images, (BATCH, *images.shape[1:]))

    def predict(batches: int) -> Any:
        return network.reference.predict(np.concatenate([batch] * batches), "timing the reference", job.progress)

    one, three = (_timed(partial(predict, batches))[0] for batches in (1, 3))
    each = max(three - one, 0.0) / (2 * BATCH)
    count = len(images)
    if data is not None and job.recipe.reference:
        count += len(data.parts.test)
    if data is not None and any(QUANTIZATIONS[kind].gated for _, kind in artifacts):
        count += min(VALIDATED, len(data.parts.validation))
    return REFERENCE_GRAPHS * max(one - BATCH * each, 0.0) + count * each


def _format(job: Job, network: KerasNetwork, name: str, kinds: Sequence[str]) -> tuple[float, list[BundlePlan]]:
    """Seconds of the float32 artifact, which every other is made beside, and the bundles."""
    job.progress.step(f"timing {name}", 0, 1)
    exporter = network.exporter(name, ExportSettings(job.contract, job.recipe.opset, export_properties(job)))
    converting, model = _timed(lambda: exporter.convert("fp32", QuantizationSettings()))
    images, artifact = job.check_images.images, (name, "fp32")
    one, few = (_timed(partial(predict_artifact, job, artifact, model, images[:count]))[0] for count in (1, FEW))
    each = max(few - one, 0.0) / (min(FEW, len(images)) - 1)
    opening = max(one - each, 0.0)
    fitted = None if job.data is None else fitting_images(job.data.dataset, job.data.parts)
    held = 0 if fitted is None else len(fitted)
    validated = 0 if job.data is None else min(VALIDATED, len(job.data.parts.validation))
    bundles = []
    for kind in kinds:
        row = QUANTIZATIONS[kind]
        answered = max(held, validated) if row.gated else held
        seconds = opening + answered * each
        if kind != "fp32":
            seconds += opening + len(images) * each + converting * (INTEGER_CONVERSION if row.gated else 1)
        if row.calibrated:
            seconds += job.recipe.calibration.images * each * OBSERVED_IMAGE
        size = len(model) - _saved(network, exporter, kind)
        bundles.append(BundlePlan(job.name((name, kind)), size + _enclosed(job), seconds))
    return converting + opening + len(images) * each, bundles


def _saved(network: KerasNetwork, exporter: Exporter, kind: str) -> int:
    """Bytes that a form's weights take less than float32 ones: of an integer form the kernels of its products."""
    row = QUANTIZATIONS[kind]
    products = set(exporter.quantizable(kind)) if row.gated else None
    small = sum(
        array.size
        for layer, array in network.twins[-1].weights()
        if products is None or (layer in products and array.ndim > 1)
    )
    return (4 - row.weight_bytes) * small


def _enclosed(job: Job) -> int:
    """Bytes of what goes with a model: golden images, the reference's answers on the test part, facts."""
    images, outputs = job.check_images, len(job.labels)
    golden = len(zlib.compress(images.images[: images.golden].tobytes()))
    answers = 0 if job.data is None or not job.recipe.reference else len(job.data.parts.test) * (32 + 4 * outputs)
    return golden + answers + FACTS_BYTES


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result
