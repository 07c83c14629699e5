"""Every network of `keras.applications` through Keras's exporters and ours: does it convert, how exact, how fast.

usage: python -m perf.applications [--all | --only NAME…] [--routes ours,keras] [--no-time] [--cache DIR]
       python -m perf.applications --check

By default the smallest network of each family. Each network is drawn once (`draw.py`) and saved; each route of it runs
in a process of its own, and each result is kept in docs/applications.json at once, so a call that was interrupted goes
on where it was. docs/applications.md is written from that file; `--check` only compares them.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from perf.applications_child import MODEL, ROUTES, prepare, take
from perf.applications_page import page
from perf.turns import in_turns, ratio

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "docs" / "applications.json", ROOT / "docs" / "applications.md"
ROUNDS, RUNS = 11, 15

FAMILIES = {
    "MobileNet": ("MobileNet",),
    "MobileNetV2": ("MobileNetV2",),
    "MobileNetV3": ("MobileNetV3Small", "MobileNetV3Large"),
    "NASNet": ("NASNetMobile", "NASNetLarge"),
    "EfficientNet": tuple(f"EfficientNetB{i}" for i in range(8)),
    "EfficientNetV2": tuple(f"EfficientNetV2{kind}" for kind in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    "DenseNet": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "ResNet": ("ResNet50", "ResNet101", "ResNet152"),
    "ResNetV2": ("ResNet50V2", "ResNet101V2", "ResNet152V2"),
    "Xception": ("Xception",),
    "Inception": ("InceptionV3",),
    "InceptionResNet": ("InceptionResNetV2",),
    "VGG": ("VGG16", "VGG19"),
    "ConvNeXt": ("ConvNeXtTiny", "ConvNeXtSmall", "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge"),
}


def measure(name: str, routes: list[str], timed: bool, limit: float, folder: Path, results: dict[str, Any]) -> None:
    """Do what is not in the results yet for one network, and keep it.

    Args:
        name: of the network.
        routes: those wanted, of `ROUTES`.
        timed: whether to take the latency of what converts.
        limit: seconds for one route.
        folder: where the network and its files are, or are put.
        results: the results of every network; added to.
    """
    result = results.setdefault(name, {"routes": {}})
    timed = timed and "latency_ms" not in result
    missing = [route for route in routes if route not in result["routes"]]
    if timed:
        gone = [route for route in routes if not (folder / ROUTES[route]).exists()]
        missing += [route for route in gone if "error" not in result["routes"].get(route, {"error": "not tried"})]
    if "parameters" not in result or (missing and not (folder / MODEL).exists()):
        result |= _child(name, "prepare", folder, None)
        if "error" in result:
            raise SystemExit(f"{name}: {result['error']}")
    for route in missing:
        result["routes"][route] = _child(name, route, folder, limit)
        _keep(results)
    if timed:
        converted = [route for route in routes if "error" not in result["routes"][route]]
        result["latency_ms"] = _latency({route: folder / ROUTES[route] for route in converted})
        _keep(results)


def _child(name: str, task: str, folder: Path, limit: float | None) -> dict[str, Any]:
    """What a task prints as its last line, or the reason why there is none."""
    command = [sys.executable, "-m", "perf.applications", "--child", name, task, str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {limit:g} s"}
    if done.returncode < 0:
        return {"error": f"ended by signal {-done.returncode}"}
    if done.returncode > 0:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1][:300]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"  {name} {task}: {result}", flush=True)
    return result


def _latency(files: dict[str, Path]) -> dict[str, Any]:
    cases = {route: [sys.executable, "-m", "perf.latency", "--child", str(file)] for route, file in files.items()}
    times = in_turns(cases, ROUNDS, RUNS)
    latency: dict[str, Any] = {route: statistics.median(medians) for route, medians in times.items()}
    pairs = (("ours onnx", "keras onnx"), ("ours tflite", "keras litert"))
    latency["ratios"] = {ours: ratio(times, ours, theirs) for ours, theirs in pairs if {ours, theirs} <= set(times)}
    return latency


def _keep(results: dict[str, Any]) -> None:
    order = [name for members in FAMILIES.values() for name in members]
    ordered = {name: results[name] for name in order if name in results}
    for target, text in ((RESULTS, json.dumps(ordered, indent=1) + "\n"), (PAGE, page(ordered))):
        partial = target.with_name(f".{target.name}")
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)


def main() -> int:
    """Measure what is asked for, or compare the page with the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every network, not the smallest of each family")
    parser.add_argument("--only", action="append", help="this network (repeatable)")
    parser.add_argument("--routes", default="ours,keras", help="ours, keras or both")
    parser.add_argument("--cache", type=Path, help="folder that keeps networks and files between calls")
    parser.add_argument("--limit", type=float, default=300, help="seconds that one route of one network may take")
    parser.add_argument("--no-time", action="store_true", help="convert and compare, no latency")
    parser.add_argument(
        "--check", action="store_true", help="is docs/applications.md what docs/applications.json says?"
    )
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, task, folder = options.child
        print(json.dumps(prepare(name, Path(folder)) if task == "prepare" else take(task, Path(folder))))
        return 0
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if options.check:
        return int(PAGE.read_text(encoding="utf-8") != page(results))
    names = options.only or [
        name for members in FAMILIES.values() for name in (members if options.all else members[:1])
    ]
    routes = [route for route in ROUTES if route.split()[0] in options.routes.split(",")]
    for name in names:
        with contextlib.ExitStack() as stack:
            folder = options.cache / name if options.cache else Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder.mkdir(parents=True, exist_ok=True)
            measure(name, routes, not options.no_time, options.limit, folder, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
