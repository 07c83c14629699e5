"""The main job on real blood-cell images: train, export, measure, predict, as a user would."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def sample(real_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred images of each class, linked: enough to learn something in half a minute."""
    root = tmp_path_factory.mktemp("real") / "cells"
    for folder in sorted(real_images.iterdir()):
        (root / folder.name).mkdir(parents=True)
        for image in sorted(folder.iterdir())[:100]:
            (root / folder.name / image.name).symlink_to(image)
    return root


@pytest.mark.soak
@pytest.mark.real
def test_real_cells_go_the_whole_way(sample: Path, bctk: Callable[..., object], tmp_path: Path) -> None:
    def run(*arguments: object) -> str:
        done = bctk(*arguments)
        assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
        return str(done.stdout)  # type: ignore[attr-defined]

    quick = ("--set", "phases=[{name='all', epochs=3, learning_rate=2e-3, unfreeze=['*'], warmup_epochs=1}]")
    plain = ("--set", "augment={flip=true, rotate90=true}", "--set", "ema=0.0")
    small = ("--set", "batch_size=32", "--set", "input.height=64", "--set", "input.width=64")
    run("train", "--recipe", "convnext_atto", "--data", sample, *quick, *plain, *small, "--name", "cells")
    run("export", "--format", "onnx", "--format", "tflite", "--quantize", "fp32", "--quantize", "int8-dynamic")
    measured = ("cells-onnx-fp32", "cells-tflite-int8-dynamic")
    bundles = [f"exports/bundles/{name}" for name in measured]
    run("bench", *bundles, "--quick", "--data", sample, "--out", tmp_path / "report")
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [result["bundle"] for result in report["results"]] == list(measured)
    for result in report["results"]:
        golden, labelled = result["parity"]["golden"], result["parity"]["labelled"]
        assert result["parity"]["golden_images"] == "real"
        assert golden["count"] == 64
        assert 75 < labelled["count"] < 175  # the test part, about 15 % of 800
        assert labelled["reference_accuracy"] > 0.35  # chance is 0.125
        if result["quantization"] == "fp32":
            assert golden["top1_agreement"] == labelled["top1_agreement"] == 1.0
            assert golden["max_abs_diff"] <= 1e-4
            assert labelled["change"]["drop"] == 0
        else:
            assert labelled["top1_agreement"] >= 0.95
    image = next((sample / "platelet").iterdir())
    answer = json.loads(run("predict", "exports/bundles/cells-tflite-fp32", image, "--json"))
    assert set(answer["probabilities"]) == {folder.name for folder in sample.iterdir()}
    assert "verified" in run("verify", "exports/bundles/cells-onnx-int8-dynamic")
