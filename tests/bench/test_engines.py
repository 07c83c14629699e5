"""Several engines in one benchmark: each a result of its own, for the bundles of its format."""

from pathlib import Path

import msgspec
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.bench.checkpoint import Checkpoint, Request
from bctoolkit.bench.configurations import BenchRun
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.pipeline import bench
from bctoolkit.bench.worker.machine import fingerprint
from bctoolkit.progress import Silent

pytestmark = pytest.mark.usefixtures("local_children", "without_plots")


def keys(bundle: Path, settings: Settings, folder: Path) -> list[str]:
    request = Request(
        bundles=(), manifests=(), settings=settings, data=None, budget=None, machine=fingerprint(), created="now"
    )
    run = BenchRun([bundles.read(bundle)], request, Checkpoint(folder), Silent())
    return [target.key for target in run.targets]


def test_a_key_for_each_engine_and_provider_where_there_are_several(
    bundle: Path, quick: Settings, tmp_path: Path
) -> None:
    def of(*engines: str, providers: tuple[str, ...] = ()) -> list[str]:
        return keys(bundle, msgspec.structs.replace(quick, engines=engines, providers=providers), tmp_path)

    name = bundle.name
    assert of() == of("openvino") == [name]
    assert of("onnxruntime", "openvino") == [f"{name}@onnxruntime", f"{name}@openvino"]
    assert of("litert", "openvino") == [f"{name}@openvino"]
    assert of("onnxruntime", "openvino", providers=("cpu", "gpu"))[1::2] == [
        f"{name}@onnxruntime@gpu",
        f"{name}@openvino@gpu",
    ]


def test_engines_stand_beside_each_other(four_bundles: list[Path], quick: Settings, tmp_path: Path) -> None:
    engines = ("litert", "litert-compiled")
    settings = msgspec.structs.replace(quick, sessions=1, min_runs=8, min_seconds=0.0, engines=engines, profile_runs=3)
    report = bench([four_bundles[0], four_bundles[2]], settings, tmp_path / "x", Silent())
    assert [(result.bundle, result.engine) for result in report.results] == [
        ("tiny-tflite-fp32", "litert"),
        ("tiny-tflite-fp32", "litert-compiled"),
    ]
    assert all(result.profile is not None and result.profile.operators for result in report.results)
    [failure] = report.failures
    assert failure.message == (
        "tiny-onnx-fp32 in litert: unknown engine 'litert' for onnx; engines: onnxruntime, openvino"
    )
    text = (tmp_path / "x" / "report.md").read_text(encoding="utf-8")
    assert "## tiny-tflite-fp32, litert-compiled" in text
    assert "in litert-compiled on cpu with" in text


def test_openvino_s_profile_names_its_nodes(four_bundles: list[Path], quick: Settings, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'bctoolkit[openvino]'")
    settings = msgspec.structs.replace(
        quick, sessions=1, min_runs=8, min_seconds=0.0, engines=("openvino",), profile_runs=3
    )
    [result] = bench([four_bundles[0]], settings, tmp_path / "x", Silent()).results
    assert (result.engine, result.threads) == ("openvino", settings.threads)
    assert result.profile is not None
    assert "Softmax" in [operator.name for operator in result.profile.operators]
