"""What the tests of the runtime share."""

from pathlib import Path

import pytest

from tests.support.cli import ForkServer


@pytest.fixture(scope="session")
def float_bundles(fork_server: ForkServer, workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `tiny` as ONNX and TFLite bundles whose graphs eat float32. Read only."""
    out = tmp_path_factory.mktemp("float32")
    forms = ("--format", "onnx", "--format", "tflite", "--quantize", "fp32", "--input", "float32")
    done = fork_server.run("export", "tiny", *forms, "--out", out, cwd=workspace)
    assert done.returncode == 0, done.stderr
    return out
