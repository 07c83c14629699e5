"""What an unfinished benchmark keeps on disk: its request, and each finished part.

::

    benchmarks/reports/.<name>.unfinished/
      request.json                    bundles, settings, images, budget and machine
      predictions-<target>.npz        what a target predicts for golden and labelled images
      profile-<configuration>.json    where the time goes
      session-<round>-<configuration>.json
      offline-<round>-<target>.json, streams-<round>-<target>.json, sustained-<target>.json
      failure-<target>.json           why a bundle could not be measured on a provider

Targets (a bundle on a provider) and configurations (a target with a number of threads) go by their keys.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from bctoolkit.bench.documents.predictions import Predictions
from bctoolkit.bench.documents.settings import Machine, Settings
from bctoolkit.documents import Document, read_json, to_json
from bctoolkit.errors import RecipeError
from bctoolkit.files import atomic_file, atomic_path, in_use, resumable_folder
from bctoolkit.recipes import Budget
from bctoolkit.untrusted.files import read_bounded

__all__ = ["MOST_PART", "REQUEST", "Checkpoint", "Request", "refuse_unfinished"]

REQUEST = "request.json"
MOST_PART = 2**31
"""Bytes of a part: four hours of runs of 50 µs, in nanoseconds, have 1.7 GB."""

S = TypeVar("S", bound=msgspec.Struct)


class Request(Document, frozen=True, kw_only=True):
    """What a benchmark was begun with."""

    bundles: tuple[str, ...]
    """Absolute paths."""
    manifests: tuple[str, ...]
    """SHA-256 of each bundle's manifest, and through it of all its files."""
    settings: Settings
    data: str | None
    group: str = ""
    """Pattern of what labelled images belong to, see `data.groups.grouped`."""
    foreign: str | None = None
    baseline: str | None = None
    """The bundle that figures are relative to; None: the most precise."""
    budget: Budget | None
    machine: Machine
    created: str


def refuse_unfinished(folder: Path) -> None:
    """Refuse to begin where a benchmark has begun.

    Raises:
        RecipeError: it is alive, which names its process, or waits to be resumed.
    """
    if not folder.exists():
        return
    with in_use(folder):  # a benchmark that is alive is not to be removed
        pass
    raise RecipeError(f"{folder} holds an unfinished report; continue with --resume, or remove it")


class Checkpoint:
    """The folder of an unfinished benchmark. Each file is whole or absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def begin(self, request: Request) -> Iterator["Checkpoint"]:
        """Create the folder; where the block fails before any part is finished, it is removed again."""
        with resumable_folder(self.folder, {REQUEST: to_json(request)}, lambda: any(self.folder.glob("[!.]*-*"))):
            yield self

    def request(self) -> Request:
        """What the benchmark was begun with.

        Raises:
            RecipeError: the folder is damaged.
        """
        path = self.folder / REQUEST
        return read_json(path, Request, RecipeError, f"remove {self.folder} and measure anew")

    def predictions(self, target: str) -> Predictions | None:
        """The predictions of the target of this key, if they are finished."""
        path = self.folder / f"predictions-{target}.npz"
        return Predictions.read(path) if path.is_file() else None

    def keep_predictions(self, target: str, predictions: Predictions) -> None:
        """Keep a target's predictions."""
        with atomic_path(self.folder / f"predictions-{target}.npz") as partial:
            predictions.save(partial)

    def read(self, name: str, kind: type[S]) -> S | None:
        """The part of this name, if it is finished.

        Raises:
            RecipeError: it is damaged, or of more than `MOST_PART`.
        """
        path = self.folder / f"{name}.json"
        if not path.is_file():
            return None
        content = read_bounded(path, MOST_PART, RecipeError)
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as problem:
            raise RecipeError(f"{path}: {problem}; remove it, and --resume measures this part again") from None

    def has(self, name: str) -> bool:
        """Whether the part of this name is finished."""
        return (self.folder / f"{name}.json").is_file()

    def keep(self, name: str, part: msgspec.Struct) -> None:
        """Keep a finished part."""
        atomic_file(self.folder / f"{name}.json", to_json(part) if isinstance(part, Document) else
                    msgspec.json.encode(part))  # fmt: skip

    def remove(self) -> None:
        """Remove the folder: the report is written, or there is none to write."""
        shutil.rmtree(self.folder, ignore_errors=True)
