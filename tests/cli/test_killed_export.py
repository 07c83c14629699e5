"""An export that is killed leaves whole bundles or none, and the next one cleans up behind it."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from bctoolkit.documents.formats import FORMATS

Bctk = Callable[..., CompletedProcess[str]]
EXPORT = ("export", "tiny", "--format", "onnx", "--format", "tflite", "--quantize", "all", "--out")
WANTED = {f"tiny-{name}-{kind}" for name, row in FORMATS.items() for kind in row.quantizations}


def visible(out: Path) -> list[Path]:
    return [path for path in out.iterdir() if not path.name.startswith(".")] if out.exists() else []


def hidden(out: Path) -> list[Path]:
    return [path for path in out.iterdir() if path.name.startswith(".")] if out.exists() else []


def at_once(out: Path) -> bool:
    return True


def first_hidden_folder(out: Path) -> bool:
    return bool(hidden(out))


def first_hidden_file(out: Path) -> bool:
    return any(True for folder in hidden(out) for _ in folder.iterdir())


def first_bundle(out: Path) -> bool:
    return bool(visible(out))


def signal_when(moment: Callable[[Path], bool], out: Path, workspace: Path, number: signal.Signals) -> int:
    """Start the export, wait for a moment, send the signal; returns the exit code."""
    command = [sys.executable, "-m", "bctoolkit", *EXPORT, str(out)]
    child = subprocess.Popen(command, cwd=workspace, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and child.poll() is None:
            try:
                if moment(out):
                    break
            except FileNotFoundError:  # a hidden folder took its place while it was looked at
                continue
            time.sleep(0.0005)
        child.send_signal(number)
        return child.wait(timeout=60)
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("moment", [at_once, first_hidden_folder, first_hidden_file, first_bundle])
def test_a_killed_export_leaves_no_half_bundle(
    bctk: Bctk, workspace: Path, tmp_path: Path, moment: Callable[[Path], bool]
) -> None:
    out = tmp_path / "out"
    assert signal_when(moment, out, workspace, signal.SIGKILL) == -signal.SIGKILL
    assert {path.name for path in visible(out)} <= WANTED
    for path in visible(out):
        assert bctk("verify", path).returncode == 0


def test_a_terminated_export_leaves_no_hidden_folder_either(bctk: Bctk, workspace: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert signal_when(first_hidden_file, out, workspace, signal.SIGTERM) != 0
    assert hidden(out) == []
    for path in visible(out):
        assert bctk("verify", path).returncode == 0


def test_the_export_after_a_killed_one_is_whole_and_cleans_up(bctk: Bctk, workspace: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    for name in WANTED:
        (out / f".{name}.partial-{dead.pid}").mkdir()
        (out / f".{name}.partial-{dead.pid}" / "model.onnx").write_bytes(b"half a mod")
    signal_when(first_bundle, out, workspace, signal.SIGKILL)
    done = bctk(*EXPORT, out, cwd=workspace)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} == WANTED
    for path in visible(out):
        assert bctk("verify", path).returncode == 0
