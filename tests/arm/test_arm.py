"""The zoo answers on Arm as it does here."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bctoolkit import bundle as bundles
from bctoolkit.data.sources.folders import open_class_folders
from bctoolkit.data.sources.synthetic import draw
from tests.arm.machine import CPUS, ROOT, ArmMachine, printed
from tests.conftest import REAL_IMAGES

pytestmark = [pytest.mark.arm, pytest.mark.parametrize("cpu", CPUS)]

NAMES = ("atto-onnx-int8-dynamic", "atto-tflite-int8-dynamic")
ZOO = ROOT / "exports" / "zoo"
COUNT = 64
CLOSE = 0.01
"""Largest |Δp| between two CPUs: float operators round in another order, which moves the ranges found at run time."""

TELL = """
import json, platform
from bctoolkit.system import cpu_features, cpu_info
print(json.dumps([platform.machine(), cpu_info()["CPU part"], "asimddp" in cpu_features()]))
"""


def predict(bundle: Path, pictures: list[Path]) -> list[object]:
    return ["-m", "bctoolkit", "predict", bundle, *pictures, "--json", "--threads", 1]


def answers(stdout: str) -> tuple[list[str], NDArray[np.float64]]:
    """Labels, and probabilities image by class, from what `bctk predict --json` prints."""
    lines = [json.loads(line) for line in stdout.splitlines()]
    return [line["label"] for line in lines], np.array([list(line["probabilities"].values()) for line in lines])


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Image files: real ones of every class where they are at hand, otherwise drawn."""
    if REAL_IMAGES.is_dir():
        files = open_class_folders(REAL_IMAGES).images
        return files[:: len(files) // COUNT][:COUNT]
    folder = tmp_path_factory.mktemp("pictures")
    for number, pixels in enumerate(draw(per_class=COUNT // 8, seed=0, size=96)[0]):
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return sorted(folder.iterdir())


def test_the_process_sees_the_cpu_that_is_meant(cpu: str, arm: ArmMachine) -> None:
    assert json.loads(arm.python(cpu, "-c", TELL)) == ["aarch64", CPUS[cpu].part, cpu == "cortex-a76"]


@pytest.mark.parametrize("name", NAMES)
def test_verify_says_the_sealed_figure(
    cpu: str, name: str, arm: ArmMachine, record_property: Callable[[str, object], None]
) -> None:
    stdout = arm.python(cpu, "-m", "bctoolkit", "verify", ZOO / name, "--threads", 1)
    assert stdout.splitlines()[-1] == "verified"
    sealed = bundles.read(ZOO / name).manifest.parity
    largest, mean = (float(stdout.split(f"{which} |Δp| ")[1].split()[0]) for which in ("max", "mean"))
    told = f"max |Δp| {largest:.1e} from the reference, mean {mean:.1e}"
    record_property(f"{name} on {cpu}", f"{told}, sealed with {sealed.max_abs_diff:.1e} and {sealed.mean_abs_diff:.1e}")
    assert 0 < largest <= 1.2 * sealed.max_abs_diff  # to be closer to Keras is no fault: it is one image's rounding
    assert 0 < mean <= 1.2 * sealed.mean_abs_diff


@pytest.mark.parametrize("name", NAMES)
def test_image_files_get_the_answers_they_get_here(
    cpu: str, name: str, arm: ArmMachine, pictures: list[Path], record_property: Callable[[str, object], None]
) -> None:
    command = predict(ZOO / name, pictures)
    labels, probabilities = answers(printed([sys.executable, *command]))
    there, observed = answers(arm.python(cpu, *command))
    largest = np.abs(observed - probabilities).max()
    kind = "real" if REAL_IMAGES.is_dir() else "drawn"
    record_property(f"{name} on {cpu}", f"{COUNT} {kind} images, max |Δp| {largest:.1e} from this machine")
    assert len(labels) == COUNT
    assert there == labels
    assert largest <= CLOSE
