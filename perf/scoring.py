"""Many images through `bctk predict --out`: what memory does, and how fast it is by batch and by workers of Ray.

usage: python -m perf.scoring IMAGES [BUNDLE] [--count N] [--batches 1,4,16] [--ray N] [--rounds N]

IMAGES is a folder; its pictures are listed again and again until there are so many. By default: --count images of the
TFLite bundle of exports/zoo, with the resident memory of the command and of its children every second. With --batches
the same list in turns with each size of batch, and with --ray with one and with two workers; the ratios are medians of
the rounds. A second is counted from the first row to the last, so that starting an engine or Ray is not.

Exit code 1 where memory grows by more than 100 MB between a tenth of the time and the end.
"""

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import NamedTuple

from bctoolkit.files import unfinished
from bctoolkit.scoring.inputs import Inputs

TFLITE = Path(__file__).parents[1] / "exports" / "zoo" / "atto-tflite-int8-dynamic"
GROWTH_LIMIT = 100e6
"""Bytes."""
LOOK_SECONDS = 1.0


class Run(NamedTuple):
    """What one command did."""

    rate: float
    """Images per second, from the first look at which rows were kept to the last."""
    cpu_seconds: float
    """Of the command and its children; not of Ray's, which end later."""
    memory: list[int]
    """Resident bytes of all of them, every second."""


def resident(pid: int) -> int:
    """Bytes of a process and all below it that are in memory, as Linux counts them."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(map(resident, map(int, children)))


def kept(path: Path) -> Iterator[bytes]:
    """What was added to a file since the last look."""
    position = 0
    while True:
        try:
            with path.open("rb") as file:
                file.seek(position)
                content = file.read()
        except FileNotFoundError:
            content = b""
        position += len(content)
        yield content


def scored(bundle: Path, listed: Path, count: int, options: Sequence[str]) -> Run:
    """Score a list in a process of its own."""
    target = listed.with_name("rows.csv")
    target.unlink(missing_ok=True)
    command = [sys.executable, "-m", "bctoolkit", "predict", str(bundle), f"@{listed}", "--out", str(target), *options]
    before = os.times()
    looks = kept(unfinished(target) / "rows.jsonl")
    memory: list[int] = []
    rows, times = [0], [time.monotonic()]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            new = next(looks).count(b"\n")
            if new:
                rows.append(rows[-1] + new)
                times.append(time.monotonic())
            memory.append(resident(process.pid))
            time.sleep(LOOK_SECONDS if count > 20_000 else 0.05)
    if process.returncode:
        raise SystemExit(f"{shlex.join(command)}: exit code {process.returncode}")
    if len(rows) < 3:
        raise SystemExit(f"{count} images are too few to be timed; give more with --count")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run((rows[-1] - rows[1]) / (times[-1] - times[1]), cpu, memory)


def flat(run: Run, count: int) -> bool:
    """Print what memory did; whether it stayed as it was."""
    settled = run.memory[len(run.memory) // 10 : -1]  # at the last look it may be ending
    growth = max(settled) - settled[0]
    places = [len(settled) * part // 4 for part in range(5)]
    most = [max(settled[first : last + 1]) / 1e6 for first, last in pairwise(places)]
    print(f"{count:,} images: {run.rate:.0f} images/s, {run.cpu_seconds / count * 1e3:.2f} CPU ms an image")
    quarters = ", ".join(f"{each:.0f}" for each in most)
    print(f"most resident MB in each quarter of the time: {quarters}; growth {growth / 1e6:.1f} MB")
    return growth <= GROWTH_LIMIT


def compare(bundle: Path, listed: Path, count: int, rounds: int, cases: Mapping[str, Sequence[str]]) -> None:
    """Print how fast each case is beside the first, in turns."""
    runs: dict[str, list[Run]] = {name: [] for name in cases}
    for turn in range(rounds):
        for name in sorted(cases, reverse=turn % 2 == 1):
            runs[name].append(scored(bundle, listed, count, cases[name]))
    first = runs[next(iter(cases))]
    for name, measured in runs.items():
        ratios = [one.rate / base.rate for one, base in zip(measured, first, strict=True)]
        print(
            f"  {name:12} {statistics.median(one.rate for one in measured):6.0f} images/s, "
            f"{statistics.median(ratios):.2f} × (rounds {min(ratios):.2f} to {max(ratios):.2f})"
        )


def main() -> int:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("bundle", nargs="?", type=Path, default=TFLITE)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--batches", default="")
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    names = [item.file for item in Inputs([str(given.images)])]
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "list.txt")
        listed.write_bytes(b"\n".join(map(os.fsencode, islice(cycle(names), given.count))))
        if given.batches:
            cases = {f"batch {size}": ("--batch", size) for size in given.batches.split(",")}
            compare(given.bundle, listed, given.count, given.rounds, cases)
        elif given.ray:
            workers: dict[str, Sequence[str]] = {
                f"{n} on Ray": ("--runner", "ray", "--workers", str(n)) for n in (1, 2)
            }
            workers["here"] = ()
            compare(given.bundle, listed, given.count, given.rounds, workers)
        elif not flat(scored(given.bundle, listed, given.count, ()), given.count):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
