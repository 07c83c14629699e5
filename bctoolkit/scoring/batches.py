"""How many images an engine is given at a time."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS
from bctoolkit.runtime import Classifier, ClassifierInfo

__all__ = ["MOST_BATCH", "answers_depend_on_batch", "knee"]

MOST_BATCH = 4096
DOUBLED_TO = 64
"""Images: beyond, CPUs gain nothing and memory is what it takes."""
TURN_SECONDS, TURNS = 0.15, 3
GAIN = 1.05
"""A larger batch has to be worth so many times the throughput: the bench's knee is within 5 % of the best, too."""


def answers_depend_on_batch(info: ClassifierInfo) -> bool:
    """Whether an image's probabilities depend on those beside it: ranges taken at run time span the whole batch."""
    if info.format is None or info.quantization is None:
        return False
    return QUANTIZATIONS[info.quantization].dynamic and FORMATS[info.format].batch is None


def knee(classifier: Classifier) -> int:
    """The smallest batch within 5 % of the best throughput here, of 1, 2, 4, … 64, on images of noise.

    One for a graph of a fixed batch, and for a form whose answers depend on it.
    """
    info = classifier.info()
    if answers_depend_on_batch(info) or (info.format is not None and FORMATS[info.format].batch is not None):
        return 1
    contract, rng = classifier.contract, np.random.default_rng(0)
    noise = rng.integers(0, 256, (DOUBLED_TO, *contract.shape), np.uint8).astype(contract.dtype)
    rates: dict[int, float] = {}
    size = 1
    while size <= DOUBLED_TO and (len(rates) < 3 or max(list(rates.values())[-2:]) >= max(rates.values())):
        rates[size] = max(_rate(classifier, noise[:size]) for _ in range(TURNS))
        size *= 2
    return next(size for size, rate in rates.items() if rate * GAIN >= max(rates.values()))


def _rate(classifier: Classifier, images: NDArray[Any]) -> float:
    """Images per second."""
    classifier.backend.run(images)
    runs, begun = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < TURN_SECONDS or not runs:
        classifier.backend.run(images)
        runs += 1
    return runs * len(images) / elapsed
