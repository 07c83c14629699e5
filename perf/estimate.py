"""How far `bctk export --dry-run` is off: its sizes, time and memory beside those of the export that follows.

usage: python -m perf.estimate NETWORK… [--data PATH] [--format NAME …] [--quantize FORM …]

NETWORK is a run or a Keras file. Each is estimated, then exported into a folder that is thrown away, each in a process
of its own. Prints for each network the ratio of what was estimated to what came about.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

BCTK = (sys.executable, "-m", "bctoolkit", "export")
UNITS = {"s": 1, "min": 60}


class Cost(NamedTuple):
    """What an export takes."""

    seconds: float
    memory: float
    """Bytes."""
    sizes: dict[str, float]
    """Bytes of each bundle."""


def estimated(arguments: list[str], out: Path) -> tuple[Cost, float]:
    """What the dry run says, and the seconds that it takes to say so."""
    began = time.perf_counter()
    command = [*BCTK, *arguments, "--out", str(out), "--dry-run"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    took = time.perf_counter() - began
    rows = re.findall(r"^(\S+) +([\d.]+) MB  about ", text, re.MULTILINE)
    seconds, unit, memory = re.findall(r"^all: about (\d+) (s|min) .*up to ([\d.]+) GB", text, re.MULTILINE)[0]
    sizes = {name: float(megabytes) * 1e6 for name, megabytes in rows}
    return Cost(float(seconds) * UNITS[unit], float(memory) * 1e9, sizes), took


def measured(arguments: list[str], out: Path) -> Cost:
    """What the export takes."""
    began = time.perf_counter()
    command = [*BCTK, *arguments, "--out", str(out), "--force"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    sizes = {
        folder.name: float(sum(file.stat().st_size for file in folder.iterdir()))
        for folder in out.iterdir()
        if (folder / "manifest.json").exists()
    }
    return Cost(seconds, usage.ru_maxrss * 1024, sizes)


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description="How far the estimate of an export is off.")
    parser.add_argument("networks", nargs="+", help="runs or Keras files")
    parser.add_argument("--data", help="their images")
    parser.add_argument("--format", action="append", default=[], help="default: onnx and tflite")
    parser.add_argument("--quantize", action="append", default=[], help="default: all")
    options = parser.parse_args()
    forms = [f"--format={name}" for name in options.format or ("onnx", "tflite")]
    forms += [f"--quantize={name}" for name in options.quantize or ("all",)]
    forms += [f"--data={options.data}"] if options.data else []
    print("| network | dry run | export | time, estimated over real | memory | size of a bundle |")
    print("|---|---|---|---|---|---|")
    for network in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            said, took = estimated([network, *forms], out)
            real = measured([network, *forms], out)
        sizes = [said.sizes[name] / size for name, size in real.sizes.items()]
        print(
            f"| {Path(network).stem} | {took:.0f} s | {real.seconds:.0f} s | {said.seconds / real.seconds:.2f} "
            f"| {said.memory / real.memory:.2f} | {min(sizes):.2f}–{max(sizes):.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
