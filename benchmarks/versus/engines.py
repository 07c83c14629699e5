"""`bctk bench` and the runtime beside the engines' own loops, on the same file, images and threads.

usage: python benchmarks/versus/engines.py [BUNDLE…] [--rounds N] [--seconds S] [--threads N]

Two questions of each bundle, by default those of exports/zoo:

1. Is the p50 that `bctk bench` reports the engine's? A session of `bctk bench`, the plain loop of ONNX Runtime or
   LiteRT, and the benchmark tool that LiteRT's wheel ships, round by round, each time in a fresh process. ONNX
   Runtime's wheel ships no tool that runs any model.
2. What does `Classifier.predict` add to a call of the engine? Both in one process on one opened model, call by call,
   in the order A B B A; the median of the differences.

Prints medians, ratios and differences beside the limits the project holds itself to; exit code 1 where one is missed.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from turns import ratio

from bctoolkit import bundle as bundles
from bctoolkit.bench.latency import session
from bctoolkit.bench.report import Settings
from bctoolkit.bundle import Bundle
from bctoolkit.runtime import Backend, Classifier

Call = Callable[[Any], Any]

ZOO = Path(__file__).parents[2] / "exports" / "zoo"
OURS, RAW, TOOL = "bctk bench", "the engine's own loop", "LiteRT's benchmark tool"
RATIO_LIMIT, OVERHEAD_LIMIT = 0.03, 100.0
"""How far p50 may be from the engine's, as a share; microseconds that `predict` may add."""
LEAST_RUNS, WARM_UP = 50, 1.0
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
    given, answered = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def call(image: Any) -> Any:
        interpreter.set_tensor(given, image)
        interpreter.invoke()
        return interpreter.get_tensor(answered)

    return call, LiteRtBackend(interpreter, threads)


OPEN = {"onnx": open_onnx, "tflite": open_tflite}


def images_of(bundle: Bundle) -> list[Any]:
    """The golden images one by one, in the order in which `bctk bench` takes them."""
    images = bundle.golden().images.astype(bundle.manifest.input.dtype)
    return [images[i : i + 1] for i in np.random.default_rng(0).permutation(len(images))]


def timed(call: Call, image: Any) -> int:
    """Nanoseconds of one call."""
    begin = time.perf_counter_ns()
    call(image)
    return time.perf_counter_ns() - begin


def raw_loop(bundle: Bundle, threads: int, seconds: float) -> float:
    """Milliseconds of the median run in the engine's own loop."""
    call, _ = OPEN[bundle.manifest.format](bundle.model(), threads)
    images = itertools.cycle(images_of(bundle))
    warm, samples = time.perf_counter() + WARM_UP, []
    while time.perf_counter() < warm:
        call(next(images))
    deadline = time.perf_counter() + seconds
    while len(samples) < LEAST_RUNS or time.perf_counter() < deadline:
        samples.append(timed(call, next(images)))
    return statistics.median(samples) / 1e6


def overhead(bundle: Bundle, threads: int, seconds: float) -> tuple[float, float]:
    """Microseconds that `predict` adds to the engine's call, and those of the call: medians."""
    call, backend = OPEN[bundle.manifest.format](bundle.model(), threads)
    predict = Classifier(backend, bundle.manifest.input, bundle.manifest.labels).predict
    differences, raw = [], []
    images = itertools.cycle(images_of(bundle))
    warm, deadline = time.perf_counter() + WARM_UP, time.perf_counter() + WARM_UP + seconds
    while len(raw) < LEAST_RUNS or time.perf_counter() < deadline:
        image = next(images)
        first, ours, again, last = timed(call, image), timed(predict, image), timed(predict, image), timed(call, image)
        if time.perf_counter() >= warm:
            differences += [ours - first, again - last]
            raw += [first, last]
    return statistics.median(differences) / 1e3, statistics.median(raw) / 1e3


def in_child(job: str, bundle: Bundle, threads: int, seconds: float) -> Any:
    """One job in a fresh process."""
    command = [sys.executable, __file__, str(bundle.path), "--job", job]
    done = subprocess.run(
        [*command, "--threads", str(threads), "--seconds", str(seconds)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{bundle.path}: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def ours(bundle: Bundle, threads: int, seconds: float) -> float:
    """Milliseconds of the median run in a session of `bctk bench`."""
    settings = Settings(1, LEAST_RUNS, seconds, warmup_runs=20, warmup_seconds=WARM_UP, threads=threads, seed=0)
    return statistics.median(session(bundle.path, settings, None).model) / 1e6


def tool(bundle: Bundle, threads: int, runs: int) -> float:
    """Milliseconds of the median run as LiteRT's own tool measures it."""
    model = bundle.path / bundle.manifest.model.file
    options = ["--model", str(model), "--num_threads", str(threads), "--num_runs", str(runs), "--warmup_runs", "50"]
    command = [sys.executable, "-c", TOOL_RUNS, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def compare(bundle: Bundle, rounds: int, threads: int, seconds: float) -> bool:
    """Measure one bundle and print; whether every limit holds."""
    times: dict[str, list[float]] = {OURS: [], RAW: []}
    if bundle.manifest.format == "tflite":
        times[TOOL] = []
    for _ in range(rounds):
        times[OURS].append(ours(bundle, threads, seconds))
        times[RAW].append(in_child("raw", bundle, threads, seconds))
        if TOOL in times:
            times[TOOL].append(tool(bundle, threads, max(LEAST_RUNS, round(1e3 * seconds / times[RAW][-1]))))
    added, raw = in_child("overhead", bundle, threads, seconds)
    print(f"{bundle.manifest.name}, batch 1, {threads} threads, {rounds} rounds of {seconds:g} s")
    held = [said(f"{name:24} {statistics.median(found):8.3f} ms", times, name) for name, found in times.items()]
    holds = added <= OVERHEAD_LIMIT
    print(
        f"  predict adds {added:.1f} µs to the engine's {raw:.0f} µs, {added / raw:.2%} "
        f"(limit {OVERHEAD_LIMIT:g} µs: {'holds' if holds else 'MISSED'})"
    )
    return holds and all(held)


def said(words: str, times: dict[str, list[float]], name: str) -> bool:
    """Print one row, with the ratio of ours to it; whether the limit holds."""
    if name == OURS:
        print(f"  {words}")
        return True
    value = ratio(times, OURS, name)
    rounds = [ours / theirs for ours, theirs in zip(times[OURS], times[name], strict=True)]
    holds = abs(value - 1) <= RATIO_LIMIT
    spread = f"rounds {min(rounds):.3f} to {max(rounds):.3f}"
    print(f"  {words}, ours / theirs {value:.3f}, {spread} (limit 1 ± {RATIO_LIMIT}: {'holds' if holds else 'MISSED'})")
    return holds


def main() -> int:
    """Each bundle in turn."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("bundles", nargs="*", type=Path, metavar="BUNDLE")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=2.0, help="of each measurement after its warm-up")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--job", choices=["raw", "overhead"], help=argparse.SUPPRESS)
    given = options.parse_args()
    opened = [
        bundles.read(path) for path in given.bundles or sorted(path.parent for path in ZOO.glob("*/manifest.json"))
    ]
    if given.job:
        job = {"raw": raw_loop, "overhead": overhead}[given.job]
        print(json.dumps(job(opened[0], given.threads, given.seconds)))
        return 0
    return int(not all([compare(bundle, given.rounds, given.threads, given.seconds) for bundle in opened]))


if __name__ == "__main__":
    sys.exit(main())
