"""Can the benchmark be trusted? The same bundles measured again and again, and one that is slowed down on purpose.

usage: python -m perf.itself BUNDLE BUNDLE [--runs 10] [--effort default] [--delay 0.1] [--out DIR]

Every run is a whole `bctk bench` of five bundles: both, a copy of each, and a copy of the first whose backend sleeps
for a tenth of each answer's time. From each run's report, as `bctk compare REPORT --baseline` judges it:

- A/B: does the interval of the ratio of the two cover their ratio pooled over all runs? (nine of ten should)
- A/A: is a bundle ever called worse or better than its own copy? (never)
- planted: is the slowed copy called worse? (nine of ten)

Reports are kept in DIR, so that a call that was interrupted goes on with the runs that are missing.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from bctoolkit.bench.analysis.compare import Change, Trend, compare_with_baseline
from bctoolkit.bench.documents.stored import read
from bctoolkit.files import unfinished

MARGIN = 0.03
SLOWED = "slowed"
FIGURE = "fastest ms"

PLANT = '''
import os, time
import bctoolkit.runtime as runtime

class Slowed:
    """A backend that sleeps for a share of each answer's time."""
    def __init__(self, backend):
        self._backend = backend
    def __getattr__(self, name):
        return getattr(self._backend, name)
    def run(self, batch):
        began = time.perf_counter()
        answer = self._backend.run(batch)
        end = time.perf_counter() + {delay} * (time.perf_counter() - began)
        time.sleep(max(0.0, end - time.perf_counter() - 1e-4))
        while time.perf_counter() < end:  # a sleep alone lasts too long by some 60 microseconds
            pass
        return answer

opened = runtime.load

def load(path, **options):
    classifier = opened(path, **options)
    if os.path.basename(path) == "{slowed}":
        return runtime.Classifier(Slowed(classifier.backend), classifier.contract, classifier.labels)
    return classifier

runtime.load = load
'''


def planted(folder: Path, delay: float) -> dict[str, str]:
    """The environment in which every new process slows the bundle called `slowed`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(PLANT.format(delay=delay, slowed=SLOWED), encoding="utf-8")
    paths = [str(folder.absolute()), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def copies(first: Path, second: Path, folder: Path) -> list[Path]:
    """Both bundles, a copy of each and the one to be slowed, under names that tell them apart."""
    targets = [folder / name for name in ("a", "b", "a-again", "b-again", SLOWED)]
    for target, source in zip(targets, (first, second, first, second, first), strict=True):
        if not target.exists():
            shutil.copytree(source, target)
    return targets


def p50(report: Path, baseline: str, other: str) -> Change:
    """How the latencies of two bundles of a report compare."""
    changes = compare_with_baseline(read(report), baseline, MARGIN).changes
    return next(change for change in changes if (change.bundle, change.figure) == (other, FIGURE))


def main() -> None:
    """Measure, then count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs=2, type=Path)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--effort", choices=("quick", "default", "publish"), default="default")
    parser.add_argument("--delay", type=float, default=0.1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/reports/itself"))
    options = parser.parse_args()
    environment = planted(options.out / "planted", options.delay)
    bundles = copies(options.bundles[0], options.bundles[1], options.out / "bundles")
    effort = [] if options.effort == "default" else [f"--{options.effort}"]
    reports = [options.out / f"run-{run}" for run in range(options.runs)]
    for report in reports:
        if not report.exists():
            what = ["--resume"] if unfinished(report).exists() else [*map(str, bundles), *effort]
            command = [sys.executable, "-m", "bctoolkit", "bench", *what, "--out", str(report)]
            subprocess.run(command, env=environment, check=True)
    report(reports)


def report(reports: list[Path]) -> None:
    """Print each run, and what it comes to."""
    ab = [p50(report, "a", "b") for report in reports]
    pooled = float(np.exp(np.mean([np.log(change.change) for change in ab])))
    covered = [change.ci95[0] <= pooled <= change.ci95[1] for change in ab]
    aa = [p50(report, name, f"{name}-again") for report in reports for name in ("a", "b")]
    slowed = [p50(report, "a", SLOWED) for report in reports]
    for title, changes in (("A/B", ab), ("A/A", aa), (SLOWED, slowed)):
        for change in changes:
            low, high = change.ci95
            print(f"{title}: {change.change:.3f} ({low:.3f} to {high:.3f}) {change.trend}")
    claimed = sum(change.trend in (Trend.WORSE, Trend.BETTER) for change in aa)
    caught = sum(change.trend is Trend.WORSE for change in slowed)
    print(f"A/B: {sum(covered)} of {len(covered)} intervals cover the pooled ratio {pooled:.3f}")
    print(f"A/A: a difference is claimed in {claimed} of {len(aa)} tries")
    print(f"planted: caught in {caught} of {len(slowed)}")


if __name__ == "__main__":
    main()
