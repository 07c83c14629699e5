"""What an unfinished benchmark keeps on disk: what was asked for, and each finished case.

::

    benchmarks/reports/.<name>.unfinished/
      asked.json              bundles, settings, images, budget and machine
      answers-<bundle>.npz    the answers to golden and labelled images
      session-<case>-<turn>.json
      failure-<bundle>.json   why a bundle could not be measured

Bundles and cases are numbered in the order they were given, for a bundle's name need not be a file's.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from bctoolkit.bench.parity import Answered
from bctoolkit.bench.report import Failure, Machine, Settings
from bctoolkit.bench.worker import Answer
from bctoolkit.documents import Document, parse, to_json
from bctoolkit.errors import RecipeError
from bctoolkit.files import atomic_file, sigterm_as_interrupt
from bctoolkit.recipes import Budget

__all__ = ["Asked", "Journal"]

ASKED = "asked.json"


class Asked(Document, frozen=True, kw_only=True):
    """What a benchmark was begun with."""

    bundles: tuple[str, ...]
    """Absolute paths."""
    manifests: tuple[str, ...]
    """SHA-256 of each bundle's manifest, and through it of all its files."""
    settings: Settings
    data: str | None
    budget: Budget | None
    provider: str | None
    corruptions: int | None = None
    """Most images to run through the corruption suite; None leaves it out."""
    machine: Machine
    created: str


class Journal:
    """The folder of an unfinished benchmark. Each file is whole or absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def begun(self, asked: Asked) -> Iterator["Journal"]:
        """Make the folder; where the block fails before a case is finished, it is removed again."""
        missing = [parent for parent in self.folder.parents if not parent.exists()]
        with sigterm_as_interrupt():
            self.folder.mkdir(parents=True)
            try:
                self._write(ASKED, to_json(asked))
                yield self
            except BaseException:
                if not any(self.folder.glob("*-*")):
                    self.remove()
                    for parent in missing:
                        with suppress(OSError):  # another report may be in it by now
                            parent.rmdir()
                raise

    def asked(self) -> Asked:
        """What the benchmark was begun with.

        Raises:
            RecipeError: the folder is damaged.
        """
        path = self.folder / ASKED
        try:
            raw = json.loads(path.read_bytes())
        except (OSError, ValueError):
            raise RecipeError(f"{path}: missing or unreadable; remove {self.folder} and measure anew") from None
        return parse(Asked, raw, str(path), RecipeError)

    def answered(self, bundle: int) -> Answered | None:
        """The answers of a bundle, if they are in."""
        path = self.folder / f"answers-{bundle}.npz"
        return Answered.read(path) if path.is_file() else None

    def keep_answered(self, bundle: int, answered: Answered) -> None:
        """Keep a bundle's answers."""
        partial = self.folder / "answers.partial"
        answered.save(partial)
        partial.replace(self.folder / f"answers-{bundle}.npz")

    def session(self, case: int, turn: int) -> Answer | None:
        """What a case measured in a turn, if it had it."""
        path = self.folder / f"session-{case}-{turn}.json"
        return msgspec.json.decode(path.read_bytes(), type=Answer) if path.is_file() else None

    def keep_session(self, case: int, turn: int, answer: Answer) -> None:
        """Keep what a case measured in a turn."""
        self._write(f"session-{case}-{turn}.json", msgspec.json.encode(answer))

    def failure(self, bundle: int) -> Failure | None:
        """Why a bundle could not be measured, if it could not."""
        path = self.folder / f"failure-{bundle}.json"
        return msgspec.json.decode(path.read_bytes(), type=Failure) if path.is_file() else None

    def keep_failure(self, bundle: int, failure: Failure) -> None:
        """Keep why a bundle could not be measured."""
        self._write(f"failure-{bundle}.json", to_json(failure))

    def remove(self) -> None:
        """Remove the folder: the report is written, or there is none to write."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, content: bytes) -> None:
        atomic_file(self.folder / name, content)
