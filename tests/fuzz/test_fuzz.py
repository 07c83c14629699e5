"""Damaged files end in one line; `python -m tests.fuzz` is the same with as many as one likes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]


def fuzzed(folder: Path, *options: object) -> dict[str, object]:
    command = [sys.executable, "-m", "tests.fuzz", "--keep", str(folder / "kept"), *map(str, options)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=900, check=False)
    assert done.stdout, done.stderr
    told: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and inotify(7)")
@pytest.mark.soak
def test_damaged_files_end_in_one_line(tmp_path: Path) -> None:
    told = fuzzed(
        tmp_path, "--bundles", 250, "--models", 60, "--images", 120, "--workers", 2, "--out", tmp_path / "x.md"
    )
    assert told["faults"] == []
    assert told["cases"] == {"bundles": 250, "TFLite files": 60, "images": 120}
    assert "| files | what became of them |" in (tmp_path / "x.md").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and inotify(7)")
@pytest.mark.slow
def test_some_of_every_kind(tmp_path: Path) -> None:
    assert fuzzed(tmp_path, "--bundles", 12, "--models", 4, "--images", 8)["faults"] == []
