"""An export that is killed leaves whole bundles or none, and the next one cleans up behind it."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bctoolkit.documents.formats import FORMATS
from tests.support.cli import Bctk, ForkServer

Signalled = Callable[[Callable[[Path], bool], Path, signal.Signals], int]
KINDS = ("fp32", "int8-dynamic")
FORMS = (*(f"--format={name}" for name in FORMATS), *(f"--quantize={kind}" for kind in KINDS))
EXPORT = ("export", "tiny", *FORMS, "--out")
BUNDLES = {f"tiny-{name}-{kind}" for name in FORMATS for kind in KINDS}


def visible(out: Path) -> list[Path]:
    return [path for path in out.iterdir() if not path.name.startswith(".")] if out.exists() else []


def hidden(out: Path) -> list[Path]:
    return [path for path in out.iterdir() if path.name.startswith(".")] if out.exists() else []


def check(bctk: Bctk, paths: list[Path]) -> None:
    """Every one is a whole bundle, and answers its golden images as when it was sealed."""
    for path in paths:
        assert bctk("verify", path).returncode == 0


def first_hidden_folder(out: Path) -> bool:
    return bool(hidden(out))


def first_hidden_file(out: Path) -> bool:
    return any(True for folder in hidden(out) for _ in folder.iterdir())


def first_bundle(out: Path) -> bool:
    return bool(visible(out))


@pytest.fixture
def signal_when(fork_server: ForkServer, workspace: Path) -> Signalled:
    """Start the export, wait for a moment, send the signal; returns the exit code."""

    def run(moment: Callable[[Path], bool], out: Path, number: signal.Signals) -> int:
        pid = fork_server.start(*EXPORT, out, cwd=workspace, timeout=120)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if moment(out):
                    break
            except FileNotFoundError:  # a hidden folder became a bundle while it was looked at
                continue
            time.sleep(0.0005)
        os.kill(pid, number)
        return fork_server.wait(pid).returncode

    return run


@pytest.mark.parametrize("moment", [first_hidden_folder, first_hidden_file, first_bundle])
def test_a_killed_export_leaves_no_half_bundle(
    bctk: Bctk, signal_when: Signalled, tmp_path: Path, moment: Callable[[Path], bool]
) -> None:
    out = tmp_path / "out"
    assert signal_when(moment, out, signal.SIGKILL) == -signal.SIGKILL
    assert {path.name for path in visible(out)} <= BUNDLES
    check(bctk, visible(out))


def test_a_terminated_export_leaves_no_hidden_folder_either(bctk: Bctk, signal_when: Signalled, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert signal_when(first_hidden_file, out, signal.SIGTERM) != 0
    assert hidden(out) == []
    check(bctk, visible(out))


def test_the_export_after_a_killed_one_is_whole_and_cleans_up(
    bctk: Bctk, signal_when: Signalled, workspace: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in BUNDLES:
        (out / f".{name}.partial-0123abcd").mkdir()
        (out / f".{name}.partial-0123abcd" / "model.onnx").write_bytes(b"half a mod")
    signal_when(first_bundle, out, signal.SIGKILL)
    done = bctk(*EXPORT, out, cwd=workspace)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} == BUNDLES
    check(bctk, visible(out))
