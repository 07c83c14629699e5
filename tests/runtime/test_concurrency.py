"""Several threads on one classifier: each gets the answers to its own images."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bctoolkit import bundle
from bctoolkit.documents.formats import FORMATS
from bctoolkit.runtime import load

ZOO = Path(__file__).parents[2] / "exports" / "zoo"
THREADS = 8


def wrong_answers(path: Path, seconds: float) -> tuple[int, int]:
    """How many answers were given to eight threads, and how many of them are not those of one thread alone."""
    images, classifier = bundle.read(path).golden().images, load(path, threads=1)
    alone = [classifier.predict(image[None]).probabilities for image in images]
    end = time.monotonic() + seconds

    def compare(seed: int) -> tuple[int, int]:
        order, count, wrong = np.random.default_rng(seed), 0, 0
        while count < len(images) or time.monotonic() < end:
            index = order.integers(len(images))
            wrong += not np.array_equal(classifier.predict(images[index][None]).probabilities, alone[index])
            count += 1
        return count, wrong

    with ThreadPoolExecutor(THREADS) as pool:
        counts = list(pool.map(compare, range(THREADS)))
    return sum(count for count, _ in counts), sum(wrong for _, wrong in counts)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("seconds", [1.0, pytest.param(20.0, marks=pytest.mark.soak)])
def test_eight_threads_on_one_classifier_never_get_each_other_s_answers(name: str, seconds: float) -> None:
    count, wrong = wrong_answers(ZOO / f"atto-{name}-int8-dynamic", seconds)
    assert wrong == 0, f"{wrong} of {count}"
