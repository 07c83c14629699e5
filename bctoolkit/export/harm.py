"""Return to float what quantization harms: rank the layers by the harm each does alone, and keep the worst in float."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents import Document
from bctoolkit.export.exporter import Exporter, Quantizing
from bctoolkit.export.gate import Judgement, judge
from bctoolkit.progress import Progress
from bctoolkit.quantizing import Gate

__all__ = ["LayerHarm", "Ranking", "Run", "Settled", "Validation", "settle"]

Run = Callable[[bytes, NDArray[np.uint8]], NDArray[np.float32]]
"""An artifact's probabilities, N × classes, of images N × height × width × channels, in the engine that will run it."""


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
    """The quantizable layers, the most harmful first."""

    layers: tuple[LayerHarm, ...]
    images: int
    """Validation images each layer was measured on."""
    seconds: float


@dataclass(frozen=True)
class Settled:
    """An artifact, and what had to stay in float for it."""

    model: bytes
    judgement: Judgement
    """Of `model`; it may have failed even so."""
    keep_float: frozenset[str]
    """Layers that stayed in float: those asked for and those returned."""
    first: Judgement
    """Of the artifact with nothing returned to float; the same as `judgement` where that did not fail."""
    ranking: Ranking | None
    """None where no ranking was needed."""


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
        exporter: of the network and format.
        quantization: one of the format's.
        quantizing: calibration images, method, and the layers that stay in float in any case.
        run: runs an artifact in the engine that will run it.
        validation: labelled images with the reference's probabilities.
        gate: what the artifact may lose.
        subject: names format and network (its hash), so that a ranking is resumed only for what it was begun for.
        folder: keeps the unfinished ranking, so that it can be resumed after a kill.
        progress: told how long the ranking will take, and where it is.
        seconds: what the ranking may take; it uses as many images as that allows.
    """
    model = exporter.convert(quantization, quantizing)
    observed = run(model, validation.images)
    found = judge(validation.labels, validation.reference, observed, validation.classes, gate)
    return Settled(model, found, quantizing.keep_float, found, None)
