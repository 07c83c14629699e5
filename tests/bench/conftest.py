"""What the benchmark's tests share: quick settings, the tiny bundles, other images, and a report made by hand."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from bctoolkit.bench.report import (
    Check,
    Labelled,
    Latency,
    Machine,
    ParityReport,
    Report,
    Result,
    Settings,
    Verdict,
)
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, load
from bctoolkit.metrics import Parity


class Recorder:
    """A `Progress` that remembers what it is told."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int, str]] = []

    def say(self, line: str) -> None:
        pass

    def step(self, label: str, done: int, total: int, note: str = "") -> None:
        self.steps.append((label, done, total, note))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="session")
def quick() -> Settings:
    """The least that still exercises sessions, runs and warm-up."""
    return Settings(sessions=2, min_runs=24, min_seconds=0.05, warmup_runs=5, warmup_seconds=0.01, threads=1, seed=0)


@pytest.fixture(scope="session")
def four_bundles(workspace: Path) -> list[Path]:
    shelf = workspace / "exports" / "bundles"
    kinds = ("onnx-fp32", "onnx-int8-dynamic", "tflite-fp32", "tflite-int8-dynamic")
    return [shelf / f"tiny-{kind}" for kind in kinds]


@pytest.fixture(scope="session")
def tiny_data(class_folders: Path) -> Dataset:
    """The images the tiny run was trained on, as its bundles eat them."""
    return load(str(class_folders), InputContract(height=32, width=32))


@pytest.fixture(scope="session")
def foreign_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of the tiny run's classes that the run has never seen."""
    root = tmp_path_factory.mktemp("foreign")
    rng = np.random.default_rng(20_000)
    for name in ("left", "right", "up"):
        (root / name).mkdir()
        for index in range(5):
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(root / name / f"{index}.png")
    return root


def latency(**changes: object) -> Latency:
    usual = Latency(
        p50=12.345,
        p90=13.5,
        p99=15.25,
        mean=12.5,
        min=11.0,
        max=40.0,
        ci95_p50=(12.25, 12.5),
        n=1200,
        stable=True,
        spread=0.021,
    )
    return msgspec.structs.replace(usual, **changes)


def labelled(**changes: object) -> Labelled:
    usual = Labelled(
        split="test part",
        source="images/",
        count=200,
        accuracy=0.955,
        accuracy_ci95=(0.9163, 0.9792),
        reference_accuracy=0.96,
        accuracy_drop=0.005,
        accuracy_drop_ci95=(-0.01, 0.02),
        mcnemar_p=1.0,
        top1_agreement=0.985,
        recall={"left": 0.97, "right": 0.94, "up": None},
        worst_recall_drop=0.03,
        ece=0.0213,
        ece_drift=0.0012,
    )
    return msgspec.structs.replace(usual, **changes)


def result(**changes: object) -> Result:
    usual = Result(
        bundle="cells-onnx-fp32",
        format="onnx",
        quantization="fp32",
        provider="cpu",
        threads=2,
        batch=1,
        size_bytes=13_579_246,
        load_ms=84.2,
        first_ms=21.75,
        latency_ms=latency(),
        end_to_end_ms=latency(p50=14.0, p90=15.0, p99=None, ci95_p50=(13.75, 14.25), n=300, spread=0.034),
        throughput_per_s=80.0,
        peak_rss_bytes=210_000_000,
        parity=ParityReport(Parity(64, 1.0, 3.2e-6, 2.1e-7), "real", labelled()),
    )
    return msgspec.structs.replace(usual, **changes)


@pytest.fixture
def make_latency() -> Callable[..., Latency]:
    return latency


@pytest.fixture
def make_labelled() -> Callable[..., Labelled]:
    return labelled


@pytest.fixture
def make_result() -> Callable[..., Result]:
    """`make_result(field=value, …)`: a plausible result with some fields changed."""
    return result


@pytest.fixture
def report() -> Report:
    """Three results that between them show every form a report can take."""
    alone = labelled(
        split="all images",
        accuracy=0.9,
        accuracy_ci95=(0.8498, 0.9378),
        reference_accuracy=None,
        accuracy_drop=None,
        accuracy_drop_ci95=None,
        mcnemar_p=None,
        top1_agreement=None,
        worst_recall_drop=None,
        ece_drift=None,
    )
    checks = (
        Check(
            "max_p50_ms",
            20.0,
            8.0,
            False,
            "unstable: sessions lie more than 10 % apart; measure again on a quieter machine",
        ),
        Check("max_p99_ms", 30.0, None, False, "not measured: p99 needs at least 1,000 samples"),
        Check("min_top1_agreement", 0.99, 0.984375, False),
    )
    unstable = latency(p50=6.5, p99=None, ci95_p50=(6.0, 8.0), n=600, stable=False, spread=0.31)
    golden = Parity(64, 0.984375, 0.0421, 0.0031)
    return Report(
        created="2026-01-02T03:04:05+00:00",
        machine=Machine(
            system="Linux-6.1-x86_64",
            cpu="Example CPU @ 2.50GHz",
            cpu_flags=("avx2", "fma"),
            cores=8,
            cores_usable=2,
            memory_bytes=16_000_000_000,
            governor=None,
            frequency_mhz=2500.0,
            temperature_c=None,
            load_average=0.25,
            versions={"numpy": "2.0.0", "onnxruntime": "1.20.0"},
        ),
        settings=Settings(
            sessions=3, min_runs=300, min_seconds=5.0, warmup_runs=20, warmup_seconds=0.5, threads=2, seed=0
        ),
        results=(
            result(),
            result(
                bundle="cells-onnx-int8-dynamic",
                quantization="int8-dynamic",
                size_bytes=3_400_000,
                latency_ms=unstable,
                parity=ParityReport(golden, "real", alone),
                verdict=Verdict(False, checks),
            ),
            result(
                bundle="cells-tflite-fp32",
                format="tflite",
                parity=ParityReport(golden, "real"),
                verdict=Verdict(True, (Check("max_p50_ms", 20.0, 12.5, True),)),
            ),
        ),
    )
