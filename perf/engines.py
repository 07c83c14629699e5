"""`bctk bench` and the runtime beside the engines' own loops, on the same file, images and threads.

usage: python -m perf.engines [BUNDLE…] [--rounds N] [--seconds S] [--threads N]

Two questions of each bundle, by default those of exports/zoo:

1. Is the p50 that `bctk bench` reports the engine's? A session of `bctk bench` and the plain loop of ONNX Runtime or
   LiteRT side by side in slices, as `bctk bench` times bundles; the ratio is the median of those of the slices, and who
   starts first changes from round to round: of large networks the later one was faster by 2 %. Then the benchmark tool
   that LiteRT's wheel ships, which cannot be sliced. Each round in fresh processes. ONNX Runtime's wheel ships no tool
   that runs any model.
2. What does `Classifier.predict` add to a call of the engine? Both in one process on one opened model, call by call,
   in the order A B B A; the median of the differences.

Prints medians, ratios and differences beside the limits the project holds itself to; exit code 1 where one is missed.
"""

import argparse
import contextlib
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bctoolkit import bundle as bundles
from bctoolkit.bench.documents.samples import SessionSamples
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.launcher.process import Child
from bctoolkit.bench.worker.jobs import SLICE_SECONDS, Measure
from bctoolkit.bundle import Bundle
from bctoolkit.runtime import Backend, Classifier

Call = Callable[[Any], Any]

ZOO = Path(__file__).parents[1] / "exports" / "zoo"
OURS, RAW, TOOL = "bctk bench", "the engine's own loop", "LiteRT's benchmark tool"
RATIO_LIMIT, OVERHEAD_LIMIT = 0.03, 100.0
"""How far p50 may be from the engine's, as a share; microseconds that `predict` may add."""
LEAST_RUNS, WARM_UP, REWARMING = 50, 1.0, 2
TOOL_RUNS = """
import runpy, statistics, sys
median, seen = statistics.median, []
statistics.median = lambda times: seen.append(median(times)) or seen[-1]
sys.argv[0] = "benchmark_litert_model"
runpy.run_module("ai_edge_litert.tools.benchmark_litert_model", run_name="__main__")
print(seen[0])
"""
"""LiteRT's tool as it is; its median before it rounds it to hundredths of a millisecond."""


def open_onnx(model: bytes, threads: int) -> tuple[Call, Backend]:
    """ONNX Runtime's call, and the runtime's adapter around the same session."""
    import onnxruntime

    from bctoolkit.runtime.on_onnxruntime import OnnxRuntimeBackend

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    opened = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = opened.get_inputs()[0].name
    return lambda image: opened.run(None, {name: image})[0], OnnxRuntimeBackend(opened, "cpu")


def open_tflite(model: bytes, threads: int) -> tuple[Call, Backend]:
    """LiteRT's calls, and the runtime's adapter around the same interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    from bctoolkit.runtime.on_litert import LiteRtBackend

    interpreter = Interpreter(model_content=model, num_threads=threads)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def call(image: Any) -> Any:
        interpreter.set_tensor(source, image)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return call, LiteRtBackend(lambda: interpreter, "cpu", threads)


OPEN = {"onnx": open_onnx, "tflite": open_tflite}


def load_data(bundle: Bundle) -> list[Any]:
    """The golden images one by one, in the order in which `bctk bench` takes them."""
    images = bundle.golden().images.astype(bundle.manifest.input.dtype)
    return [images[i : i + 1] for i in np.random.default_rng(0).permutation(len(images))]


def timed(call: Call, image: Any) -> int:
    """Nanoseconds of one call."""
    begin = time.perf_counter_ns()
    call(image)
    return time.perf_counter_ns() - begin


def raw_loop(bundle: Bundle, threads: int) -> list[float]:
    """Milliseconds of the median run of each slice in the engine's own loop; a slice for each line that comes."""
    call, _ = OPEN[bundle.manifest.format](bundle.model(), threads)
    images = itertools.cycle(load_data(bundle))
    warm, slices = time.perf_counter() + WARM_UP, []
    while time.perf_counter() < warm:
        call(next(images))
    print("ready", flush=True)
    for _ in sys.stdin:
        samples = []
        for _ in range(REWARMING):
            call(next(images))
        deadline = time.perf_counter() + SLICE_SECONDS
        while time.perf_counter() < deadline:
            samples.append(timed(call, next(images)))
        slices.append(statistics.median(samples) / 1e6)
        print("ready", flush=True)
    return slices


def overhead(bundle: Bundle, threads: int, seconds: float) -> tuple[float, float]:
    """Microseconds that `predict` adds to the engine's call, and those of the call: medians."""
    call, backend = OPEN[bundle.manifest.format](bundle.model(), threads)
    predict = Classifier(backend, bundle.manifest.input, bundle.manifest.labels).predict
    differences: list[float] = []
    raw: list[float] = []
    images = itertools.cycle(load_data(bundle))
    warm, deadline = time.perf_counter() + WARM_UP, time.perf_counter() + WARM_UP + seconds
    while len(raw) < LEAST_RUNS or time.perf_counter() < deadline:
        image = next(images)
        first, ours, again, last = timed(call, image), timed(predict, image), timed(predict, image), timed(call, image)
        if time.perf_counter() >= warm:
            differences += [ours - first, again - last]
            raw += [first, last]
    return statistics.median(differences) / 1e3, statistics.median(raw) / 1e3


def command(job: str, bundle: Bundle, threads: int, seconds: float) -> list[str]:
    """This script with one job, for a fresh process."""
    options = ["--job", job, "--threads", str(threads), "--seconds", str(seconds)]
    return [sys.executable, "-m", "perf.engines", str(bundle.path), *options]


class Loop:
    """The engine's own loop in a process, which goes on slice by slice, as `Child` is."""

    def __init__(self, command: list[str]) -> None:
        self._command = command

    def __enter__(self) -> "Loop":
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def wait_until_ready(self) -> None:
        """Wait until it asks to go on."""
        self._output.readline()

    def go(self) -> None:
        """Let it time a slice."""
        self._input.write("\n")
        self._input.flush()
        self.wait_until_ready()

    def slices(self) -> list[float]:
        """What it has measured."""
        self._input.close()
        medians: list[float] = json.loads(self._output.read())
        return medians


def side_by_side(bundle: Bundle, threads: int, seconds: float, own_first: bool) -> tuple[float, float, float]:
    """Milliseconds of the median run in a session of `bctk bench` and in the engine's own loop, and their ratio."""
    settings = Settings(
        sessions=1,
        min_runs=LEAST_RUNS,
        min_seconds=seconds,
        warmup_runs=20,
        warmup_seconds=WARM_UP,
        threads=threads,
    )
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        own = Child(Measure(str(bundle.path), threads, None, f"{folder}/samples", settings))
        raw = Loop(command("raw", bundle, threads, seconds))
        order: tuple[Child | Loop, ...] = (own, raw) if own_first else (raw, own)
        for one in order:
            stack.enter_context(one)
            one.wait_until_ready()
        while own.ready:
            for one in order:
                one.go()
        theirs = raw.slices()
        samples = own.result(SessionSamples)
    cuts = np.cumsum(samples.model_slices)[:-1]
    ours = [float(np.median(part)) / 1e6 for part in np.split(samples.model, cuts)]
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return float(np.median(samples.model)) / 1e6, statistics.median(theirs), statistics.median(ratios)


def tool(bundle: Bundle, threads: int, runs: int) -> float:
    """Milliseconds of the median run as LiteRT's own tool measures it."""
    model = bundle.path / bundle.manifest.model.file
    options = ["--model", str(model), "--num_threads", str(threads), "--num_runs", str(runs), "--warmup_runs", "50"]
    command = [sys.executable, "-c", TOOL_RUNS, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def compare(bundle: Bundle, rounds: int, threads: int, seconds: float) -> bool:
    """Measure one bundle and print; whether every limit holds."""
    own, raw, ratios = zip(
        *(side_by_side(bundle, threads, seconds, own_first=turn % 2 == 0) for turn in range(rounds)), strict=True
    )
    print(f"{bundle.manifest.name}, batch 1, {threads} threads, {rounds} rounds of {seconds:g} s")
    print(f"  {OURS:24} {statistics.median(own):8.3f} ms")
    held = report(RAW, statistics.median(raw), ratios)
    if bundle.manifest.format == "tflite":
        runs = max(LEAST_RUNS, round(1e3 * seconds / raw[-1]))
        tools = [
            (side_by_side(bundle, threads, seconds, own_first=True)[0], tool(bundle, threads, runs))
            for _ in range(rounds)
        ]
        held &= report(TOOL, statistics.median(t for _, t in tools), [ours / t for ours, t in tools])
    done = subprocess.run(command("overhead", bundle, threads, seconds), capture_output=True, text=True, check=True)
    added, call = json.loads(done.stdout.splitlines()[-1])
    holds = added <= OVERHEAD_LIMIT
    print(
        f"  predict adds {added:.1f} µs to the engine's {call:.0f} µs, {added / call:.2%} "
        f"(limit {OVERHEAD_LIMIT:g} µs: {'holds' if holds else 'MISSED'})"
    )
    return holds and held


def report(name: str, milliseconds: float, ratios: Sequence[float]) -> bool:
    """Print one row with the ratio of ours to it, the median of the rounds; whether the limit holds."""
    value = statistics.median(ratios)
    holds = abs(value - 1) <= RATIO_LIMIT
    print(
        f"  {name:24} {milliseconds:8.3f} ms, ours / theirs {value:.3f}, rounds {min(ratios):.3f} to {max(ratios):.3f} "
        f"(limit 1 ± {RATIO_LIMIT}: {'holds' if holds else 'MISSED'})"
    )
    return holds


def main() -> int:
    """Each bundle in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*", type=Path, metavar="BUNDLE")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement after its warm-up")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--job", choices=["raw", "overhead"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    opened = [
        bundles.read(path) for path in options.bundles or sorted(path.parent for path in ZOO.glob("*/manifest.json"))
    ]
    if options.job:
        raw = options.job == "raw"
        result = raw_loop(opened[0], options.threads) if raw else overhead(opened[0], options.threads, options.seconds)
        print(json.dumps(result))
        return 0
    return int(not all([compare(bundle, options.rounds, options.threads, options.seconds) for bundle in opened]))


if __name__ == "__main__":
    sys.exit(main())
