"""Every image classifier of keras.applications, keras-hub and kimm, and notebooks' networks: do they become files?

usage: python -m perf.families [--only PATTERN…] [--all] [--again WHAT] [--stock] [--time] [--cache DIR]
       python -m perf.families --check

By default the smallest size of each family. Each network is drawn once (`perf/draw.py`) and saved, then given to
`bctk export` as a user would. Each task runs in a process of its own, and each result is kept in docs/families.json at
once, so a call that was interrupted goes on where it was. docs/families.md is written from that file; `--check` only
compares them. keras-hub and kimm are needed for their networks, and for nothing else.
"""

import argparse
import contextlib
import fnmatch
import json
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from perf.families.page import page
from perf.families.sources import NETWORKS

ROOT = Path(__file__).resolve().parents[2]
RESULTS, PAGE = ROOT / "docs" / "families.json", ROOT / "docs" / "families.md"
ROUNDS, RUNS = 21, 15
PAIRS = {"onnx": "keras onnx", "tflite": "keras litert"}
"""Our routes, and Keras's own to the same format."""
QUANTIZED = (
    "keras.applications/MobileNetV2",
    "keras.applications/EfficientNetB0",
    "keras.applications/ResNet50",
    "keras-hub/ViT-Ti",
    "keras-hub/HGNetV2-B0",
    "kimm/ConvNeXtAtto",
    "kimm/GhostNetW050",
    "kimm/RepVGGA0",
    "notebooks/MLP-Mixer",
    "notebooks/residual",
)
"""Networks that are put through int8-dynamic as well."""


class Session:
    """The results so far, and how each missing one comes about."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options

    def measure(self, name: str, folder: Path) -> None:
        """Do what is not in the results yet for one network, and keep it."""
        from perf.families import tasks

        result = _results().get(name, {"routes": {}})
        result = {"routes": {}} if "earlier" in result else result
        routes = [route for route in self._routes(name) if self._is_missing(folder, result, route)]
        timed = self.options.time and "latency_ms" not in result
        if not routes and not timed:
            return
        if "parameters" not in result or not (folder / tasks.MODEL).exists():
            prepared = self._run(name, folder, tasks.prepare, name in QUANTIZED)
            if "failed" in prepared:
                print(f"{name}: not built: {prepared['failed']}", flush=True)
                return
            result |= prepared
        for outcome in self._outcomes(name, folder, routes):
            result["routes"] |= outcome
            print(f"  {name} {outcome}", flush=True)
            _keep(name, result)
        if timed:
            result["latency_ms"] = _latency(folder, result["routes"])
            _keep(name, result)

    def _outcomes(self, name: str, folder: Path, routes: list[str]) -> Iterator[dict[str, Any]]:
        """By route, a few at a time: what float32 needs is computed once for both formats."""
        from perf.families import tasks

        float32 = [route for route in routes if route in PAIRS]
        for group in [float32, *([route] for route in routes if route in tasks.FORMS and route not in PAIRS)]:
            if group:
                outcome = self._run(name, folder, tasks.export, group)
                yield dict.fromkeys(group, outcome) if "failed" in outcome else outcome
        for route in (route for route in routes if route in tasks.STOCK):
            yield {route: self._run(name, folder, tasks.keras_export, route)}

    def _routes(self, name: str) -> list[str]:
        from perf.families.tasks import FORMS, STOCK

        ours = [route for route in FORMS if "int8" not in route or name in QUANTIZED]
        return ours + (list(STOCK) if self.options.stock else [])

    def _is_missing(self, folder: Path, result: Mapping[str, Any], route: str) -> bool:
        """Whether to take a route: it was not taken, it is wanted again, or its file is to be timed and gone."""
        from perf.families.tasks import artifact

        entry = result["routes"].get(route)
        if entry is None or self.options.again == "all":
            return True
        if "max_abs_diff" not in entry:
            return bool(self.options.again == "refused")
        return self.options.time and "latency_ms" not in result and not (folder / artifact(route)).exists()

    def _run(self, name: str, folder: Path, task: Any, *arguments: Any) -> dict[str, Any]:
        from perf.families import children

        limits = {"seconds": self.options.limit, "megabytes": self.options.megabytes}
        return children.run(task, name, str(folder), *arguments, **limits, log=folder / "log.txt")


def _results() -> dict[str, Any]:
    """By network, in the order of the sources."""
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return {name: results[name] for name in NETWORKS if name in results}


def _keep(name: str, result: dict[str, Any]) -> None:
    """Write one network's results among those of the others, which another call may have added to meanwhile."""
    results = _results() | {name: result}
    ordered = {each: results[each] for each in NETWORKS if each in results}
    for target, text in ((RESULTS, json.dumps(ordered, indent=1) + "\n"), (PAGE, page(ordered))):
        partial = target.with_name(f".{target.name}")
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)


def _latency(folder: Path, routes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Medians of interleaved turns, in milliseconds, and ours over Keras's own where both converted.

    A format at a time: the threads that ONNX Runtime leaves spinning would slow LiteRT, and more the first of its two.
    """
    from perf.families.tasks import IMAGES, artifact
    from perf.turns import SITTINGS, in_turns, ratio

    command = [sys.executable, "-m", "perf.families.timed"]
    latency: dict[str, Any] = {"sittings": SITTINGS, "ratios": {}}
    for pair in PAIRS.items():
        files = {route: folder / artifact(route) for route in pair if "max_abs_diff" in routes.get(route, {})}
        commands = {route: [*command, str(file), str(folder / IMAGES)] for route, file in files.items()}
        times = in_turns(commands, ROUNDS, RUNS)
        latency |= {route: statistics.median(medians) for route, medians in times.items()}
        if len(times) == len(pair):
            latency["ratios"][pair[0]] = ratio(times, *pair)
    return latency


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="PATTERN", help="networks, e.g. 'kimm/*' (repeatable)")
    parser.add_argument("--all", action="store_true", help="every size of each family, not the smallest")
    parser.add_argument("--again", choices=["refused", "all"], help="do these anew: what gave no file, or everything")
    parser.add_argument("--stock", action="store_true", help="Keras's own exporters too")
    parser.add_argument("--time", action="store_true", help="latency too; on a quiet machine")
    parser.add_argument("--cache", type=Path, help="folder that keeps networks and files between calls")
    parser.add_argument("--limit", type=float, default=300, help="seconds that one task may take")
    parser.add_argument("--megabytes", type=int, default=6000, help="memory that one task may take")
    parser.add_argument("--check", action="store_true", help="is docs/families.md what docs/families.json says?")
    return parser.parse_args()


def main() -> int:
    """Measure what is asked for, or compare the page with the results."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))  # so that no child is left behind
    options = _options()
    session = Session(options)
    if options.check:
        return int(PAGE.read_text(encoding="utf-8") != page(_results()))
    smallest = [name for name, network in NETWORKS.items() if options.all or network.smallest]
    matching = [name for pattern in options.only or () for name in fnmatch.filter(NETWORKS, pattern)]
    names = dict.fromkeys(matching if options.only else smallest)
    for name in names:
        with contextlib.ExitStack() as stack:
            folder = options.cache / name if options.cache else Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder.mkdir(parents=True, exist_ok=True)
            session.measure(name, folder.resolve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
