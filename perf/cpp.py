"""The C++ app beside the Python runtime: the same answers, and what start, latency and memory are.

usage: python -m perf.cpp PROGRAM BUNDLE --data DIR [--data DIR…] [--count N] [--rounds N]

PROGRAM is `classify`, built from what `bctk app cpp BUNDLE` wrote. Of each folder N pictures, evenly taken, are
answered by both as files. Then, in turns, each in a fresh process with the same number of threads:

- start: from the process's beginning to its first answer, the self-test on golden images included;
- latency: from file to answer, and of that the model with its calibration, medians over the pictures;
- memory: the most that was resident (maximum resident set size).

Exit code 1 where a label or an accepted answer differs, or a probability by more than 1e-4.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

CLOSE = 1e-4

PYTHON = """
import json, sys, time
from bctoolkit.runtime import load
bundle, threads, *files = sys.argv[1:]
with load(bundle, threads=int(threads), self_test="always") as classifier:
    for file in files:
        begin = time.perf_counter()
        prediction = classifier.predict(file)
        elapsed = (time.perf_counter() - begin) * 1e3
        named = dict(zip(classifier.labels, prediction.probabilities[0].tolist(), strict=True))
        accepted = None if prediction.accepted is None else bool(prediction.accepted[0])
        print(json.dumps({"label": prediction.labels[0], "accepted": accepted, "probabilities": named, "ms": elapsed}))
"""


class Ran(NamedTuple):
    """What a process answered, and what it took."""

    lines: list[dict[str, object]]
    seconds: float
    """From its start to its end."""
    megabytes: float


def run(words: Sequence[object]) -> Ran:
    """Run a program that prints a line of JSON for each picture."""
    begin = time.perf_counter()
    with subprocess.Popen([*map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        printed = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    if child.returncode:
        raise SystemExit(f"{words[0]} ended with exit code {child.returncode}")
    return Ran([json.loads(line) for line in printed.splitlines()], seconds, usage.ru_maxrss / 1024)


def milliseconds(line: dict[str, object]) -> float:
    """From file to answer."""
    return float(str(line["ms"])) if "ms" in line else float(str(line["preparing_ms"])) + float(str(line["model_ms"]))


def compare(ours: list[dict[str, object]], theirs: list[dict[str, object]]) -> tuple[int, int, float]:
    """Labels that are equal, answers of which it is equal whether they are accepted, and the largest |Δp|."""
    labels = sum(one["label"] == other["label"] for one, other in zip(ours, theirs, strict=True))
    accepted = sum(one["accepted"] == other["accepted"] for one, other in zip(ours, theirs, strict=True))
    apart = 0.0
    for one, other in zip(ours, theirs, strict=True):
        here, there = one["probabilities"], other["probabilities"]
        assert isinstance(here, dict)
        assert isinstance(there, dict)
        assert list(here) == list(there)
        apart = max(apart, *(abs(here[name] - there[name]) for name in here))
    return labels, accepted, apart


def pictures(folder: Path, count: int) -> list[Path]:
    """JPEG and PNG files, evenly taken."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return files[:: max(1, len(files) // count)][:count]


def main() -> int:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    commands: dict[str, Callable[[list[Path]], list[object]]] = {
        "C++": lambda files: [options.program, options.bundle, *files, "--json", "--threads", options.threads],
        "Python": lambda files: [sys.executable, "-c", PYTHON, options.bundle, options.threads, *files],
    }
    failed = False
    for folder in options.data:
        files = pictures(folder, options.count)
        ours, theirs = (run(command(files)).lines for command in commands.values())
        labels, accepted, apart = compare(ours, theirs)
        print(
            f"{folder}: {len(files)} pictures: labels equal {labels}, accepted equal {accepted}, max |Δp| {apart:.1e}"
        )
        failed |= min(labels, accepted) < len(files) or apart > CLOSE
    print(f"program: {options.program.stat().st_size / 1024:.0f} KiB")
    first = pictures(options.data[0], 1)
    many = pictures(options.data[0], min(options.count, 50))
    starts: dict[str, list[float]] = {name: [] for name in commands}
    warm: dict[str, list[Ran]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            starts[name].append(run(command(first)).seconds)
            warm[name].append(run(command(many)))
    for name in commands:
        latency = statistics.median(statistics.median(map(milliseconds, each.lines[3:])) for each in warm[name])
        start, memory = statistics.median(starts[name]), statistics.median(each.megabytes for each in warm[name])
        print(f"{name}: start {start * 1e3:.0f} ms, file to answer {latency:.2f} ms, memory {memory:.0f} MB")
    for what, values in (("start", starts), ("file to answer", {name: _latencies(warm[name]) for name in commands})):
        ratio = statistics.median(a / b for a, b in zip(values["C++"], values["Python"], strict=True))
        print(f"{what}, C++ over Python: {ratio:.2f}")
    return int(failed)


def _latencies(rounds: list[Ran]) -> list[float]:
    return [statistics.median(map(milliseconds, each.lines[3:])) for each in rounds]


if __name__ == "__main__":
    sys.exit(main())
