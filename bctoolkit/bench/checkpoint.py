"""What an unfinished benchmark keeps on disk: what was asked for, and each finished case.

::

    benchmarks/reports/.<name>.unfinished/
      asked.json              bundles, settings, images, budget and machine
      answers-<subject>.npz    the answers to golden and labelled images
      profile-<case>.json      where the time goes
      session-<case>-<turn>.json
      offline-<subject>-<turn>.json, streams-<subject>-<turn>.json, sustained-<subject>.json
      failure-<subject>.json   why a bundle could not be measured on a provider

Subjects (a bundle on a provider) and cases are numbered in their order, for a bundle's name need not be a file's.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from bctoolkit.bench.documents.predictions import Answered
from bctoolkit.bench.documents.profiles import Profile
from bctoolkit.bench.documents.report import Failure, Machine, Settings
from bctoolkit.bench.documents.samples import Answer
from bctoolkit.documents import Document, read_json, to_json
from bctoolkit.errors import RecipeError
from bctoolkit.files import atomic_file, sigterm_as_interrupt
from bctoolkit.recipes import Budget

__all__ = ["Asked", "Journal"]

ASKED = "asked.json"

S = TypeVar("S", bound=msgspec.Struct)


class Asked(Document, frozen=True, kw_only=True):
    """What a benchmark was begun with."""

    bundles: tuple[str, ...]
    """Absolute paths."""
    manifests: tuple[str, ...]
    """SHA-256 of each bundle's manifest, and through it of all its files."""
    settings: Settings
    data: str | None
    budget: Budget | None
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
        return read_json(path, Asked, RecipeError, f"remove {self.folder} and measure anew")

    def answered(self, subject: int) -> Answered | None:
        """The answers of a subject, if they are in."""
        path = self.folder / f"answers-{subject}.npz"
        return Answered.read(path) if path.is_file() else None

    def keep_answered(self, subject: int, answered: Answered) -> None:
        """Keep a subject's answers."""
        partial = self.folder / "answers.partial"
        answered.save(partial)
        partial.replace(self.folder / f"answers-{subject}.npz")

    def profile(self, case: int) -> Profile | None:
        """The profile of a case, if it was taken."""
        path = self.folder / f"profile-{case}.json"
        return msgspec.json.decode(path.read_bytes(), type=Profile) if path.is_file() else None

    def keep_profile(self, case: int, profile: Profile) -> None:
        """Keep the profile of a case."""
        self._write(f"profile-{case}.json", to_json(profile))

    def session(self, case: int, turn: int) -> Answer | None:
        """What a case measured in a turn, if it had it."""
        path = self.folder / f"session-{case}-{turn}.json"
        return msgspec.json.decode(path.read_bytes(), type=Answer) if path.is_file() else None

    def keep_session(self, case: int, turn: int, answer: Answer) -> None:
        """Keep what a case measured in a turn."""
        self._write(f"session-{case}-{turn}.json", msgspec.json.encode(answer))

    def scenario(self, name: str, kind: type[S]) -> S | None:
        """What a scenario's case called `name` measured, if it is in."""
        path = self.folder / f"{name}.json"
        return msgspec.json.decode(path.read_bytes(), type=kind) if path.is_file() else None

    def keep_scenario(self, name: str, answer: msgspec.Struct) -> None:
        """Keep what a scenario's case measured."""
        self._write(f"{name}.json", msgspec.json.encode(answer))

    def failure(self, subject: int) -> Failure | None:
        """Why a subject could not be measured, if it could not."""
        path = self.folder / f"failure-{subject}.json"
        return msgspec.json.decode(path.read_bytes(), type=Failure) if path.is_file() else None

    def keep_failure(self, subject: int, failure: Failure) -> None:
        """Keep why a subject could not be measured."""
        self._write(f"failure-{subject}.json", to_json(failure))

    def remove(self) -> None:
        """Remove the folder: the report is written, or there is none to write."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, content: bytes) -> None:
        atomic_file(self.folder / name, content)
