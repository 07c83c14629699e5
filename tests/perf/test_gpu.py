"""`make gpu` where there is no GPU, and its checks with the CPU in a GPU's place."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from perf.gpu import __main__ as command
from perf.gpu import inference
from perf.gpu.document import Check, GpuReport

ROOT = Path(__file__).parents[2]


def test_without_a_gpu_it_says_so_and_ends_well(tmp_path: Path) -> None:
    if command.gpus():
        pytest.skip("there is a GPU")
    done = run(tmp_path, "--out", tmp_path / "gpu.json")
    assert (done.returncode, done.stdout) == (0, "no GPU here: nothing was checked\n"), done.stderr
    assert list(tmp_path.iterdir()) == []


def run(cwd: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "perf.gpu", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=900, check=False, cwd=cwd, env=environment)


@pytest.mark.soak
def test_the_whole_of_it_on_the_cpu(tmp_path: Path) -> None:
    done = run(tmp_path, "--stand-in", "--out", tmp_path / "gpu.json", "--minutes", "12")
    report = msgspec.json.decode((tmp_path / "gpu.json").read_bytes(), type=GpuReport)
    failed = [check for check in report.checks if check.outcome == "failed"]
    assert (done.returncode, failed) == (0, []), done.stdout + done.stderr
    assert report.stand_in
    assert report.gpus == []
    assert (
        sum(check.name.startswith(("onnxruntime refuses", "litert-compiled refuses")) for check in report.checks) == 4
    )
    assert "training baseline_cnn in float16 with loss scaling, 8 steps" in [check.name for check in report.checks]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The stored bundle's mean colour as the network, and its own answers as Keras's."""
    from bctoolkit.runtime import load
    from tests.support.bundles import STORED

    (tmp_path / "fp32.onnx").write_bytes((STORED / "model.onnx").read_bytes())
    classifier = load(STORED, self_test="never")
    shape, dtype = classifier.contract.shape, classifier.contract.dtype
    images = np.random.default_rng(0).integers(0, 256, (8, *shape)).astype(dtype)
    np.savez(tmp_path / "golden.npz", images=images, probabilities=classifier.backend.run(images))
    return tmp_path


def test_a_form_is_judged_timed_and_what_ran_is_told(folder: Path) -> None:
    check = inference.run(folder, "onnx", "onnxruntime", "cpu", "fp32", 3)
    assert (check.outcome, check.figures["ran_on"]) == ("passed", "cpu")
    assert float(check.figures["p50_ms"]) > 0  # type: ignore[arg-type]


def test_wrong_answers_fail_and_what_is_not_there_is_not_run(folder: Path) -> None:
    with np.load(folder / "golden.npz") as golden:
        images, answers = golden["images"], golden["probabilities"]
    np.savez(folder / "golden.npz", images=images, probabilities=answers[:, ::-1])
    assert inference.run(folder, "onnx", "onnxruntime", "cpu", "fp32", 3).outcome == "failed"
    check = inference.run(folder, "onnx", "onnxruntime", "coreml", "fp32", 3)
    assert (check.outcome, check.reason.startswith("this ONNX Runtime has no Core")) == ("not run", True)


def test_a_silent_way_to_the_cpu_would_be_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert inference.refuse(folder, "onnx", "onnxruntime", "cpu").outcome == "failed"
    check = inference.refuse(folder, "onnx", "onnxruntime", "qnn")
    assert check.outcome == "passed"
    assert "QNN" in str(check.figures["message"])


def test_what_crashes_or_hangs_is_named_and_nothing_runs_when_the_time_is_over() -> None:
    runner: Any = command.Runner(60)
    crashed: Check = runner.check("x", "perf.gpu.inference", ("run",))
    assert crashed.outcome == "failed"
    assert crashed.reason.startswith("its process ended with 1 (")
    assert command.Runner(0).check("x", "perf.gpu.training", ()).reason == "the time was over"
