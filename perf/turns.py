"""Time several programs turn by turn, each in a process of its own.

A program prints `ready`, then answers every line with a number of runs by one line with the median of those runs in
milliseconds. One engine to a process: the threads an engine leaves spinning slow whatever runs beside them.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import psutil

PAUSE = 0.1
"""Seconds before a turn: the threads of ONNX Runtime spin on after a run, and would slow another process by half."""

SITTINGS = 4
"""Times that programs are started anew: what memory a process gets is luck that it keeps to its end."""

QUIET = 0.2
"""CPUs that other programs keep busy on a machine whose figures are worth something."""
LOOK_SECONDS = 2.0


def others_load() -> float:
    """CPUs that other programs keep busy, over two seconds: the load average would count this program's last turns."""
    return psutil.cpu_percent(LOOK_SECONDS) / 100 * (os.cpu_count() or 1)


def if_busy(loads: Iterable[float]) -> str:
    """What a page says of figures that were taken beside other programs; nothing of others."""
    most = max(loads, default=0.0)
    return f" **Measured on a busy machine** ({most:.1f} CPUs kept busy by others): not to be quoted." * (most > QUIET)


def in_turns(
    cases: Mapping[str, Sequence[str]], rounds: int, runs: int, sittings: int = SITTINGS
) -> dict[str, list[float]]:
    """Median milliseconds of each case in each round: A B C, A B C, …, so that a drifting machine hits all alike.

    Args:
        cases: command lines by name.
        rounds: of all sittings together, rounded up to a multiple of them.
        runs: that a case does in its turn.
        sittings: times that all programs are started anew, each time in the other order.
    """
    times: dict[str, list[float]] = {name: [] for name in cases}
    for sitting in range(sittings):
        order = list(cases)[:: -1 if sitting % 2 else 1]
        children: dict[str, subprocess.Popen[str]] = {}
        try:
            for name in order:
                children[name] = _start(name, cases[name])
            for _ in range(-(-rounds // sittings)):
                for name, child in children.items():
                    time.sleep(PAUSE)
                    times[name].append(_ask(child, runs))
        finally:
            for child in children.values():
                child.kill()
                child.communicate()
    return times


def answer(run: Callable[[], object], warm_up: int) -> None:
    """The other side: run `run` as often as asked."""
    for _ in range(warm_up):
        run()
    print("ready", flush=True)
    for line in sys.stdin:
        samples = []
        for _ in range(int(line)):
            begin = time.perf_counter_ns()
            run()
            samples.append((time.perf_counter_ns() - begin) / 1e6)
        print(statistics.median(samples), flush=True)


def ratio(times: dict[str, list[float]], ours: str, theirs: str) -> float:
    """Median over the rounds of ours / theirs in the same round."""
    return statistics.median(a / b for a, b in zip(times[ours], times[theirs], strict=True))


def _start(name: str, command: Sequence[str]) -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert child.stdout is not None
    for line in child.stdout:  # TensorFlow may print before it is ready
        if line.strip() == "ready":
            return child
    raise SystemExit(f"{name}: ended before it was ready: {' '.join(command)}")


def _ask(child: "subprocess.Popen[str]", runs: int) -> float:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(f"{runs}\n")
    child.stdin.flush()
    return float(child.stdout.readline())
