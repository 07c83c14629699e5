"""Many threads on one classifier: whose answers they get, what memory does, and what it costs beside one each.

usage: python -m perf.threads [BUNDLE…] [--threads N] [--seconds S] [--answers N] [--rounds N]

Two questions of each bundle, by default those of exports/zoo:

1. Does each thread get the answers to its own images? All ask at once, for at least so many seconds and so many
   answers; each answer is compared, bit for bit, with that of one thread alone. Memory is read every half second once a
   tenth of the time is over.
2. What throughput do they have, beside one classifier for each thread? Each in a fresh process, in turns; the ratio is
   the median of the rounds.

Exit code 1 where an answer is wrong, a call fails or memory grows by more than 5 MB.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bctoolkit import bundle as bundles
from bctoolkit.runtime import Classifier, load

ZOO = Path(__file__).parents[1] / "exports" / "zoo"
GROWTH_LIMIT = 5e6
"""Bytes."""
WAYS = {"one, 1 thread": (1, 1), "one, 2 threads": (1, 2), "one each, 1 thread": (None, 1)}
"""How many classifiers (None: one for each thread), and the threads each computes with."""
BASELINE = "one each, 1 thread"


class Outcome(NamedTuple):
    """What became of many calls."""

    answers: int
    wrong: int
    errors: int
    growth: int
    """Bytes between the least and the most resident memory after the first tenth of the time."""


def resident() -> int:
    """Bytes of this process in memory, as Linux counts them."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OSError("the system does not tell")


def singles(images: NDArray[Any]) -> list[NDArray[Any]]:
    """Batches of one."""
    return [images[i : i + 1] for i in range(len(images))]


def ask_at_once(classifier: Classifier, images: NDArray[Any], threads: int, seconds: float, least: int = 0) -> Outcome:
    """Let threads ask one classifier, and compare each answer with that of one thread alone.

    Args:
        classifier: the one they share.
        images: N × height × width × channels, as the contract has them; asked one at a time in random order.
        threads: how many ask.
        seconds: at least so long;
        least: and until there are so many answers.
    """
    batches = singles(images)
    alone = [classifier.predict(batch).probabilities.tobytes() for batch in batches]
    counts, begun, over = [[0, 0, 0] for _ in range(threads)], time.monotonic(), threading.Event()

    def ask(seed: int) -> None:
        order, count = np.random.default_rng(seed), counts[seed]
        while not over.is_set():
            index = int(order.integers(len(batches)))
            try:
                answer = classifier.predict(batches[index]).probabilities.tobytes()
                count[1] += answer != alone[index]
            except Exception:  # whatever it is, it is counted
                count[2] += 1
            count[0] += 1

    memory = []
    with ThreadPoolExecutor(threads) as pool:
        asking = [pool.submit(ask, seed) for seed in range(threads)]
        try:
            while (elapsed := time.monotonic() - begun) < seconds or sum(count[0] for count in counts) < least:
                time.sleep(min(0.5, seconds / 10))
                if elapsed > seconds / 10:
                    memory.append(resident())
        finally:
            over.set()
        for each in asking:
            each.result()
    answers, wrong, errors = (sum(column) for column in zip(*counts, strict=True))
    return Outcome(answers, wrong, errors, max(memory, default=0) - min(memory, default=0))


def throughput(path: Path, way: str, threads: int, seconds: float) -> tuple[float, int]:
    """Answers per second of all threads together, and the bytes that the classifiers and their work took."""
    number, each = WAYS[way]
    batches = singles(bundles.read(path).golden().images.astype(bundles.read(path).manifest.input.dtype))
    load(path, threads=each, self_test="never").close()  # imports the engine
    before = resident()
    opened = [load(path, threads=each, self_test="never") for _ in range(number or threads)]
    begin, over = threading.Barrier(threads + 1), threading.Event()

    def ask(place: int) -> int:
        classifier, count = opened[place % len(opened)], 0
        for batch in batches[:5]:
            classifier.predict(batch)
        begin.wait()
        while not over.is_set():
            classifier.predict(batches[(place + count) % len(batches)])
            count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        asking = [pool.submit(ask, place) for place in range(threads)]
        begin.wait()
        started = time.perf_counter()
        time.sleep(seconds)
        over.set()
        total = sum(each.result() for each in asking)
        elapsed = time.perf_counter() - started
    return total / elapsed, resident() - before


def in_a_process(path: Path, way: str, threads: int, seconds: float) -> tuple[float, int]:
    """The same in a fresh process: threads that an engine leaves spinning would slow the next."""
    command = [sys.executable, "-m", "perf.threads", str(path), "--way", way]
    options = ["--threads", str(threads), "--seconds", str(seconds)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    rate, memory = json.loads(done.stdout.splitlines()[-1])
    return rate, memory


def compare_ways(path: Path, threads: int, seconds: float, rounds: int) -> None:
    """Print the throughput of each way beside that of one classifier for each thread."""
    measured: dict[str, list[tuple[float, int]]] = {way: [] for way in WAYS}
    for turn in range(rounds):
        for way in sorted(WAYS, reverse=turn % 2 == 1):
            measured[way].append(in_a_process(path, way, threads, seconds))
    for way, runs in measured.items():
        ratios = [rate / base for (rate, _), (base, _) in zip(runs, measured[BASELINE], strict=True)]
        print(
            f"  {way:20} {statistics.median(ratios):5.2f} × the throughput of {BASELINE} (rounds {min(ratios):.2f} to "
            f"{max(ratios):.2f}), {statistics.median(memory for _, memory in runs) / 1e6:4.0f} MB"
        )


def check(path: Path, threads: int, seconds: float, answers: int) -> bool:
    """Print whose answers the threads get; whether all is well."""
    opened = bundles.read(path)
    with load(path, threads=1) as classifier:
        outcome = ask_at_once(
            classifier, opened.golden().images.astype(classifier.contract.dtype), threads, seconds, answers
        )
    print(
        f"{opened.manifest.name}, {threads} threads on one classifier for {seconds:g} s: {outcome.answers} answers, "
        f"{outcome.wrong} wrong, {outcome.errors} errors, memory within {outcome.growth / 1e6:.1f} MB"
    )
    return not outcome.wrong and not outcome.errors and outcome.growth <= GROWTH_LIMIT


def main() -> int:
    """Each bundle in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "bundles", nargs="*", type=Path, default=sorted(path.parent for path in ZOO.glob("*/manifest.json"))
    )
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--answers", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(throughput(given.bundles[0], given.way, given.threads, given.seconds)))
        return 0
    well = True
    for path in given.bundles:
        well &= check(path, given.threads, given.seconds, given.answers)
        if given.rounds:
            compare_ways(path, given.threads, min(given.seconds, 5.0), given.rounds)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
