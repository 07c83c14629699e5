"""A disk that takes no more: one line that names what was to be written, and nothing half of it is left."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import snapshot
from tests.support.cli import Bctk

COMMANDS: dict[str, tuple[str, ...]] = {
    "init": ("init", "made"),
    "inspect": ("data", "inspect", "synthetic", "--html", "made/page.html"),
    "clean into a folder": ("data", "clean", "synthetic", "--out", "made"),
    "clean into an archive": ("data", "clean", "synthetic", "--out", "made/set.npz"),
    "evaluate": ("evaluate", "BUNDLE", "--data", "IMAGES", "--limit", "40", "--out", "made"),
    "bench": ("bench", "BUNDLE", "--quick", "--out", "made"),
    "export": ("export", "RUN", "--force", "--out", "made"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_one_line_and_nothing_is_left(
    bctk: Bctk, workspace: Path, class_folders: Path, tmp_path: Path, name: str
) -> None:
    """As the end of a disk: no file may have more than some bytes."""
    bundle, run = workspace / "exports" / "bundles" / "tiny-onnx-fp32", workspace / "training" / "runs" / "tiny"
    paths = {"BUNDLE": bundle, "RUN": run, "IMAGES": class_folders}
    before = snapshot(tmp_path)
    done = bctk(*(paths.get(word, word) for word in COMMANDS[name]), most_bytes=900)
    assert done.returncode == 1
    *told, line = done.stderr.splitlines()
    assert line.startswith("error: "), done.stderr
    assert "File too large" in line
    assert "unexpected" not in line
    assert not any("Traceback" in each or "Exception" in each for each in told)
    assert snapshot(tmp_path) == before


@pytest.mark.soak
@pytest.mark.parametrize("arguments", [("init", "disk/made"), ("data", "inspect", "synthetic", "--html", "disk/made")])
@pytest.mark.parametrize("options", ["size=16k,nr_inodes=6", "ro"])
def test_a_disk_that_is_really_full_or_read_only(tmp_path: Path, arguments: tuple[str, ...], options: str) -> None:
    """Of its own, in a namespace of its own: mounted there, and gone with it."""
    (tmp_path / "disk").mkdir()
    script = f'mount -t tmpfs -o {options} none disk && {{ "$@"; echo $?; find disk -mindepth 1; }}'
    command = ["unshare", "-Urm", "sh", "-c", script, "sh", sys.executable, "-m", "bctoolkit", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no disk can be mounted here: {done.stderr.splitlines()[0]}")
    if arguments[0] == "data" and options != "ro":
        return
    assert done.stdout == "1\n", done
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert ("No space left on device" in line) or ("Read-only file system" in line)


@pytest.mark.parametrize(
    ("arguments", "shelf"),
    [
        (("bench",), "exports/bundles"),
        (("export",), "training/runs"),
        (("export", "name"), "training/runs"),
        (("train", "--resume"), "training/runs"),
        (("bench", "--resume"), "benchmarks/reports"),
    ],
)
def test_a_shelf_that_cannot_be_read_is_not_called_empty(
    tmp_path: Path, arguments: tuple[str, ...], shelf: str
) -> None:
    """As one without the right to read it; root has all rights, but cannot follow a link to itself either."""
    (tmp_path / shelf).parent.mkdir()
    (tmp_path / shelf).symlink_to(tmp_path / shelf)
    command = [sys.executable, "-m", "bctoolkit", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (1, f"error: {shelf}: Too many levels of symbolic links\n")
