"""Our own hot paths, timed by pytest-benchmark: what the runtime adds to an engine, and what a report costs.

usage: make bench
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bctoolkit import metrics
from bctoolkit.bench import stats
from bctoolkit.contract import InputContract, prepare
from bctoolkit.runtime import Classifier, StubBackend

Benchmark = Callable[..., Any]
RNG = np.random.default_rng(0)


def classifier(dtype: Any) -> Classifier:
    """A classifier whose engine takes no time."""
    return Classifier(StubBackend([0.125] * 8), InputContract(dtype=dtype), tuple("abcdefgh"))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_predict_overhead(benchmark: Benchmark, dtype: str) -> None:
    """Everything `predict` does besides the engine: checks and labels."""
    image = RNG.integers(0, 256, (1, 96, 96, 3)).astype(dtype)
    assert benchmark(classifier(dtype).predict, image).labels == ("a",)


@pytest.mark.parametrize("size", [96, 360])
def test_prepare(benchmark: Benchmark, size: int) -> None:
    """Crop and resize an array: nothing to do at 96, Lanczos at 360."""
    image = RNG.integers(0, 256, (size, size, 3), dtype=np.uint8)
    assert benchmark(prepare, image, InputContract()).shape == (96, 96, 3)


def test_latency_statistics(benchmark: Benchmark) -> None:
    """Percentiles and the bootstrap interval of three sessions of a thousand runs."""
    sessions = [RNG.gamma(9, 1, 1000) for _ in range(3)]
    assert benchmark(stats.latency, sessions).n == 3000


def test_parity_of_a_test_part(benchmark: Benchmark) -> None:
    """Two thousand images of eight classes."""
    probabilities = RNG.dirichlet(np.ones(8), 2000).astype(np.float32)
    assert benchmark(metrics.parity, probabilities, probabilities).count == 2000
