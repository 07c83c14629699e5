"""Search which layers an integer form has to compute in float: rank them by sensitivity, return the worst to float."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit.data.stores import Images
from bctoolkit.documents import Document, Outcome, read_json, to_json
from bctoolkit.errors import ExportError
from bctoolkit.export.checks.judgement import Judgement
from bctoolkit.export.exporter import Exporter, QuantizationSettings
from bctoolkit.files import atomic_file, sha256_bytes
from bctoolkit.progress import Progress, duration
from bctoolkit.statistics.metrics import Probabilities, kl_divergence

__all__ = [
    "LayerSensitivity",
    "MixedPrecisionResult",
    "Predict",
    "Ranking",
    "SearchTask",
    "mean_divergence",
    "search_mixed_precision",
]

Predict = Callable[[bytes, NDArray[np.uint8]], Probabilities]
"""An artifact's probabilities, N × classes, of images N × height × width × channels, in the engine that will run it."""

LEAST, MOST = 32, 256
"""Images a layer's sensitivity is measured on: below, chance would order the layers; above, the order stays."""


class LayerSensitivity(Document, frozen=True):
    """How far quantizing one layer alone moves the predictions."""

    layer: str
    kl_divergence: float
    """Mean Kullback-Leibler divergence of the predictions from the reference's, in nats."""


class Ranking(Document, frozen=True, kw_only=True):
    """Quantizable layers with their sensitivity, the most sensitive first; an unfinished one lacks layers."""

    schema: int = 1
    layers: tuple[LayerSensitivity, ...] = ()
    images: int
    """Images each layer was measured on."""
    seconds: float = 0.0
    """Measuring time in total, over all interruptions."""


@dataclass(frozen=True)
class MixedPrecisionResult:
    """An artifact, and what had to stay in float for it."""

    model: bytes = field(repr=False)
    final: Judgement
    """Of `model`; it may have failed even so."""
    keep_float: frozenset[str]
    """Layers in float: those of the recipe and those returned."""
    first: Judgement
    """Of the artifact with nothing returned to float; the same as `final` where that did not fail."""
    ranking: Ranking | None
    """None where no ranking was needed."""


@dataclass(frozen=True)
class SearchTask:
    """One network, one integer form, and how its candidates are judged and its layers ranked."""

    exporter: Exporter
    """Of the network and format; it converts some times more often than the network has layers."""
    quantization: str
    """One of the format's."""
    settings: QuantizationSettings
    """Calibration images and method, and the layers that stay in float in any case."""
    judge: Callable[[bytes], Judgement]
    """All that is asked of an artifact before it is sealed."""
    predict: Predict
    images: Images
    """N × height × width × channels uint8, on which layers are ranked; of the first ones each class has its turn."""
    reference: NDArray[np.float32]
    """N × classes: the float32 reference's probabilities of them."""
    network: str
    """Names format, network (its hash) and tools: a ranking is resumed only for the same."""
    folder: Path
    """Keeps rankings, so that one is resumed after a kill, and a finished one is reused."""
    progress: Progress
    """Shows how long the ranking will take, and where it is."""
    seconds: float = 480.0
    """What the ranking may take; it uses as many images as that allows."""

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are ranked: those that the form turns into integers, but for those that stay in any case."""
        names = self.exporter.quantizable(self.quantization)
        return tuple(name for name in names if name not in self.settings.keep_float)

    @property
    def file(self) -> Path:
        """Where the ranking is; its name stands for all that the ranking depends on."""
        settings = (self.settings.ranges_key, sorted(self.settings.keep_float))
        images = sha256_bytes(self.images[:].tobytes())
        key = sha256_bytes(to_json((self.network, self.quantization, settings, self.layers, images)))
        return self.folder / f"sensitivity-{key[:16]}.json"

    def convert(self, keep_float: frozenset[str]) -> bytes:
        """The artifact with these layers in float."""
        return self.exporter.convert(self.quantization, replace(self.settings, keep_float=keep_float))

    def attempt(self, keep_float: frozenset[str]) -> tuple[bytes, Judgement]:
        """The artifact with these layers in float, and how it is judged."""
        model = self.convert(keep_float)
        return model, self.judge(model)


def search_mixed_precision(task: SearchTask) -> MixedPrecisionResult:
    """Quantize, and where the judgement is bad return the most sensitive layers to float until it is good.

    Returns:
        The artifact; where it fails even with all layers in float, its judgement says so.

    Raises:
        ExportError: a stored ranking is damaged.
        ParityFailed: a candidate is at fault in a way that no layer in float would mend.
    """
    fixed = task.settings.keep_float
    model, first = task.attempt(fixed)
    layers = task.layers
    if first.outcome is not Outcome.FAILED or not layers:
        return MixedPrecisionResult(model, first, fixed, first, None)
    task.progress.say(f"  {task.quantization}: not as it is: {'; '.join(first.reasons)}")
    ranking = _rank(task, layers)
    model, final, returned = _return_to_float(task, [entry.layer for entry in ranking.layers])
    return MixedPrecisionResult(model, final, fixed | returned, first, ranking)


def mean_divergence(reference: Probabilities, observed: Probabilities) -> float:
    """Mean Kullback-Leibler divergence D(reference ‖ observed) of N × classes probabilities, in nats.

    Probabilities below 1e-6, and those that are not finite, count as 1e-6. Those of an output of eight bits need not
    sum to one, so both are scaled to do so.
    """
    finite = (np.nan_to_num(p.astype(np.float64), posinf=0.0) for p in (reference, observed))
    return float(kl_divergence(*(np.maximum(p, 1e-6) for p in finite)).mean())


def _rank(task: SearchTask, layers: tuple[str, ...]) -> Ranking:
    """Measure the sensitivity of each layer alone: quantized, while all others are float.

    The measure is that of ZeroQ (Cai et al. 2020, arXiv:2001.00281, section 3.2). It needs no label, so every image
    says something, where accuracy changes on a few in a thousand. One layer alone, and not all but one: where several
    layers ruin the predictions, returning a single one would show no gain. The file is written after every layer.
    """
    path, progress = task.file, task.progress
    if path.is_file():
        ranking = read_json(path, Ranking, ExportError, "remove it and export again")
        each = ranking.seconds / max(len(ranking.layers), 1)
    else:
        count, each = _affordable(task, layers)
        ranking = Ranking(images=count)
    done = {entry.layer for entry in ranking.layers}
    todo = [name for name in layers if name not in done]
    if todo:
        start = f"resuming the ranking after {len(done)} of {len(layers)}" if done else f"ranking {len(layers)}"
        progress.say(f"  {start} layers by sensitivity on {ranking.images} images: about {duration(each * len(todo))}")
    path.parent.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(todo):
        progress.step("ranking layers", len(done) + index, len(layers), name)
        start_time = time.perf_counter()
        images, reference = task.images[: ranking.images], task.reference[: ranking.images]
        divergence = mean_divergence(reference, task.predict(task.convert(_all_but(task, layers, name)), images))
        ranking = Ranking(
            layers=(*ranking.layers, LayerSensitivity(name, divergence)),
            images=ranking.images,
            seconds=ranking.seconds + time.perf_counter() - start_time,
        )
        atomic_file(path, to_json(ranking))
    progress.step("ranking layers", len(layers), len(layers))
    order = sorted(ranking.layers, key=lambda entry: -entry.kl_divergence)
    return msgspec.structs.replace(ranking, layers=tuple(order))


def _affordable(task: SearchTask, layers: tuple[str, ...]) -> tuple[int, float]:
    """How many images each layer can be measured on, and how long one layer then takes, from timing the first."""
    images = task.images
    marks = [time.perf_counter()]
    model = task.convert(_all_but(task, layers, layers[0]))
    marks.append(time.perf_counter())
    for count in (1, LEAST):
        task.predict(model, images[:count])
        marks.append(time.perf_counter())
    converting, one, many = np.diff(marks).tolist()
    each = max(many - one, 1e-6) / (LEAST - 1)
    affordable = 1 + int((task.seconds / len(layers) - converting - one) / each)
    count = min(max(affordable, LEAST), MOST, len(images))
    return count, converting + one + (count - 1) * each


def _all_but(task: SearchTask, layers: tuple[str, ...], name: str) -> frozenset[str]:
    return task.settings.keep_float | frozenset(layers) - {name}


def _return_to_float(task: SearchTask, ranked: list[str]) -> tuple[bytes, Judgement, frozenset[str]]:
    """Return the fewest of the worst layers for a good judgement, or all: doubling first, then bisection."""

    def attempt(count: int) -> tuple[bytes, Judgement, frozenset[str]]:
        returned = frozenset(ranked[:count])
        model, result = task.attempt(task.settings.keep_float | returned)
        task.progress.say(f"  {count} of {len(ranked)} layers in float: {result.summary}")
        return model, result, returned

    failing, count = 0, 1
    best = attempt(count)
    while best[1].outcome is Outcome.FAILED and count < len(ranked):
        failing, count = count, min(2 * count, len(ranked))
        best = attempt(count)
    while best[1].outcome is not Outcome.FAILED and count - failing > 1:
        middle = (failing + count) // 2
        candidate = attempt(middle)
        if candidate[1].outcome is Outcome.FAILED:
            failing = middle
        else:
            count, best = middle, candidate
    return best
