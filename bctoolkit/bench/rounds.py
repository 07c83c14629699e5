"""The scenarios beside single-stream: offline and streams in the turns of the sessions, sustained runs after them.

They run with the settings' `threads`, in a sweep its first number, on each provider. Each is a case of its own in the
journal.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from bctoolkit.bench.configurations import Subject, Work
from bctoolkit.bench.documents.samples import Observed, OfflineAnswer, StreamsAnswer, SustainAnswer
from bctoolkit.bench.launcher.process import in_child
from bctoolkit.bench.worker.scenarios import WINDOW, Offline, Streams, Sustain, windows_in
from bctoolkit.errors import BackendError

__all__ = ["Scenarios"]

A = TypeVar("A", OfflineAnswer, StreamsAnswer, SustainAnswer)


class Scenarios:
    """The scenarios of one benchmark; what the journal has is not measured again. Subjects count as `Work` does."""

    def __init__(self, work: Work) -> None:
        self._work, self._subjects, self._settings = work, work.subjects, work.settings

    def turn(self, turn: int) -> None:
        """Offline of each subject, then streams of each, where they were asked for."""
        for label, wanted, measure in (
            ("offline", self._settings.batches is not None, self._offline),
            ("streams", self._settings.streams is not None, self._streams),
        ):
            for number, subject in enumerate(self._subjects if wanted else []):
                if self._settled(f"{label}-{number}-{turn}", subject):
                    continue
                place, total = turn * len(self._subjects) + number, self._settings.sessions * len(self._subjects)
                self._work.progress.step(label, place, total, self._name(subject))
                measure(number, turn)

    def sustain(self) -> None:
        """A sustained run of each subject, one after the other, where it was asked for."""
        minutes = self._settings.sustain_minutes
        for number, subject in enumerate(self._subjects if minutes is not None else []):
            if not self._settled(f"sustained-{number}", subject):
                self._sustain(number, 60 * (minutes or 0.0))

    def of(self, subject: Subject) -> Observed:
        """What a subject has measured."""
        number, turns = self._subjects.index(subject), range(self._settings.sessions)
        kept = self._work.journal.scenario
        offline = (kept(f"offline-{number}-{turn}", OfflineAnswer) for turn in turns)
        streams = (kept(f"streams-{number}-{turn}", StreamsAnswer) for turn in turns)
        sustained = kept(f"sustained-{number}", SustainAnswer)
        return Observed(
            [answer for answer in offline if answer],
            [answer for answer in streams if answer],
            [sustained] if sustained else [],
        )

    def _offline(self, number: int, turn: int) -> None:
        """The first turn finds the sizes, the later ones repeat them."""
        first = self._work.journal.scenario(f"offline-{number}-0", OfflineAnswer)
        sizes = tuple(runs.batch for runs in first.batches) if first else self._settings.batches or ()
        job = Offline(*self._job(number), self._settings, sizes)
        self._case(f"offline-{number}-{turn}", number, partial(in_child, job, OfflineAnswer))

    def _streams(self, number: int, turn: int) -> None:
        job = Streams(*self._job(number), self._settings, self._settings.streams or 1)
        self._case(f"streams-{number}-{turn}", number, partial(in_child, job, StreamsAnswer))

    def _sustain(self, number: int, seconds: float) -> None:
        name, count = self._name(self._subjects[number]), windows_in(seconds)
        done = number * count

        def hear(line: bytes) -> None:
            nonlocal done
            if line == WINDOW:
                done += 1
                self._work.progress.step("sustain", done, count * len(self._subjects), name)

        self._work.progress.step("sustain", done, count * len(self._subjects), name)
        job = Sustain(*self._job(number), self._settings, seconds)
        self._case(f"sustained-{number}", number, partial(in_child, job, SustainAnswer, hear))

    def _job(self, number: int) -> tuple[str, int, str | None, str]:
        """What every job begins with."""
        subject = self._subjects[number]
        return str(self._work.bundle(subject).path), self._settings.threads, subject.provider, ""

    def _name(self, subject: Subject) -> str:
        return self._work.bundle(subject).manifest.name

    def _settled(self, name: str, subject: Subject) -> bool:
        """Whether a case is in, or never will be because its subject has failed."""
        return self._work.failed(subject) or (self._work.journal.folder / f"{name}.json").is_file()

    def _case(self, name: str, number: int, measure: Callable[[], A]) -> None:
        """Measure a case and keep it, or keep that its subject has failed."""
        subject = self._subjects[number]
        answer = self._work.unless_it_fails(subject, partial(self._unchanged, subject, measure))
        if answer is not None:
            self._work.journal.keep_scenario(name, answer)

    def _unchanged(self, subject: Subject, measure: Callable[[], A]) -> A:
        answer = measure()
        if answer.wrong:
            raise BackendError(f"{self._work.bundle(subject).path.name}: {answer.wrong} answers changed while timed")
        return answer
