"""Training that is killed at any moment continues with --resume, and ends where unbroken training ends."""

import json
import random
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

from bctoolkit import networks
from tests.support.cli import ForkServer

RECIPE = """
model = "baseline_cnn"
precision = "float32"
batch_size = 16
seed = 11
dropout = 0.3
l2 = 1e-4
clip_norm = 1.0
layer_decay = 0.9
ema = 0.8
class_weights = "balanced"
label_smoothing = 0.1
input = { height = 32, width = 32 }
augment = { rotate = 30, noise = 0.1, chance = 0.5, one_of = [{}, { hue = 0.1 }], mixup = 0.2 }

[[phases]]
name = "one"
epochs = 2
learning_rate = 1e-3
unfreeze = ["hidden"]
warmup_epochs = 1

[[phases]]
name = "two"
epochs = 2
learning_rate = 1e-3
unfreeze = ["*"]
"""
STEPS = 4 * 5
"""Of all four epochs: 80 training images in batches of 16."""

Run = Callable[..., CompletedProcess[str]]
ANEW = ("train", "--recipe", "recipe.toml", "--deterministic", "--name", "x")
RESUME = ("train", "--resume", "--name", "x")


@pytest.fixture
def bctk_in(fork_server: ForkServer) -> Run:
    """Run `bctk` in a folder, possibly disturbed; see tests/support/fork_server.py."""
    return lambda cwd, *arguments, **disturbance: fork_server.run(*arguments, cwd=cwd, **disturbance)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def outcome(cwd: Path) -> tuple[list[np.ndarray], list[dict[str, Any]], dict[str, Any]]:
    """Weights, history without times, and test figures of the finished run."""
    folder = cwd / "training" / "runs" / "x"
    history = json.loads((folder / "history.json").read_text())
    rows = [{key: row[key] for key in row if key not in ("seconds", "waiting_share")} for row in history]
    return (
        networks.load_model(folder / "model.keras").get_weights(),
        rows,
        json.loads((folder / "metrics.json").read_text()),
    )


@pytest.fixture(scope="module")
def unbroken(
    fork_server: ForkServer, class_folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[np.ndarray], list[dict[str, Any]], dict[str, Any]]:
    cwd = tmp_path_factory.mktemp("unbroken")
    (cwd / "recipe.toml").write_text(RECIPE)
    done = fork_server.run(*ANEW, "--data", class_folders, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return outcome(cwd)


def assert_same(cwd: Path, unbroken: Any) -> None:
    weights, history, figures = outcome(cwd)
    for weight, expected in zip(weights, unbroken[0], strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert history == unbroken[1]
    assert figures == unbroken[2]
    assert [path.name for path in (cwd / "training" / "runs").iterdir()] == ["x"]


@pytest.mark.soak
@pytest.mark.parametrize(("seed", "kills"), [(0, 2), (1, 3)])
def test_killed_again_and_again_it_ends_with_the_same_bits(
    bctk_in: Run, folder: Path, class_folders: Path, unbroken: Any, seed: int, kills: int
) -> None:
    """Before the first checkpoint, within an epoch, and in another phase, as the seed will have it."""
    rng = random.Random(seed)
    arguments: tuple[object, ...] = (*ANEW, "--data", class_folders)
    for _ in range(kills):
        often = rng.choice((0.0, 0.0, 1e9))  # a checkpoint at every step, or at the end of epochs only
        how = {"signal": signal.SIGKILL, "at_step": rng.randint(1, STEPS // 3), "save_seconds": often}
        assert bctk_in(folder, *arguments, **how).returncode == -signal.SIGKILL
        assert not (folder / "training" / "runs" / "x").exists()
        arguments = RESUME
    done = bctk_in(folder, *RESUME)
    assert done.returncode == 0, done.stderr
    assert_same(folder, unbroken)


@pytest.mark.soak
@pytest.mark.parametrize("save", [1, 9])
def test_killed_while_a_checkpoint_is_written_it_continues_from_the_one_before(
    bctk_in: Run, folder: Path, class_folders: Path, unbroken: Any, save: int
) -> None:
    how = {"signal": signal.SIGKILL, "in_save": save, "save_seconds": 0.0}
    assert bctk_in(folder, *ANEW, "--data", class_folders, **how).returncode == -signal.SIGKILL
    left = {path.name for path in (folder / "training" / "runs" / ".x.unfinished").iterdir()}
    assert any(name.startswith(".state.npz.partial-") for name in left)
    assert ("state.npz" in left) == (save > 1)
    done = bctk_in(folder, *RESUME)
    assert done.returncode == 0, done.stderr
    assert_same(folder, unbroken)


@pytest.mark.soak
def test_a_convnext_with_stochastic_depth_from_given_weights_ends_with_the_same_bits_too(
    bctk_in: Run, folder: Path, class_folders: Path
) -> None:
    networks.build("convnext_atto", 3, (32, 32, 3), layer_scale=0.5).save(folder / "given.keras")
    given = ("--weights", folder / "given.keras", "--data", class_folders)
    settings = ("--set", "model=convnext_atto", "--set", "drop_path=0.4", "--set", "phases.0.unfreeze=[]")
    results = []
    for name, kills in (("whole", ()), ("broken", (9,))):
        cwd = folder / name
        cwd.mkdir()
        (cwd / "recipe.toml").write_text(RECIPE)
        arguments: tuple[object, ...] = (*ANEW, *given, *settings)
        for step in kills:
            killed = bctk_in(cwd, *arguments, signal=signal.SIGKILL, at_step=step)
            assert killed.returncode == -signal.SIGKILL, killed.stderr
            arguments = RESUME
        done = bctk_in(cwd, *arguments)
        assert done.returncode == 0, done.stderr
        results.append(outcome(cwd))
    assert_same(folder / "broken", results[0])


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)])
def test_ctrl_c_keeps_the_state_and_leaves_no_run(
    bctk_in: Run, folder: Path, class_folders: Path, unbroken: Any, number: signal.Signals
) -> None:
    stopped = bctk_in(folder, *ANEW, "--data", class_folders, signal=number, at_step=8)
    assert stopped.returncode == 130
    assert "Traceback" not in stopped.stderr
    assert stopped.stderr.splitlines()[-1] == "Aborted!"
    assert [path.name for path in (folder / "training" / "runs").iterdir()] == [".x.unfinished"]
    refused = bctk_in(folder, *ANEW, "--data", class_folders)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith(
        "error: the run x is unfinished; continue with --resume --name x, choose another --name, or remove "
    )
    done = bctk_in(folder, "train", "--resume")
    assert done.returncode == 0, done.stderr
    assert_same(folder, unbroken)


def test_ctrl_c_before_the_first_checkpoint_leaves_nothing(bctk_in: Run, folder: Path, class_folders: Path) -> None:
    assert bctk_in(folder, *ANEW, "--data", class_folders, signal=signal.SIGINT, at_step=3).returncode == 130
    assert [path.name for path in folder.iterdir()] == ["recipe.toml"]


@pytest.mark.soak
def test_a_disk_that_fills_up_is_one_line_and_training_continues_once_there_is_room(
    bctk_in: Run, folder: Path, class_folders: Path, unbroken: Any
) -> None:
    """The state of the second phase is larger: it holds the optimizer's moments of all weights."""
    arguments = (*ANEW, "--data", class_folders)
    full = bctk_in(folder, *arguments, most_bytes=200_000)
    assert full.returncode == 1
    last = full.stderr.splitlines()[-1]
    assert last.startswith("error: cannot write training/runs/.x.unfinished/state.npz: File too large; make room there")
    assert "Traceback" not in full.stderr
    assert [path.name for path in folder.iterdir()] == ["recipe.toml"]
    assert bctk_in(folder, *arguments, signal=signal.SIGKILL, at_step=13).returncode == -signal.SIGKILL
    state = folder / "training" / "runs" / ".x.unfinished" / "state.npz"
    kept = state.read_bytes()
    full = bctk_in(folder, *RESUME, most_bytes=len(kept) + 1000)
    assert full.returncode == 1
    assert full.stderr.splitlines()[-1].startswith("error: cannot write training/runs/.x.unfinished/state.npz: ")
    assert state.read_bytes() == kept
    assert not list(state.parent.glob(".state.npz.partial-*"))
    done = bctk_in(folder, *RESUME)
    assert done.returncode == 0, done.stderr
    assert_same(folder, unbroken)


@pytest.mark.soak
def test_killed_while_the_run_folder_is_written_it_is_written_again(
    bctk_in: Run, folder: Path, class_folders: Path, unbroken: Any
) -> None:
    how = {"signal": signal.SIGKILL, "in_finish": True}
    assert bctk_in(folder, *ANEW, "--data", class_folders, **how).returncode == -signal.SIGKILL
    runs = folder / "training" / "runs"
    assert not (runs / "x").exists()
    state = (runs / ".x.unfinished" / "state.npz").read_bytes()
    full = bctk_in(folder, *RESUME, most_bytes=100_000)
    assert full.returncode == 1
    assert full.stderr.splitlines()[-1].startswith("error: cannot write training/runs/x: ")
    assert "Traceback" not in full.stderr
    assert not (runs / "x").exists()
    assert (runs / ".x.unfinished" / "state.npz").read_bytes() == state
    done = bctk_in(folder, *RESUME)
    assert done.returncode == 0, done.stderr
    assert_same(folder, unbroken)
