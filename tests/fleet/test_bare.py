"""A device with one engine alone: the wheel in a fresh environment verifies, measures, and says what it lacks."""

import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bctoolkit.bench.documents import stored

ROOT = Path(__file__).parents[2]
ABSENT = ("scipy", "psutil", "rich", "matplotlib", "pillow")
OTHERS = {"onnx": "3.12", "tflite": "3.13"}
"""The Python that an engine is tried with, where there is one; all else is tried with the one that runs the tests."""


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    words = list(map(str, command))
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, timeout=900)


def interpreter(version: str) -> str:
    """A Python of this version on the path or among pyenv's, else the one that runs the tests."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for candidate in (f"python{version}", *map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python")))):
        try:
            subprocess.run([candidate, "-c", "import venv, ensurepip"], check=True, capture_output=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            continue
        return candidate
    return sys.executable


def lowest(*extras: str) -> list[str]:
    """The requirements of extras, each at the lowest version that it allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [
        *project["dependencies"],
        *(each for extra in extras for each in project["optional-dependencies"][extra]),
    ]
    found = [re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,<\d+)?", requirement) for requirement in declared]
    assert all(found), declared
    return [f"{match[1]}=={match[2]}" for match in found if match]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT, cwd=folder)
    if done.returncode:
        pytest.skip(f"no wheel can be built here: {done.stderr.splitlines()[-1]}")
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_one_engine_alone_verifies_and_measures(
    wheel: Path, tmp_path: Path, kind: str, record_property: Callable[[str, object], None]
) -> None:
    python, bctk = tmp_path / "venv/bin/python", tmp_path / "venv/bin/bctk"
    assert run(interpreter(OTHERS[kind]), "-m", "venv", tmp_path / "venv", cwd=tmp_path).returncode == 0
    started = time.monotonic()
    done = run(
        python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", f"{wheel}[{kind}]", cwd=tmp_path
    )
    if done.returncode:
        pytest.skip(f"packages cannot be installed here: {done.stderr.splitlines()[-1]}")
    seconds = time.monotonic() - started
    size = sum(path.lstat().st_size for path in (tmp_path / "venv").rglob("*") if path.is_file())
    record_property("installed", f"{size / 1e6:.0f} MB in {seconds:.0f} s")
    print(f"{kind}: {size / 1e6:.0f} MB, installed in {seconds:.0f} s")
    listed = run(python, "-m", "pip", "list", cwd=tmp_path).stdout.lower()
    assert not any(name in listed for name in ABSENT)
    bundle = ROOT / "exports" / "zoo" / f"atto-{kind}-int8-dynamic"
    verified = run(bctk, "verify", bundle, cwd=tmp_path)
    assert verified.returncode == 0, verified
    predicted = run(bctk, "predict", bundle, ROOT / "README.md", cwd=tmp_path)
    assert predicted.returncode == 1
    assert (
        predicted.stderr
        == "error: this needs the package 'PIL.Image'; install it with: pip install 'bctoolkit[images]'\n"
    )
    measured = run(bctk, "bench", bundle, "--quick", "--batch", "1,2", "--out", "report", cwd=tmp_path)
    assert measured.returncode == 0, measured
    assert "pip install 'bctoolkit[bench]'" in measured.stderr
    (result,) = stored.read(tmp_path / "report").report.results
    assert result.end_to_end_ms is None
    assert result.latency_ms.ci95_p50[0] <= result.latency_ms.p50 <= result.latency_ms.ci95_p50[1]
    assert result.parity.golden_agreement_ci95[0] < 1
    assert not (tmp_path / "report" / "report.html").exists()
    suite = run(bctk, "bench", bundle, "--data", "x", "--corruptions", "--out", "other", cwd=tmp_path)
    assert suite.returncode == 1
    assert suite.stderr.endswith("install it with: pip install 'bctoolkit[bench]'\n")
    folders = run(bctk, "bench", bundle, "--data", ROOT / "docs", "--out", "other", cwd=tmp_path)
    assert folders.returncode == 1
    assert folders.stderr.endswith("install it with: pip install 'bctoolkit[images]'\n")


@pytest.mark.soak
def test_the_lowest_versions_that_are_declared_verify_and_predict(wheel: Path, tmp_path: Path) -> None:
    python, bctk = tmp_path / "venv/bin/python", tmp_path / "venv/bin/bctk"
    assert run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path).returncode == 0
    versions = lowest("onnx", "tflite", "images")
    done = run(python, "-m", "pip", "install", "--quiet", f"{wheel}[onnx,tflite,images]", *versions, cwd=tmp_path)
    if done.returncode:
        pytest.skip(f"packages cannot be installed here: {done.stderr.splitlines()[-1]}")
    Image.new("RGB", (360, 360), (200, 120, 180)).save(tmp_path / "cell.png")
    for kind in OTHERS:
        bundle = ROOT / "exports" / "zoo" / f"atto-{kind}-int8-dynamic"
        for words in (("verify", bundle), ("predict", bundle, "cell.png")):
            done = run(bctk, *words, cwd=tmp_path)
            assert done.returncode == 0, (versions, done)
