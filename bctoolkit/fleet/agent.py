"""What runs on a machine: the benchmark itself, detached from any connection, and its journal as a stream of lines.

`start` begins it and returns; `run` is what was begun. It appends to the file `events` whatever it finishes, so that
`follow`, from any line on and as often as a connection is lost, tells all of it. Nothing else looks at the machine
while it measures: `follow` sleeps between two looks at one file.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

import msgspec
import numpy as np

from bctoolkit.bench.checkpoint import Checkpoint
from bctoolkit.bench.configurations import BenchRun, image_contract
from bctoolkit.bench.documents.predictions import Predictions
from bctoolkit.bench.measuring import ImageSets, measure
from bctoolkit.bench.pipeline import open_named
from bctoolkit.bench.worker.machine import fingerprint
from bctoolkit.bundle import Bundle
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset
from bctoolkit.errors import BctkError
from bctoolkit.fleet.transfer import JOB, JOURNAL, Job, StoredImages

__all__ = ["EVENTS", "Died", "End", "Event", "Line", "Part", "Step", "main"]

EVENTS, LOCK, LOG = "events", "lock", "log"
PIECE = 2**20
"""Bytes of a part in one event."""
THE_END = b'{"type":"end"'
LOOK, STEP = 0.5, 1.0
"""Seconds between two looks at the file, and at least between two steps of the same work."""


class Part(msgspec.Struct, tag="part"):
    """A piece of a finished part of the journal."""

    name: str
    content: bytes
    last: bool


class Step(msgspec.Struct, tag="step"):
    """How far the work at hand is."""

    label: str
    done: int
    total: int
    note: str


class Line(msgspec.Struct, tag="line"):
    """A line that stays."""

    text: str


class End(msgspec.Struct, tag="end"):
    """The benchmark has ended: with an error, or all is in the journal."""

    error: str


class Died(msgspec.Struct, tag="died"):
    """The benchmark no longer runs and has not ended."""

    last: str


Event = Part | Step | Line | End | Died


class Events:
    """Appends events to a file; it is what shows progress, too."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._shown = ("", 0.0)

    def write(self, event: Event) -> None:
        """Append one, whole."""
        self._file.write(msgspec.json.encode(event) + b"\n")
        self._file.flush()

    def say(self, line: str) -> None:
        """Show a line that stays."""
        self.write(Line(line))

    def step(self, label: str, done: int, total: int, note: str = "") -> None:
        """Show how far the work is, not more than once in a second but at its end."""
        before, at = self._shown
        now = time.monotonic()
        if label != before or done >= total or now - at >= STEP:
            self._shown = (label, now)
            self.write(Step(label, done, total, note))


class Journal(Checkpoint):
    """A checkpoint that tells each part it keeps."""

    def __init__(self, folder: Path, events: Events) -> None:
        super().__init__(folder)
        self._events = events

    def keep(self, name: str, part: msgspec.Struct) -> None:
        """Keep a finished part, and tell it."""
        super().keep(name, part)
        self._tell(f"{name}.json")

    def keep_predictions(self, target: str, predictions: Predictions) -> None:
        """Keep a target's predictions, and tell them."""
        super().keep_predictions(target, predictions)
        self._tell(f"predictions-{target}.npz")

    def remove(self) -> None:
        """Leave it: who began the benchmark removes all."""

    def _tell(self, name: str) -> None:
        content = (self.folder / name).read_bytes()
        for start in range(0, max(1, len(content)), PIECE):
            self._events.write(Part(name, content[start : start + PIECE], start + PIECE >= len(content)))


def start(folder: Path) -> None:
    """Begin the benchmark, unless it has begun: who asks may have lost the answer to an earlier call."""
    if (folder / EVENTS).exists():
        return
    with (folder / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bctoolkit.fleet.agent", "run", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    while not (folder / EVENTS).exists():
        if process.poll() is not None:
            sys.exit(_last_line(folder / LOG) or "the benchmark did not begin")
        time.sleep(0.05)


def run(folder: Path) -> None:
    """Measure all of the job that the journal lacks."""
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(str(os.getpgid(0)))
        lock.flush()
        with (folder / EVENTS).open("xb") as file:
            events = Events(file)
            try:
                _measure(folder, events)
            except BctkError as problem:
                events.write(End(str(problem)))
            except OSError as problem:
                events.write(End(f"{problem.filename or folder}: {problem.strerror}"))
            else:
                events.write(End(""))


def follow(folder: Path, seen: int, output: IO[bytes]) -> None:
    """Print the events from one on as they come, until the last."""
    with (folder / EVENTS).open("rb") as file:
        number, line = 0, b""
        while True:
            running = _is_running(folder)  # before the look, so that what it wrote at last is seen
            piece = file.readline()
            line += piece
            if line.endswith(b"\n"):
                if number >= seen:
                    output.write(line)
                    output.flush()
                number += 1
                if line.startswith(THE_END):
                    return
                line = b""
            elif not piece:
                if not running:
                    break
                time.sleep(LOOK)
    output.write(msgspec.json.encode(Died(_last_line(folder / LOG))) + b"\n")


def _measure(folder: Path, events: Events) -> None:
    job = msgspec.json.decode((folder / JOB).read_bytes(), type=Job)
    journal = Journal(folder / JOURNAL, events)
    journal.folder.mkdir(exist_ok=True)
    bundles = open_named([Path(path) for path in job.request.bundles])
    images = ImageSets(dict(_sets(folder, bundles, job.labelled)), dict(_sets(folder, bundles, job.foreign)))
    measure(BenchRun(bundles, job.request, journal, events), images)


def _sets(
    folder: Path, bundles: list[Bundle], stored: tuple[StoredImages, ...]
) -> Iterator[tuple[InputContract, Dataset]]:
    contracts = list(dict.fromkeys(map(image_contract, bundles)))
    for each in stored:
        arrays = folder / "images" / each.name
        images = np.load(f"{arrays}.images.npy", mmap_mode="r")
        labels, hashes = np.load(f"{arrays}.labels.npy"), np.load(f"{arrays}.hashes.npy")
        yield contracts[each.contract], Dataset(images, labels, each.classes, hashes, each.source, each.kind)


def _is_running(folder: Path) -> bool:
    with (folder / LOCK).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else ""


def main(command: Literal["machine", "start", "run", "follow"], *arguments: str) -> None:
    """Do one command."""
    match command:
        case "machine":
            print(msgspec.json.encode(fingerprint()).decode())
        case "start":
            start(Path(arguments[0]))
        case "run":
            run(Path(arguments[0]))
        case "follow":
            follow(Path(arguments[0]), int(arguments[1]), sys.stdout.buffer)


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
