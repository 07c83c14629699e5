"""What the benchmark's tests share: quick settings, the tiny bundles, other images, and a report made by hand."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from bctoolkit.bench.documents.report import (
    Check,
    Failure,
    Labelled,
    Latency,
    Machine,
    Outcome,
    ParityReport,
    Report,
    Result,
    Session,
    Settings,
    Unstable,
    Verdict,
)
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, load
from bctoolkit.progress import Silent
from bctoolkit.statistics.metrics import Parity
from bctoolkit.statistics.paired import Loss, loss_limits


class Recorder:
    """A `Progress` that remembers what it is told."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int, str]] = []

    def say(self, line: str) -> None:
        pass

    def step(self, label: str, done: int, total: int, note: str = "") -> None:
        self.steps.append((label, done, total, note))


class Interrupted(Silent):
    """Ctrl-C at the given step of the given kind of work."""

    def __init__(self, label: str, at: int) -> None:
        self.label, self.at = label, at

    def step(self, label: str, done: int, total: int, note: str = "") -> None:
        if (label, done) == (self.label, self.at):
            raise KeyboardInterrupt


@pytest.fixture
def interrupted() -> type[Interrupted]:
    """`interrupted(label, at)` is a `Progress`."""
    return Interrupted


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


def measured(**changes: object) -> Session:
    usual = Session(
        p50_ms=12.3,
        end_to_end_p50_ms=14.0,
        load_ms=84.0,
        first_ms=21.0,
        peak_rss_bytes=209_000_000,
        steady_rss_bytes=190_000_000,
    )
    return msgspec.structs.replace(usual, **changes)


def sessions_at(p50: float, noise: tuple[float, ...] = (-0.01, 0.0, 0.005, 0.01, -0.005)) -> tuple[Session, ...]:
    """Five sessions around a median; each has its share of noise in every figure."""
    return tuple(
        measured(
            p50_ms=p50 * (1 + n), end_to_end_p50_ms=(p50 + 2) * (1 + n), load_ms=84.0 * (1 + n), first_ms=21.0 * (1 - n)
        )
        for n in noise
    )


@pytest.fixture
def make_sessions() -> Callable[..., tuple[Session, ...]]:
    return sessions_at


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


@pytest.fixture
def full_report(report: Report) -> Report:
    """Three results with all that is measured today: sessions, outcomes, classes that lose, a bundle that died."""
    lost = {
        "left": Loss(120, 7, 0, 7 / 120, loss_limits(7, 0, 120)),
        "right": Loss(80, 1, 1, 0.0, loss_limits(1, 1, 80)),
    }
    whole = Loss(200, 8, 1, 0.035, loss_limits(8, 1, 200))
    known = labelled(
        class_loss=lost,
        loss=whole,
        accuracy_drop=0.035,
        accuracy_drop_ci95=whole.ci95,
        losing=("left",),
        top1_agreement_ci95=(0.956, 0.997),
        temperature=1.234,
        ece_tempered=0.0102,
    )
    fine = labelled(
        class_loss={"left": Loss(120, 0, 0, 0.0, loss_limits(0, 0, 120))},
        accuracy_drop=0.0,
        temperature=1.0,
        ece_tempered=0.02,
    )
    checks = (
        Check("max_p50_ms", 20.0, 8.0, False, f"unstable: {Unstable.SPREAD.advice}", Outcome.UNDECIDED, (6.0, 8.0)),
        Check(
            "min_top1_agreement", 0.98, 0.956, False, "200 images cannot say", Outcome.UNDECIDED, (0.956, 0.997), 640
        ),
        Check("max_size_mb", 3.0, 3.4, False, "", Outcome.FAILED, (3.4, 3.4)),
    )
    first, second, third = report.results
    quick = latency(p50=6.5, ci95_p50=(6.0, 8.0), n=1200, stable=False, unstable=(Unstable.SPREAD,), spread=0.31,
                    ci95_p99=(14.5, 16.25))  # fmt: skip
    parity = ParityReport(Parity(64, 1.0, 3.2e-6, 2.1e-7), "real", fine, (0.944, 1.0))
    return msgspec.structs.replace(
        report,
        settings=msgspec.structs.replace(report.settings, sessions=5),
        results=(
            msgspec.structs.replace(
                first, sessions=sessions_at(12.3), steady_rss_bytes=190_000_000, repeat_ratio=0.99, parity=parity
            ),
            msgspec.structs.replace(
                second,
                sessions=sessions_at(6.5, (-0.1, 0.0, 0.2, 0.05, -0.05)),
                latency_ms=quick,
                parity=msgspec.structs.replace(second.parity, labelled=known, golden_agreement_ci95=(0.916, 0.9996)),
                verdict=Verdict(False, checks, Outcome.FAILED),
            ),
            msgspec.structs.replace(
                third,
                sessions=sessions_at(12.4),
                verdict=Verdict(
                    True, (Check("max_p50_ms", 20.0, 12.5, True, "", Outcome.PASSED, (12.25, 12.5)),), Outcome.PASSED
                ),
            ),
        ),
        failures=(
            Failure("cells-tflite-int8", "tflite", "int8", "cells-tflite-int8: its process ended with signal 9"),
        ),
    )
