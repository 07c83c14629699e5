"""Every check that needs a GPU, within nine minutes, as one JSON document.

usage: python -m perf.gpu [--out FILE] [--minutes N] [--stand-in]

Training in float16 with loss scaling beside float32; every form of a network on every GPU provider of every engine:
parity, latency, what ran; and that each of these providers is refused where no GPU is to be seen. Each check is a
process of its own, so that one that crashes or hangs is named and the rest goes on. What an engine that is installed
here cannot do is `not run` with the reason. Where there is no GPU it says so and ends with 0. With --stand-in the same
code runs on the CPU at a small size, which shows that the checks work. Exit code 1 where a check fails.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import msgspec

from bctoolkit.documents.formats import FORMATS
from bctoolkit.files import atomic_file
from bctoolkit.system import cpu_name, utc_now, versions
from perf.gpu.document import Check, GpuReport

ROOT = Path(__file__).resolve().parents[2]
PROVIDERS = (
    ("onnx", "onnxruntime", "cuda"),
    ("onnx", "onnxruntime", "tensorrt"),
    ("onnx", "openvino", "gpu"),
    ("onnx", "openvino", "gpu-f16"),
    ("tflite", "litert-compiled", "gpu"),
    ("tflite", "litert-compiled", "gpu-f16"),
)
HIDDEN = {"CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void", "ZE_AFFINITY_MASK": "99"}
PACKAGES = ("tensorflow", "keras", "onnxruntime", "onnxruntime-gpu", "openvino", "ai-edge-litert")
LONGEST = 150.0
"""Seconds of one check: TensorRT compiles."""


class Size(NamedTuple):
    """How much is done."""

    network: str
    side: int
    steps: int
    runs: int


FULL, SMALL = Size("convnext_small", 96, 30, 200), Size("baseline_cnn", 32, 8, 5)


def gpus() -> list[str]:
    """The GPUs of this machine, as NVIDIA's driver and OpenVINO name them."""
    found = []
    if shutil.which("nvidia-smi"):
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=60)
        found += [line.split(" (UUID")[0] for line in done.stdout.splitlines() if line.startswith("GPU ")]
    try:
        from bctoolkit.lazy import require

        core = require("openvino", "openvino").Core()
        names = [device for device in core.available_devices if device.startswith("GPU")]
        found += [f"{name}: {core.get_property(name, 'FULL_DEVICE_NAME')}" for name in names]
    except Exception as problem:  # a driver may fail in any way, and then there is no GPU through it
        print(f"OpenVINO was not asked: {problem}", file=sys.stderr)
    return found


class Runner:
    """Runs checks in processes until the time is over."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def check(self, name: str, module: str, arguments: Sequence[object], hidden: bool = False) -> Check:
        """What the module prints, or why it prints nothing."""
        left = min(LONGEST, self._end - time.monotonic())
        if left <= 1:
            return Check(name=name, outcome="not run", reason="the time was over")
        command = [sys.executable, "-m", module, *map(str, arguments)]
        environment = os.environ | (HIDDEN if hidden else {})
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=left, check=False
            )
        except subprocess.TimeoutExpired:
            return Check(name=name, outcome="failed", reason=f"no answer within {left:.0f} s")
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return Check(name=name, outcome="failed", reason=f"its process ended with {done.returncode} ({last})")
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Check)

    def write(self, folder: Path, size: Size) -> None:
        """The network in every form."""
        command = [sys.executable, "-m", "perf.gpu.inference", "write", str(folder), size.network, str(size.side)]
        subprocess.run(command, cwd=ROOT, env=os.environ | HIDDEN, check=True, stdout=subprocess.DEVNULL)


def checks(runner: Runner, folder: Path, size: Size, stand_in: bool) -> Iterator[Check]:
    """All of them, the shortest first."""
    runner.write(folder, size)
    inference = "perf.gpu.inference"
    for name, engine, provider in PROVIDERS:
        arguments = ("refuse", folder, name, engine, provider)
        yield runner.check(f"{engine} refuses {provider}", inference, arguments, hidden=True)
    yield runner.check("training", "perf.gpu.training", (size.network, size.side, size.steps))
    for name, engine, provider in dict.fromkeys((n, e, "cpu" if stand_in else p) for n, e, p in PROVIDERS):
        for form in FORMATS[name].quantizations:
            run = ("run", folder, name, engine, provider, form, size.runs)
            yield runner.check(f"{form} {name} in {engine} on {provider}", inference, run)


def main() -> int:
    """Run the checks, print and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--minutes", type=float, default=8.5)
    parser.add_argument("--stand-in", action="store_true", help="the same code on the CPU, small")
    options = parser.parse_args()
    found = [] if options.stand_in else gpus()
    if not found and not options.stand_in:
        print("no GPU here: nothing was checked")
        return 0
    begun, size, done = time.monotonic(), SMALL if options.stand_in else FULL, list[Check]()
    with tempfile.TemporaryDirectory() as folder:
        for check in checks(Runner(60 * options.minutes), Path(folder), size, options.stand_in):
            print(f"{check.outcome}: {check.name}" + (f" ({check.reason})" if check.reason else ""), flush=True)
            done.append(check)
            report = GpuReport(
                created=utc_now(),
                cpu=cpu_name(),
                gpus=found,
                stand_in=options.stand_in,
                versions=versions(*PACKAGES),
                seconds=round(time.monotonic() - begun, 1),
                checks=done,
            )
            atomic_file(options.out, msgspec.json.format(msgspec.json.encode(report)))
    print(f"written: {options.out}")
    return int(any(check.outcome == "failed" for check in done))


if __name__ == "__main__":
    sys.exit(main())
