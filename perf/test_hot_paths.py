"""Our own hot paths, timed by pytest-benchmark: what the runtime adds to an engine, and what a report costs.

usage: make bench
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bctoolkit import bundle as bundles
from bctoolkit.bench.analysis import statistics
from bctoolkit.contract import InputContract, prepare
from bctoolkit.runtime import Classifier, StubBackend, load
from bctoolkit.statistics import metrics, paired

Benchmark = Any
"""The fixture of pytest-benchmark, which has no types."""
RNG = np.random.default_rng(0)
statistics.mean_interval([1.0, 2.0])  # imports scipy, which is nothing to time
ZOO = Path(__file__).parents[1] / "exports" / "zoo"
BUNDLES = sorted(path.parent.name for path in ZOO.glob("*/manifest.json"))


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


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_prepare_a_file(benchmark: Benchmark, tmp_path: Path, suffix: str) -> None:
    """Open, decode, crop and resize 360 × 360 pixels."""
    file = tmp_path / f"cell.{suffix}"
    Image.fromarray(RNG.integers(0, 256, (360, 360, 3), dtype=np.uint8)).save(file)
    assert benchmark(prepare, file, InputContract()).shape == (96, 96, 3)


@pytest.mark.parametrize("name", BUNDLES)
def test_read_a_bundle(benchmark: Benchmark, name: str) -> None:
    """Read and check the manifest."""
    assert benchmark(bundles.read, ZOO / name).manifest.name == name


@pytest.mark.parametrize("name", BUNDLES)
def test_load_a_bundle(benchmark: Benchmark, name: str) -> None:
    """Read, check the model's hash and open it in its engine."""
    opened = benchmark.pedantic(load, (ZOO / name,), {"threads": 1}, rounds=10, warmup_rounds=1)
    assert len(opened.labels) == 8


def test_latency_statistics(benchmark: Benchmark) -> None:
    """Percentiles and intervals of five sessions of a thousand runs."""
    sessions = [RNG.gamma(9, 1, 1000) for _ in range(5)]
    assert benchmark(statistics.latency, sessions).samples == 5000


def test_ratio_of_two_results(benchmark: Benchmark) -> None:
    """Student's interval over ten paired sessions."""
    old, new = RNG.gamma(90, 1, (2, 10))
    assert benchmark(statistics.ratio, old, new, paired=True).value > 0


def test_parity_of_a_test_part(benchmark: Benchmark) -> None:
    """Two thousand images of eight classes."""
    probabilities = RNG.dirichlet(np.ones(8), 2000).astype(np.float32)
    assert benchmark(metrics.parity, probabilities, probabilities).count == 2000


def test_paired_change(benchmark: Benchmark) -> None:
    """Tango's interval of two thousand images, fifty of them decided differently."""
    before = RNG.random(2000) < 0.98
    after = before ^ (RNG.random(2000) < 0.025)
    assert benchmark(paired.paired_change, before, after).count == 2000


def test_temperature(benchmark: Benchmark) -> None:
    """The likeliest temperature of two thousand images."""
    probabilities = RNG.dirichlet(np.ones(8), 2000).astype(np.float32)
    labels = RNG.integers(0, 8, 2000)
    assert benchmark(metrics.temperature, labels, probabilities) > 0
