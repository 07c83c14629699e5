"""Return to float what quantization harms: rank the layers by the harm each does alone, and keep the worst in float."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents import Document, parse, to_json
from bctoolkit.documents.quantization import Gate
from bctoolkit.errors import ExportError
from bctoolkit.export.checks.gate import Judgement, judge
from bctoolkit.export.exporter import Exporter, Quantizing
from bctoolkit.files import atomic_file, sha256_bytes
from bctoolkit.progress import Progress, duration

__all__ = ["LayerHarm", "Ranking", "Run", "Settled", "Validation", "settle"]

Run = Callable[[bytes, NDArray[np.uint8]], NDArray[np.float32]]
"""An artifact's probabilities, N × classes, of images N × height × width × channels, in the engine that will run it."""

LEAST, MOST = 32, 256
"""Images a layer's harm is measured on: below, chance would order the layers; above, nothing changes any more."""


@dataclass(frozen=True)
class Validation:
    """The labelled images an artifact is judged on: those of the validation part."""

    images: NDArray[np.uint8]
    """N × height × width × channels, in an order in which every class has its turn, as `stratified` gives it."""
    labels: NDArray[np.int64]
    """N true classes."""
    reference: NDArray[np.float32]
    """N × classes: probabilities of the float32 reference."""
    classes: tuple[str, ...]


class LayerHarm(Document, frozen=True):
    """What quantizing one layer alone does to the answers."""

    layer: str
    harm: float
    """Mean Kullback-Leibler divergence of the answers from the reference's, in nats."""


class Ranking(Document, frozen=True, kw_only=True):
    """Quantizable layers with their harm, the most harmful first; an unfinished one lacks layers."""

    schema: int = 1
    layers: tuple[LayerHarm, ...] = ()
    images: int
    """Validation images each layer was measured on."""
    seconds: float = 0.0
    """That it took, in all its sittings."""


@dataclass(frozen=True)
class Settled:
    """An artifact, and what had to stay in float for it."""

    model: bytes = field(repr=False)
    judgement: Judgement
    """Of `model`; it may have failed even so."""
    keep_float: frozenset[str]
    """Layers that stayed in float: those asked for and those returned."""
    first: Judgement
    """Of the artifact with nothing returned to float; the same as `judgement` where that did not fail."""
    ranking: Ranking | None
    """None where no ranking was needed."""


@dataclass(frozen=True)
class _Work:
    """One network, one form, and the images it is judged on."""

    exporter: Exporter
    quantization: str
    quantizing: Quantizing
    run: Run
    validation: Validation
    gate: Gate

    def convert(self, keep_float: frozenset[str]) -> bytes:
        return self.exporter.convert(self.quantization, replace(self.quantizing, keep_float=keep_float))

    def attempt(self, keep_float: frozenset[str]) -> tuple[bytes, Judgement]:
        model, shown = self.convert(keep_float), self.validation
        observed = self.run(model, shown.images)
        return model, judge(shown.labels, shown.reference, observed, shown.classes, self.gate)

    def harm(self, model: bytes, count: int) -> float:
        shown = self.validation
        return divergence(shown.reference[:count], self.run(model, shown.images[:count]))


def settle(
    exporter: Exporter,
    quantization: str,
    quantizing: Quantizing,
    run: Run,
    validation: Validation,
    gate: Gate,
    *,
    subject: str,
    folder: Path,
    progress: Progress,
    seconds: float = 480.0,
) -> Settled:
    """Quantize, and where the gate fails return the most harmful layers to float until it holds.

    Args:
        exporter: of the network and format; it is asked to convert some times more often than it has layers.
        quantization: one of the format's.
        quantizing: calibration images, method, and the layers that stay in float in any case.
        run: runs an artifact in the engine that will run it.
        validation: labelled images with the reference's probabilities.
        gate: what the artifact may lose.
        subject: names format, network (its hash) and tools: a ranking is resumed only for what it was begun for.
        folder: keeps rankings, so that one is resumed after a kill, and a finished one is used again.
        progress: told how long the ranking will take, and where it is.
        seconds: what the ranking may take; it uses as many images as that allows.

    Returns:
        The artifact; where it fails the gate even with all layers in float, its judgement says so.

    Raises:
        ExportError: a kept ranking is damaged.
    """
    asked = quantizing.keep_float
    work = _Work(exporter, quantization, quantizing, run, validation, gate)
    model, first = work.attempt(asked)
    layers = tuple(name for name in exporter.quantizable(quantization) if name not in asked)
    if first.outcome != "failed" or not layers:
        return Settled(model, first, asked, first, None)
    progress.say(f"  {quantization}: the gate fails: {'; '.join(first.reasons)}")
    path = folder / f"harm-{_key(work, layers, subject)[:16]}.json"
    ranking = _rank(work, layers, path, progress, seconds)
    model, judgement, returned = _fall_back(work, [found.layer for found in ranking.layers], progress)
    return Settled(model, judgement, asked | returned, first, ranking)


def divergence(reference: NDArray[np.float32], observed: NDArray[np.float32]) -> float:
    """Mean Kullback-Leibler divergence D(reference ‖ observed) of N × classes probabilities, in nats.

    Probabilities below 1e-6, and those that are not finite, count as 1e-6. Those of an output of eight bits need not
    sum to one, so both are scaled to do so.
    """
    finite = (np.nan_to_num(p.astype(np.float64), posinf=0.0) for p in (reference, observed))
    raised = (np.maximum(p, 1e-6) for p in finite)
    before, after = (p / p.sum(1, keepdims=True) for p in raised)
    return float((before * np.log(before / after)).sum(1).mean())


def _rank(work: _Work, layers: tuple[str, ...], path: Path, progress: Progress, seconds: float) -> Ranking:
    """Measure the harm of each layer alone: quantized, while all others are float.

    The measure is that of ZeroQ (Cai et al. 2020, arXiv:2001.00281, section 3.2). It needs no label, so every image
    says something, where accuracy changes on a few in a thousand. One layer alone, and not all but one: where several
    layers ruin the answers, returning a single one would show no gain. `path` is written after every layer.
    """
    ranking = _kept(path)
    if ranking is None:
        images, each = _affordable(work, layers, seconds)
        ranking = Ranking(images=images)
    else:
        each = ranking.seconds / max(len(ranking.layers), 1)
    done = {found.layer for found in ranking.layers}
    todo = [name for name in layers if name not in done]
    if todo:
        start = f"resuming the ranking after {len(done)} of {len(layers)}" if done else f"ranking {len(layers)}"
        progress.say(
            f"  {start} layers by their harm on {ranking.images} validation images: about {duration(each * len(todo))}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(todo):
        left = each * (len(todo) - place)
        progress.step("ranking layers", len(done) + place, len(layers), f"{name}, about {duration(left)} left")
        began = time.perf_counter()
        harm = work.harm(work.convert(_all_but(work, layers, name)), ranking.images)
        ranking = Ranking(
            layers=(*ranking.layers, LayerHarm(name, harm)),
            images=ranking.images,
            seconds=ranking.seconds + time.perf_counter() - began,
        )
        each = ranking.seconds / len(ranking.layers)
        atomic_file(path, to_json(ranking))
    progress.step("ranking layers", len(layers), len(layers))
    return msgspec.structs.replace(ranking, layers=tuple(sorted(ranking.layers, key=lambda found: -found.harm)))


def _affordable(work: _Work, layers: tuple[str, ...], seconds: float) -> tuple[int, float]:
    """How many images each layer can be measured on, and how long one layer then takes, from timing the first."""
    shown = work.validation.images
    marks = [time.perf_counter()]
    model = work.convert(_all_but(work, layers, layers[0]))
    marks.append(time.perf_counter())
    for count in (1, LEAST):
        work.run(model, shown[:count])
        marks.append(time.perf_counter())
    converting, one, many = np.diff(marks).tolist()
    each = max(many - one, 1e-6) / (LEAST - 1)
    count = 1 + int((seconds / len(layers) - converting - one) / each)
    images = min(max(count, LEAST), MOST, len(shown))
    return images, converting + one + (images - 1) * each


def _all_but(work: _Work, layers: tuple[str, ...], name: str) -> frozenset[str]:
    return work.quantizing.keep_float | frozenset(layers) - {name}


def _fall_back(work: _Work, ranked: list[str], progress: Progress) -> tuple[bytes, Judgement, frozenset[str]]:
    """Return the fewest of the worst layers with which the gate holds, or all: doubling first, then bisection."""

    def attempt(count: int) -> tuple[bytes, Judgement, frozenset[str]]:
        returned = frozenset(ranked[:count])
        model, judgement = work.attempt(work.quantizing.keep_float | returned)
        progress.say(
            f"  {count} of {len(ranked)} layers in float: {judgement.outcome}, "
            f"accuracy drop {judgement.accuracy_drop:.2%}"
        )
        return model, judgement, returned

    failing, count = 0, 1
    best = attempt(count)
    while best[1].outcome == "failed" and count < len(ranked):
        failing, count = count, min(2 * count, len(ranked))
        best = attempt(count)
    while best[1].outcome != "failed" and count - failing > 1:
        middle = (failing + count) // 2
        tried = attempt(middle)
        if tried[1].outcome == "failed":
            failing = middle
        else:
            count, best = middle, tried
    return best


def _kept(path: Path) -> Ranking | None:
    """The ranking begun at `path`, if there is one."""
    if not path.is_file():
        return None
    try:
        raw = json.loads(path.read_bytes())
    except ValueError:
        raise ExportError(f"{path}: damaged; remove it and export again") from None
    return parse(Ranking, raw, f"{path} (remove it and export again)", ExportError)


def _key(work: _Work, layers: tuple[str, ...], subject: str) -> str:
    """A hash of all that the ranking depends on."""
    quantizing = work.quantizing
    arrays = (quantizing.images, work.validation.images)
    hashes = [None if array is None else sha256_bytes(array.tobytes()) for array in arrays]
    settings = (quantizing.method, quantizing.percentile, sorted(quantizing.keep_float))
    return sha256_bytes(to_json((subject, work.quantization, settings, layers, hashes)))
