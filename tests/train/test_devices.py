"""Several devices train as one does: two logical CPUs stand in for GPUs. TensorFlow fixes them when it starts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bctoolkit.errors import RecipeError

pytestmark = pytest.mark.slow

TWO = """
import json, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
"""
STEPS = """
import keras, numpy as np
from bctoolkit import networks
from bctoolkit.recipes import Phase, TrainRecipe
from bctoolkit.train.devices import copies_of, several
from bctoolkit.train.optimizer import optimizer_for
from bctoolkit.train.step import TrainStep, validate

def steps(devices, size, precision, optimizer):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (size, 32, 32, 3)).astype(np.float32)
    labels = rng.dirichlet(np.ones(3), size).astype(np.float32)
    with several(devices):
        keras.utils.set_random_seed(0)
        model = networks.build("baseline_cnn", 3, (32, 32, 3), policy=precision)
        recipe = TrainRecipe(
            model="baseline_cnn", precision=precision, optimizer=optimizer,
            ema=0.9, l2=1e-4, clip_norm=0.5, label_smoothing=0.1,
            phases=(Phase("all", 1, 1e-3, ("*",)),),
        )
        optimizer = optimizer_for(model, recipe)
        optimizer.learning_rate = 1e-3
        step = TrainStep(model, optimizer, recipe, np.array([0.5, 1, 2], np.float32))
        figures = [[float(one) for one in step.run(images, labels)] for _ in range(5)]
        copies = [[np.asarray(copy) for copy in copies_of(weight.value)] for weight in model.trainable_variables]
        averages = [np.asarray(average).tolist() for average in step.average[:1]]
        loss, _ = validate(model)([(images, labels)])
    alike = all(np.array_equal(first, other) for first, *others in copies for other in others)
    return {"figures": figures, "copies": len(copies[0]), "alike": alike, "average": averages, "loss": loss}

print("RESULT" + json.dumps([steps(*case) for case in json.loads(sys.argv[1])]))
"""
COMMANDS = """
from bctoolkit.cli import main
def bctk(*arguments):
    try: main([*arguments])
    except SystemExit as end: return end.code or 0
    return 0
"""


def with_two_devices(script: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", TWO + script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    """Five steps on one device and on two: batches that can be divided, that cannot, and of one image."""
    cases = [(devices, size, "float32", "adamw") for size in (8, 7, 1) for devices in (1, 2)]
    cases += [(2, 6, "mixed_float16", "adamw"), (1, 5, "float32", "muon"), (2, 5, "float32", "muon")]
    done = with_two_devices(STEPS, json.dumps(cases))
    results = json.loads(done.stdout.split("RESULT")[1])
    return {f"{devices} {size}": result for (devices, size, *_), result in zip(cases, results, strict=True)}


@pytest.mark.soak
@pytest.mark.parametrize("size", [8, 7, 1, 5])
def test_two_devices_have_the_losses_of_one(trained: dict[str, Any], size: int) -> None:
    """Up to the order of the sums, which Adam widens where a gradient is nearly nothing."""
    one, two = trained[f"1 {size}"], trained[f"2 {size}"]
    assert two["figures"][0][0] == pytest.approx(one["figures"][0][0], rel=1e-6)
    assert [loss for loss, _ in two["figures"]] == pytest.approx([loss for loss, _ in one["figures"]], rel=1e-5)
    assert [right for _, right in two["figures"]] == [right for _, right in one["figures"]]
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert one["figures"][-1][0] < one["figures"][0][0]


@pytest.mark.soak
def test_every_device_keeps_the_same_weights_and_the_same_average(trained: dict[str, Any]) -> None:
    assert [trained[f"{devices} 8"]["copies"] for devices in (1, 2)] == [1, 2]
    assert all(result["alike"] for result in trained.values())
    np.testing.assert_allclose(trained["2 8"]["average"], trained["1 8"]["average"], atol=1e-3)


@pytest.mark.soak
def test_float16_with_loss_scaling_trains_on_two_devices(trained: dict[str, Any]) -> None:
    losses = [loss for loss, _ in trained["2 6"]["figures"]]
    assert all(np.isfinite(losses))
    assert losses[-1] < losses[0]


@pytest.mark.soak
def test_a_run_on_two_devices_is_interrupted_resumed_and_finished(class_folders: Path, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        'model = "baseline_cnn"\nprecision = "float32"\nbatch_size = 16\nema = 0.8\ndropout = 0.0\n'
        "input = { height = 32, width = 32 }\n"
        '[[phases]]\nname = "one"\nepochs = 2\nlearning_rate = 1e-3\nunfreeze = ["*"]\n'
    )
    script = f"""{COMMANDS}
from bctoolkit.train import fit
honest, saves = fit.PhaseRunner._save, []
def save(self, state):
    honest(self, state)
    saves.append(state)
    if len(saves) == 1: raise KeyboardInterrupt
fit.PhaseRunner._save = save
first = bctk("train", "--recipe", "r.toml", "--data", sys.argv[1], "--name", "x", "--devices", "2")
again = bctk("train", "--resume", "--name", "x", "--devices", "2")
once = bctk("train", "--recipe", "r.toml", "--data", sys.argv[1], "--name", "y")
print("CODES", first, again, once)
"""
    done = with_two_devices(script, class_folders, cwd=tmp_path)
    assert "CODES 130 0 0" in done.stdout, done.stdout + done.stderr[-2000:]
    two, one = (json.loads((tmp_path / "training/runs" / name / "history.json").read_text()) for name in "xy")
    assert [row["loss"] for row in two] == pytest.approx([row["loss"] for row in one], rel=1e-3)
    assert [row["val_loss"] for row in two] == pytest.approx([row["val_loss"] for row in one], rel=1e-3)


def test_more_devices_than_there_are_is_refused_in_one_line() -> None:
    from bctoolkit.train.devices import several

    with pytest.raises(RecipeError, match=r"^--devices 9: TensorFlow has \d [CG]PUs? here$"), several(9):
        pass
