"""What docs/cpp.md shows can be compiled, and does what it says."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.app.cpp.machine import ROOT, SANITIZED, App, compile_beside

pytestmark = pytest.mark.slow

(EXAMPLE,) = re.findall(r"```cpp\n(.+?)```", (ROOT / "docs" / "cpp.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_example_answers_and_fails_in_one_line(onnx_app: App, ruled: Path, tmp_path: Path) -> None:
    source, picture = tmp_path / "app.cpp", tmp_path / "red.png"
    source.write_text(EXAMPLE)
    Image.fromarray(np.full((40, 40, 3), (130, 110, 110), np.uint8)).save(picture)
    example = compile_beside(onnx_app, source, tmp_path / "app", *SANITIZED)
    done = example.run(ruled, picture)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.startswith("reddish")
    assert second.endswith(", not to be relied on")
    damaged = shutil.copytree(ruled, tmp_path / "damaged")
    (damaged / "golden.npz").write_bytes(b"")
    done = example.run(damaged, picture)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
