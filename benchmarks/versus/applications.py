"""Every network of `keras.applications` through Keras's exporters and ours: does it convert, how exact, how fast.

usage: python benchmarks/versus/applications.py [--all | --only NAME…] [--routes ours,keras] [--no-time] [--cache DIR]
       python benchmarks/versus/applications.py --check

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
sys.path.insert(0, str(Path(__file__).parent))

from applications_child import MODEL, ROUTES, prepare, take
from applications_page import page
from turns import in_turns, ratio

ROOT = Path(__file__).resolve().parents[2]
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
        results: what is known of every network; added to.
    """
    found = results.setdefault(name, {"routes": {}})
    timed = timed and "latency_ms" not in found
    missing = [route for route in routes if route not in found["routes"]]
    if timed:
        gone = [route for route in routes if not (folder / ROUTES[route]).exists()]
        missing += [route for route in gone if "error" not in found["routes"].get(route, {"error": "not tried"})]
    if "parameters" not in found or (missing and not (folder / MODEL).exists()):
        found |= _child(name, "prepare", folder, None)
        if "error" in found:
            raise SystemExit(f"{name}: {found['error']}")
    for route in missing:
        found["routes"][route] = _child(name, route, folder, limit)
        _keep(results)
    if timed:
        made = [route for route in routes if "error" not in found["routes"][route]]
        found["latency_ms"] = _latency({route: folder / ROUTES[route] for route in made})
        _keep(results)


def _child(name: str, task: str, folder: Path, limit: float | None) -> dict[str, Any]:
    """What a task prints as its last line, or the reason why there is none."""
    command = [sys.executable, __file__, "--child", name, task, str(folder)]
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
    latency = Path(__file__).with_name("latency.py")
    cases = {route: [sys.executable, str(latency), "--child", str(file)] for route, file in files.items()}
    times = in_turns(cases, ROUNDS, RUNS)
    found: dict[str, Any] = {route: statistics.median(medians) for route, medians in times.items()}
    pairs = (("ours onnx", "keras onnx"), ("ours tflite", "keras litert"))
    found["ratios"] = {ours: ratio(times, ours, theirs) for ours, theirs in pairs if {ours, theirs} <= set(times)}
    return found


def _keep(results: dict[str, Any]) -> None:
    order = [name for members in FAMILIES.values() for name in members]
    ordered = {name: results[name] for name in order if name in results}
    for target, text in ((RESULTS, json.dumps(ordered, indent=1) + "\n"), (PAGE, page(ordered))):
        partial = target.with_name(f".{target.name}")
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)


def main() -> int:
    """Measure what is asked for, or compare the page with the results."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--all", action="store_true", help="every network, not the smallest of each family")
    options.add_argument("--only", action="append", help="this network (repeatable)")
    options.add_argument("--routes", default="ours,keras", help="ours, keras or both")
    options.add_argument("--cache", type=Path, help="folder that keeps networks and files between calls")
    options.add_argument("--limit", type=float, default=300, help="seconds that one route of one network may take")
    options.add_argument("--no-time", action="store_true", help="convert and compare, no latency")
    options.add_argument(
        "--check", action="store_true", help="is docs/applications.md what docs/applications.json says?"
    )
    options.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        name, task, folder = given.child
        print(json.dumps(prepare(name, Path(folder)) if task == "prepare" else take(task, Path(folder))))
        return 0
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if given.check:
        return int(PAGE.read_text(encoding="utf-8") != page(results))
    names = given.only or [name for members in FAMILIES.values() for name in (members if given.all else members[:1])]
    routes = [route for route in ROUTES if route.split()[0] in given.routes.split(",")]
    for name in names:
        with contextlib.ExitStack() as stack:
            folder = given.cache / name if given.cache else Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder.mkdir(parents=True, exist_ok=True)
            measure(name, routes, not given.no_time, given.limit, folder, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
