"""Every example of docs/embedding.md is run as it stands."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from bctoolkit import errors, runtime

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = [(title, code) for title, text in BLOCKS for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a bundle and a picture, as the page says."""
    folder = tmp_path_factory.mktemp("app")
    shutil.copytree(ROOT / "exports" / "zoo" / "atto-onnx-int8-dynamic", folder / "bundle")
    pixels = np.random.default_rng(0).integers(0, 256, (360, 363, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "cell.png")
    return folder


@pytest.mark.parametrize(("title", "code"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_an_example_runs_as_it_stands(title: str, code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "example.py").write_text(code, encoding="utf-8")
    if "__main__" not in code:
        runpy.run_path("example.py")
        return
    command, environment = [sys.executable, "example.py"], os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_has_an_example_of_everything_exported() -> None:
    code = "\n".join(code for _, code in EXAMPLES)
    for name in ("load", "prepare", "StubBackend", "Classifier", "InputContract"):
        assert re.search(rf"import .*\b{name}\b", code), name
    for method in ("predict", "predict_batches", "warm_up", "info"):
        assert f".{method}(" in code or f".{method}," in code, method


def test_the_page_s_errors_are_those_that_exist() -> None:
    rows = re.findall(r"^\| (`.+?`) \|", BLOCKS[-2][1], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    tree = {
        name
        for name in errors.__all__
        if issubclass(getattr(errors, name), (errors.BundleError, errors.BackendError, errors.MissingExtra))
    }
    assert named == tree


def test_the_modes_of_the_self_test_are_those_of_the_page() -> None:
    told = re.findall(r'^\| `"(\w+)"`', PAGE, re.MULTILINE)
    assert tuple(told) == get_args(runtime.SelfTestMode)
