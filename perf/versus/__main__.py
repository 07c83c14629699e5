"""Which engine is the fastest for a file, and which file for an engine: two threads, batch 1, turn by turn.

usage: python -m perf.versus [--cache DIR] [--only TEXT] [--rounds N] [--again] [--peers-python PATH] [--page FILE]

Engines: all of the table of formats, on their CPU providers, OpenVINO in float32 and in bfloat16. Files: ours in every
form that runs on CPUs, Keras's, PyTorch's, and NNCF's, of ConvNeXtSmall at 96×96, and the zoo's. All files of one
network and format take turns in all engines, each pair in a process of its own; the ratio of two is the median of those
of the turns. What is finished is kept in the cache, a network and format at a time, and not measured again without
--again, so that an interrupted call goes on. With --page the table is written into a page, between its two marks.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bctoolkit.documents.formats import FORMATS
from bctoolkit.files import atomic_file
from bctoolkit.system import cpu_name, versions
from perf.pages import write_table
from perf.turns import if_busy, in_turns, others_load, ratio
from perf.versus.files import File, files

THREADS = "2"
RUNS = 15
RUNS_IN = {
    "onnx": (("onnxruntime", "cpu"), ("openvino", "cpu"), ("openvino", "cpu-bf16")),
    "tflite": (("litert", "cpu"), ("litert-compiled", "cpu")),
}
"""By format: engines and what they run on."""

Group = dict[str, Any]
"""`load`: CPUs that others kept busy before; `times`: milliseconds of each case in each round."""


def title(file: File, engine: str, provider: str) -> str:
    """The name of a case."""
    return " | ".join((file.maker, file.form, engine, provider))


def measure(group: list[File], format_name: str, rounds: int, only: str) -> Group:
    """Time files of one network and format in all engines."""
    child = [sys.executable, "-m", "perf.versus.child"]
    cases = {
        title(file, engine, provider): [*child, engine, provider, str(file.path), THREADS]
        for file in group
        for engine, provider in RUNS_IN[format_name]
        if only in f"{file.network} | {title(file, engine, provider)}"
    }
    load = others_load()
    return {"load": load, "times": in_turns(cases, rounds, RUNS) if cases else {}}


def rows(network: str, format_name: str, group: Group) -> Iterator[str]:
    """The table's rows of a group: each case beside the default engine on our float32, and beside its engine's best."""
    times = group["times"]
    fastest: dict[str, str] = {}
    for name in sorted(times, key=lambda name: statistics.median(times[name]), reverse=True):
        fastest[name.split(" | ", 2)[2]] = name
    for name, medians in times.items():
        maker, form, engine, provider = name.split(" | ")
        best = fastest[f"{engine} | {provider}"]
        beside = "**fastest**" if best == name else f"{ratio(times, name, best):.2f}"
        first = " | ".join((maker, form, *RUNS_IN[format_name][0]))
        against = f"{ratio(times, name, first):.2f}" if first in times else "–"
        ran = f"{engine} {provider} | {statistics.median(medians):.2f}"
        yield f"| {network}, {format_name} | {maker} | {form} | {ran} | {against} | {beside} |"


def table(results: dict[str, Group]) -> str:
    """The whole table with what it was measured on."""
    packages = ("onnxruntime", "openvino", "ai-edge-litert")
    tools = ", ".join(f"{name} {version}" for name, version in versions(*packages).items() if name != "python")
    loads = [group["load"] for group in results.values()]
    lines = [
        f"{cpu_name()}, {THREADS} threads, batch 1, medians of turns of {RUNS} runs; {tools}.{if_busy(loads)}",
        "",
        "| network | file by | form | engine | ms | over the format's first engine | over this engine's fastest file |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, group in results.items():
        network, _, format_name = key.rpartition(", ")
        lines += rows(network, format_name, group)
    return "\n".join(lines)


def main() -> int:
    """Make the files, time a group at a time, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="folder that keeps the files and what is finished")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds it, e.g. 'ours | fp32'")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--again", action="store_true", help="measure what is finished, too")
    parser.add_argument("--peers-python", default=sys.executable, help="an interpreter with torch, onnxscript and nncf")
    parser.add_argument("--page", type=Path, help="write the table into it, e.g. docs/engines.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        cache = (options.cache or Path(temporary)).resolve()
        cache.mkdir(parents=True, exist_ok=True)
        kept = cache / "versus.json"
        results: dict[str, Group] = {} if options.again or not kept.exists() else json.loads(kept.read_bytes())
        groups: dict[tuple[str, str], list[File]] = {}
        formats = {row.suffix: name for name, row in FORMATS.items()}
        for file in files(cache, options.peers_python):
            groups.setdefault((file.network, formats[file.path.suffix]), []).append(file)
        for (network, format_name), group in sorted(groups.items(), key=lambda item: len(item[1])):
            key = f"{network}, {format_name}"
            if key in results:
                continue
            print(f"{key}: {len(group)} files, {options.rounds} rounds …", flush=True)
            result = measure(group, format_name, options.rounds, options.only)
            if result["times"]:
                results[key] = result
                if not options.only:
                    atomic_file(kept, json.dumps(results).encode())
    content = table(results)
    print(content)
    if options.page:
        write_table(options.page, "perf.versus", content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
