"""The scenarios beside single-stream: offline and streams in the turns of the sessions, sustained runs after them.

They run with the settings' `threads`, in a sweep its first number. Each is a case of its own in the journal.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

from bctoolkit.bench.cases import unless_it_fails
from bctoolkit.bench.children import in_child
from bctoolkit.bench.journal import Asked, Journal
from bctoolkit.bench.scenarios import (
    WINDOW,
    Offline,
    OfflineAnswer,
    Streams,
    StreamsAnswer,
    Sustain,
    SustainAnswer,
    windows_in,
)
from bctoolkit.bundle import Bundle
from bctoolkit.errors import BackendError
from bctoolkit.progress import Progress

__all__ = ["Observed", "Scenarios"]

A = TypeVar("A", OfflineAnswer, StreamsAnswer, SustainAnswer)


class Observed(NamedTuple):
    """What a bundle measured in each scenario that was asked for, in the order of the turns."""

    offline: list[OfflineAnswer]
    streams: list[StreamsAnswer]
    sustained: list[SustainAnswer]


class Scenarios:
    """The scenarios of one benchmark; what the journal has is not measured again."""

    def __init__(self, opened: list[Bundle], asked: Asked, journal: Journal, progress: Progress) -> None:
        self._opened, self._asked, self._journal, self._progress = opened, asked, journal, progress

    def turn(self, turn: int) -> None:
        """Offline of each bundle, then streams of each, where they were asked for."""
        settings = self._asked.settings
        for label, wanted, work in (
            ("offline", settings.batches is not None, self._offline),
            ("streams", settings.streams is not None, self._streams),
        ):
            for number in range(len(self._opened)) if wanted else ():
                if self._settled(f"{label}-{number}-{turn}", number):
                    continue
                place, total = turn * len(self._opened) + number, settings.sessions * len(self._opened)
                self._progress.step(label, place, total, self._opened[number].manifest.name)
                work(number, turn)

    def sustain(self) -> None:
        """A sustained run of each bundle, one after the other, where it was asked for."""
        minutes = self._asked.settings.sustain_minutes
        for number in range(len(self._opened)) if minutes is not None else ():
            if not self._settled(f"sustained-{number}", number):
                self._sustain(number, 60 * (minutes or 0.0))

    def of(self, bundle: int) -> Observed:
        """What a bundle has measured."""
        turns = range(self._asked.settings.sessions)
        offline = (self._journal.scenario(f"offline-{bundle}-{turn}", OfflineAnswer) for turn in turns)
        streams = (self._journal.scenario(f"streams-{bundle}-{turn}", StreamsAnswer) for turn in turns)
        sustained = self._journal.scenario(f"sustained-{bundle}", SustainAnswer)
        return Observed(
            [answer for answer in offline if answer],
            [answer for answer in streams if answer],
            [sustained] if sustained else [],
        )

    def _offline(self, number: int, turn: int) -> None:
        """The first turn finds the sizes, the later ones repeat them."""
        first = self._journal.scenario(f"offline-{number}-0", OfflineAnswer)
        sizes = tuple(runs.batch for runs in first.batches) if first else self._asked.settings.batches or ()
        job = Offline(*self._job(number), self._asked.settings, sizes)
        self._case(f"offline-{number}-{turn}", number, partial(in_child, job, OfflineAnswer))

    def _streams(self, number: int, turn: int) -> None:
        job = Streams(*self._job(number), self._asked.settings, self._asked.settings.streams or 1)
        self._case(f"streams-{number}-{turn}", number, partial(in_child, job, StreamsAnswer))

    def _sustain(self, number: int, seconds: float) -> None:
        name, count = self._opened[number].manifest.name, windows_in(seconds)
        done = number * count

        def hear(line: bytes) -> None:
            nonlocal done
            if line == WINDOW:
                done += 1
                self._progress.step("sustain", done, count * len(self._opened), name)

        self._progress.step("sustain", done, count * len(self._opened), name)
        job = Sustain(*self._job(number), self._asked.settings, seconds)
        self._case(f"sustained-{number}", number, partial(in_child, job, SustainAnswer, hear))

    def _job(self, number: int) -> tuple[str, int, str | None, str]:
        """What every job begins with."""
        return str(self._opened[number].path), self._asked.settings.threads, self._asked.provider, ""

    def _settled(self, name: str, number: int) -> bool:
        """Whether a case is in, or never will be because its bundle has failed."""
        return bool(self._journal.failure(number)) or (self._journal.folder / f"{name}.json").is_file()

    def _case(self, name: str, number: int, work: Callable[[], A]) -> None:
        """Measure a case and keep it, or keep that its bundle has failed."""
        checked = partial(self._unchanged, number, work)
        answer = unless_it_fails(checked, number, self._opened, self._journal, self._progress)
        if answer is not None:
            self._journal.keep_scenario(name, answer)

    def _unchanged(self, number: int, work: Callable[[], A]) -> A:
        answer = work()
        if answer.wrong:
            raise BackendError(f"{self._opened[number].path.name}: {answer.wrong} answers changed while timed")
        return answer
