"""How a classifier fares on another site's pictures, as far as images of its own can tell: docs/corruptions.md.

usage: python -m perf.shifts RUN|BUNDLE… --data images/ [--part test] [--count 500]

For each a Markdown table: accuracy with its exact binomial interval at 95 %, and macro recall, the mean of the classes'
recalls, on the images as they are, on those of the second imaging set-up, under each site shift, and as means over each
kind. Only the test part is measured unless another part is asked for.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data import Dataset, load
from bctoolkit.data.dataset import stratified
from bctoolkit.data.shifts import KINDS, SHIFTS, second_setup, shift
from bctoolkit.errors import BctkError
from bctoolkit.evaluate.report import Part
from bctoolkit.evaluate.subject import Predict, Subject, locate, open_subject
from bctoolkit.progress import Progress, Silent, Terminal
from bctoolkit.statistics import metrics
from bctoolkit.workspace import Workspace

BATCH = 256


@dataclass(frozen=True)
class Figures:
    """A classifier's figures on some images."""

    count: int
    accuracy: float
    interval: tuple[float, float]
    macro_recall: float
    """Over the classes that have images."""

    @classmethod
    def of(cls, predict: Predict, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> "Figures":
        """Ask the classifier, some images at a time."""
        pieces = [predict(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        probabilities = np.concatenate(pieces)
        return cls(
            len(labels),
            metrics.accuracy(labels, probabilities),
            metrics.accuracy_interval(labels, probabilities),
            float(np.nanmean(metrics.recall(metrics.confusion(labels, probabilities)))),
        )

    def row(self, name: str, kind: str) -> str:
        """A line of the table."""
        low, high = (f"{share:.2%}" for share in self.interval)
        return f"| {name} | {kind} | {self.count:,} | {self.accuracy:.2%} | {low}–{high} | {self.macro_recall:.2%} |"


def table(subject: Subject, dataset: Dataset, progress: Progress) -> Iterator[str]:
    """The lines of a subject's table; `dataset` holds the images to measure on."""
    images, labels = np.asarray(dataset.images[:]), dataset.labels
    second = second_setup(images)
    yield "| shift | kind | images | accuracy | 95 % interval | macro recall |"
    yield "|---|---|---|---|---|---|"
    yield Figures.of(subject.predict, images, labels).row("none", "–")
    for name, chosen in (("first set-up", ~second), ("second set-up", second)):
        if chosen.any():
            yield Figures.of(subject.predict, images[chosen], labels[chosen]).row(name, "real")
    measured: dict[str, Figures] = {}
    for done, (name, each) in enumerate(SHIFTS.items()):
        progress.step("site shifts", done, len(SHIFTS), name)
        measured[name] = Figures.of(subject.predict, shift(images, name), labels)
        yield measured[name].row(name, each.kind)
    progress.step("site shifts", len(SHIFTS), len(SHIFTS))
    for kind in KINDS:
        among = [measured[name] for name, each in SHIFTS.items() if each.kind == kind]
        accuracy, recall = np.mean([(each.accuracy, each.macro_recall) for each in among], axis=0)
        yield f"| **mean** | {kind} | {len(labels):,} | {accuracy:.2%} | – | {recall:.2%} |"


def main() -> None:
    """Print a table for each run or bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="+", metavar="RUN|BUNDLE", help="by path, or by name in the workspace")
    parser.add_argument("--data", required=True, help="the labelled images it was trained with")
    parser.add_argument("--part", default="test", choices=get_args(Part), help="which of them; test if left out")
    parser.add_argument("--count", type=int, default=0, help="most images, evenly over the classes; all if left out")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    options = parser.parse_args()
    if options.count < 0:
        parser.error(f"--count is {options.count}, not a number of images from 1 on")
    progress = Silent() if options.quiet else Terminal()
    for name in options.subjects:
        try:
            subject = open_subject(locate(Workspace(), name))
            dataset = load(options.data, subject.contract, progress).in_order_of(subject.labels)
            selection = subject.select(dataset, options.part)
            chosen = selection.positions
            if options.count:
                chosen = stratified(dataset, chosen, options.count)
            print(f"\n{subject.name}, {selection.description}\n", flush=True)
            for line in table(subject, dataset.take(chosen), progress):
                print(line, flush=True)
        except BctkError as problem:
            raise SystemExit(f"error: {problem}") from None


if __name__ == "__main__":
    main()
