"""What the tests of the command line share: damaged copies, and a look at what a command changed."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.cli import Bctk, fresh_bctk

Refused = Callable[..., str]

BUDGET = """
device = "a machine from the future"
max_size_mb = 0.001
max_p50_ms = 1000
min_top1_agreement = 0.5
"""


def snapshot(root: Path) -> dict[str, str]:
    """Every folder and file under `root` with its content's hash."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in root.rglob("*")
    }


@pytest.fixture
def refused(bctk: Bctk, tmp_path: Path) -> Refused:
    """Run a command that has to fail: exit code 1, one line on standard error, nothing written. Returns the line."""

    def run(*arguments: object) -> str:
        before = snapshot(tmp_path)
        done = bctk(*arguments)
        assert done.returncode == 1, done
        lines = done.stderr.splitlines()
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("error: ")
        assert done.stdout == ""
        assert snapshot(tmp_path) == before
        return lines[0]

    return run


@pytest.fixture
def damaged(bundle: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of the bundle with one byte flipped in the middle of a file."""

    def make(name: str) -> Path:
        copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 0xFF
        (copy / name).write_bytes(content)
        return copy

    return make


@pytest.fixture
def too_new(bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle as a later version of bctoolkit may seal it."""
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    raw = json.loads((copy / "manifest.json").read_bytes()) | {"schema": 99, "novelty": True}
    content = json.dumps(raw).encode()
    (copy / "manifest.json").write_bytes(content)
    (copy / "manifest.json.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  manifest.json\n")
    return copy


@pytest.fixture(scope="session")
def failed_bench(
    workspace: Path, class_folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[CompletedProcess[str], Path]:
    """A quick benchmark with labelled images and a budget that cannot be kept; its folder `report` is in the folder."""
    root = tmp_path_factory.mktemp("bench")
    (root / "future.toml").write_text(BUDGET)
    bundle = workspace / "exports" / "bundles" / "tiny-onnx-fp32"
    options = ("--quick", "--data", class_folders, "--budget", "future.toml", "--out", "report")
    return fresh_bctk("bench", bundle, *options, cwd=root), root
