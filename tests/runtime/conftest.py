"""Bundles the runtime is tried on."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def float_bundles(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `tiny` as ONNX and TFLite bundles whose graphs eat float32. Read only."""
    out = tmp_path_factory.mktemp("float32")
    command = [sys.executable, "-m", "bctoolkit", "export", "tiny", "--format", "onnx", "--format", "tflite"]
    command += ["--quantize", "fp32", "--input", "float32", "--out", str(out)]
    done = subprocess.run(command, cwd=workspace, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return out
