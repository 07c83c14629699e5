"""What the benchmark's tests share: quick settings, the tiny bundles, other images, and a report made by hand."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from bctoolkit.bench.documents import stored
from bctoolkit.bench.documents.judgements import Check, Labelled, ParityReport, Verdict
from bctoolkit.bench.documents.measurements import Latency, Session, TimingWarning
from bctoolkit.bench.documents.report import Failure, Report, Result
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.report import charts
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset, load
from bctoolkit.documents import Outcome
from bctoolkit.statistics.metrics import Parity
from bctoolkit.statistics.paired import PairedChange, score_interval
from tests.support.local_child import do_jobs_locally
from tests.support.progress import Interrupted, Recorder

STORED = Path(__file__).parents[1] / "stored" / "report.json"


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
    return Settings(sessions=2, min_runs=24, min_seconds=0.05, warmup_runs=5, warmup_seconds=0.01, threads=1)


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


class Clock:
    """Nanoseconds that pass only where a test lets them."""

    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def local_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of child processes are done in this one: what is tested is who does what when, not the processes."""
    do_jobs_locally(monkeypatch)


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take most of a report's time; the page's own tests draw them."""
    monkeypatch.setattr(charts, "svg", lambda fig, label: f'<svg role="img" aria-label="{label}"></svg>')


def latency(**changes: object) -> Latency:
    usual = Latency(
        p50=12.345,
        p90=13.5,
        p99=15.25,
        mean=12.5,
        min=11.0,
        max=40.0,
        ci95_p50=(12.25, 12.5),
        ci95_p99=(14.75, 15.75),
        samples=1200,
        spread=0.021,
    )
    return msgspec.structs.replace(usual, **changes)


def change(regressed: int, improved: int, count: int) -> PairedChange:
    interval = score_interval(regressed, improved, count)
    return PairedChange(count, regressed, improved, (regressed - improved) / count, interval)


def labelled(**changes: object) -> Labelled:
    usual = Labelled(
        split="test part",
        source="images/",
        count=200,
        accuracy=0.955,
        accuracy_ci95=(0.9163, 0.9792),
        reference_accuracy=0.96,
        change=change(2, 1, 200),
        mcnemar_p=1.0,
        top1_agreement=0.985,
        top1_agreement_ci95=(0.956, 0.997),
        recall={"left": 0.97, "right": 0.94, "up": None},
        class_changes={"left": change(0, 0, 120), "right": change(2, 1, 80)},
        ece=0.0213,
        ece_drift=0.0012,
        ece_drift_ci95=(-0.003, 0.0051),
        temperature=1.1,
        ece_tempered=0.02,
    )
    return msgspec.structs.replace(usual, **changes)


def alone(**changes: object) -> Labelled:
    """Labelled images that the bundle carries no reference for."""
    usual = Labelled(
        split="all images",
        source="images/",
        count=200,
        accuracy=0.9,
        accuracy_ci95=(0.8498, 0.9378),
        recall={"left": 0.97, "right": 0.94, "up": None},
        ece=0.0213,
    )
    return msgspec.structs.replace(usual, **changes)


def parity(golden: Parity | None = None, labelled: Labelled | None = None) -> ParityReport:
    return ParityReport(
        golden=golden or Parity(64, 1.0, 3.2e-6, 2.1e-7),
        golden_images="real",
        golden_agreement_ci95=(0.944, 1.0),
        labelled=labelled,
    )


def session(**changes: object) -> Session:
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
        session(
            p50_ms=p50 * (1 + n), end_to_end_p50_ms=(p50 + 2) * (1 + n), load_ms=84.0 * (1 + n), first_ms=21.0 * (1 - n)
        )
        for n in noise
    )


def result(**changes: object) -> Result:
    usual = Result(
        key="cells-onnx-fp32",
        target="cells-onnx-fp32",
        bundle="cells-onnx-fp32",
        format="onnx",
        quantization="fp32",
        provider="cpu",
        threads=2,
        size_bytes=13_579_246,
        load_ms=84.2,
        first_ms=21.75,
        latency_ms=latency(),
        end_to_end_ms=latency(p50=14.0, p90=15.0, p99=None, ci95_p99=None, ci95_p50=(13.75, 14.25), samples=300,
                              spread=0.034),
        peak_rss_bytes=210_000_000,
        steady_rss_bytes=190_000_000,
        repeat_ratio=0.99,
        sessions=sessions_at(12.3),
        parity=parity(labelled=labelled()),
    )  # fmt: skip
    if "bundle" in changes:
        changes = {"key": changes["bundle"], "target": changes["bundle"]} | changes
    return msgspec.structs.replace(usual, **changes)


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
def make_alone() -> Callable[..., Labelled]:
    return alone


@pytest.fixture
def make_parity() -> Callable[..., ParityReport]:
    return parity


@pytest.fixture
def make_change() -> Callable[[int, int, int], PairedChange]:
    """`make_change(regressed, improved, count)`."""
    return change


@pytest.fixture
def make_result() -> Callable[..., Result]:
    """`make_result(field=value, …)`: a plausible result with some fields changed."""
    return result


@pytest.fixture
def report() -> Report:
    """Three results that between them show every form a report can take, as they are stored."""
    return stored.read(STORED).report


@pytest.fixture
def full_report(report: Report) -> Report:
    """The same with classes that regress, a limit that fails, and a bundle that died."""
    regressed = labelled(
        change=change(8, 1, 200),
        class_changes={"left": change(7, 0, 120), "right": change(1, 1, 80)},
        regressed_classes=("left",),
        temperature=1.234,
        ece_tempered=0.0102,
    )
    fine = labelled(change=change(0, 0, 200), class_changes={"left": change(0, 0, 120)}, temperature=1.0)
    checks = (
        Check(
            name="max_p50_ms",
            limit=20.0,
            outcome=Outcome.UNDECIDED,
            observed=8.0,
            interval=(6.0, 8.0),
            note=f"unstable: {TimingWarning.SPREAD.advice}",
        ),
        Check(
            name="min_top1_agreement",
            limit=0.98,
            outcome=Outcome.UNDECIDED,
            observed=0.956,
            interval=(0.956, 0.997),
            images_needed=640,
            note="200 images cannot say",
        ),
        Check(name="max_size_mb", limit=3.0, outcome=Outcome.FAILED, observed=3.4, interval=(3.4, 3.4)),
    )
    first, second, third = report.results
    unstable = latency(p50=6.5, ci95_p50=(6.0, 8.0), warnings=(TimingWarning.SPREAD,), spread=0.31,
                       ci95_p99=(14.5, 16.25))  # fmt: skip
    return msgspec.structs.replace(
        report,
        results=(
            msgspec.structs.replace(first, parity=parity(labelled=fine)),
            msgspec.structs.replace(
                second,
                latency_ms=unstable,
                parity=msgspec.structs.replace(second.parity, labelled=regressed),
                verdict=Verdict(Outcome.FAILED, checks),
            ),
            third,
        ),
        failures=(Failure("cells-tflite-int8", "tflite", "int8", "cells-tflite-int8: its process ended with SIGKILL"),),
    )
