"""Every case once: what the journal has is not measured again, and a bundle that fails does not stop the others."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from bctoolkit.bench.checkpoint import Asked, Journal
from bctoolkit.bench.documents.predictions import Answered
from bctoolkit.bench.documents.profiles import Profile
from bctoolkit.bench.documents.report import Failure, Settings
from bctoolkit.bench.documents.samples import Answer
from bctoolkit.bench.documents.stored import answers_name, samples_name
from bctoolkit.bench.launcher import predictions
from bctoolkit.bench.launcher import sessions as latency
from bctoolkit.bench.worker.machine import available_memory
from bctoolkit.bundle import Bundle
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset
from bctoolkit.errors import BackendError
from bctoolkit.progress import Progress

__all__ = [
    "Case",
    "Subject",
    "Work",
    "answers_key",
    "image_key",
    "parity_of_all",
    "profiles_of_all",
    "sample_key",
    "sessions_of_all",
]

T = TypeVar("T")

FREE_SHARE = 0.5
"""Of the memory at hand: so much may be taken by processes that stand side by side."""
PARTS = 100
"""Of a turn, as progress counts them."""
PROCESS_BYTES, MODEL_COPIES = 100_000_000, 3


class Subject(NamedTuple):
    """What gives answers: a bundle on a provider. The number of threads does not change them."""

    bundle: int
    """Position among the bundles."""
    provider: str | None
    """None: its engine's first."""


class Case(NamedTuple):
    """One row of the report."""

    bundle: int
    """Position among the bundles."""
    threads: int
    provider: str | None = None

    @property
    def subject(self) -> Subject:
        """What gives its answers."""
        return Subject(self.bundle, self.provider)


@dataclass(frozen=True)
class Work:
    """A benchmark under way."""

    opened: list[Bundle]
    asked: Asked
    journal: Journal
    progress: Progress

    @property
    def settings(self) -> Settings:
        """How to measure."""
        return self.asked.settings

    @property
    def subjects(self) -> list[Subject]:
        """Every bundle on every provider."""
        providers = self.settings.providers or (None,)
        return [Subject(bundle, provider) for bundle in range(len(self.opened)) for provider in providers]

    @property
    def cases(self) -> list[Case]:
        """All cases, in the order of their turns."""
        threads = self.settings.sweep or (self.settings.threads,)
        return [Case(bundle, number, provider) for bundle, provider in self.subjects for number in threads]

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What could not be measured."""
        return tuple(found for number in range(len(self.subjects)) if (found := self.journal.failure(number)))

    def bundle(self, one: Case | Subject) -> Bundle:
        """Whose case it is."""
        return self.opened[one.bundle]

    def failed(self, subject: Subject) -> bool:
        """Whether it could not be measured."""
        return self.journal.failure(self.subjects.index(subject)) is not None

    def unless_it_fails(self, subject: Subject, work: Callable[[], T]) -> T | None:
        """What the work gives; None where the subject fails, which is kept and, if there are others, told."""
        try:
            return work()
        except BackendError as problem:
            self.fail(subject, problem)
            return None

    def fail(self, subject: Subject, problem: BackendError) -> None:
        """Keep why a subject fails and, if there are others, tell it."""
        if self.failed(subject):
            return
        manifest = self.bundle(subject).manifest
        failure = Failure(manifest.name, manifest.format, manifest.quantization, str(problem), subject.provider)
        self.journal.keep_failure(self.subjects.index(subject), failure)
        if len(self.subjects) > 1:
            self.progress.say(f"{problem}; going on without it")


def answers_key(work: Work, subject: Subject) -> str:
    """The name of a subject among the answers."""
    return answers_name(work.bundle(subject).manifest.name, subject.provider, work.settings)


def sample_key(work: Work, case: Case) -> str:
    """The name of a case among the samples."""
    return samples_name(work.bundle(case).manifest.name, case.provider, case.threads, work.settings)


def image_key(bundle: Bundle) -> InputContract:
    """What decides how images are prepared for a bundle, whatever dtype it eats."""
    return msgspec.structs.replace(bundle.manifest.input, dtype="uint8")


def parity_of_all(work: Work, datasets: dict[InputContract, Dataset]) -> dict[Subject, Answered]:
    """The answers of each subject that gives some."""
    found: dict[Subject, Answered] = {}
    subjects, journal = work.subjects, work.journal
    for number, subject in enumerate(subjects):
        answered = journal.answered(number)
        if answered is None and not work.failed(subject):
            bundle = work.bundle(subject)
            work.progress.step("parity", number, len(subjects), bundle.manifest.name)
            dataset = datasets.get(image_key(bundle))
            asking = partial(
                predictions.ask,
                bundle,
                dataset,
                work.settings.threads,
                subject.provider,
                work.progress,
                work.settings.corrupted,
            )
            answered = work.unless_it_fails(subject, asking)
            if answered is not None:
                journal.keep_answered(number, answered)
        if answered is not None:
            found[subject] = answered
    work.progress.step("parity", len(subjects), len(subjects))
    return found


def profiles_of_all(work: Work) -> dict[Case, Profile]:
    """The profile of each case whose subject does not fail; none where none were asked for."""
    cases, runs = work.cases, work.settings.profile_runs
    found: dict[Case, Profile] = {}
    for place, case in enumerate(cases if runs else []):
        profile = work.journal.profile(place)
        if profile is None and not work.failed(case.subject):
            bundle = work.bundle(case)
            work.progress.step("profile", place, len(cases), bundle.manifest.name)
            inspecting = partial(latency.profile, bundle.path, case.threads, case.provider, runs)
            profile = work.unless_it_fails(case.subject, inspecting)
            if profile is not None:
                work.journal.keep_profile(place, profile)
        if profile is not None:
            found[case] = profile
    if runs:
        work.progress.step("profile", len(cases), len(cases))
    return found


def sessions_of_all(work: Work, after: Callable[[int], None]) -> dict[Case, list[Answer]]:
    """All sessions of each case, measured in turns; `after` is called with the number of each turn."""
    groups, sessions = _groups(work), work.settings.sessions
    total = PARTS * sessions * len(groups)
    for turn in range(sessions):
        for number, group in enumerate(groups):
            begin = PARTS * (turn * len(groups) + number)

            def told(share: float, name: str, begin: int = begin) -> None:
                work.progress.step("timing", begin + int((PARTS - 1) * share), total, name)

            _one_turn(work, turn, group, told)
        after(turn)
    work.progress.step("timing", total, total)
    return {
        case: [kept for turn in range(sessions) if (kept := work.journal.session(place, turn))]
        for place, case in enumerate(work.cases)
    }


def _one_turn(work: Work, turn: int, group: list[int], told: Callable[[float, str], None]) -> None:
    """Measure a group's cases side by side, and keep what they give."""
    cases, journal = work.cases, work.journal
    missing = [
        place for place in group if journal.session(place, turn) is None and not work.failed(cases[place].subject)
    ]
    if turn % 2:  # who starts later may find its memory in a better place
        missing.reverse()
    wanted = [_timed(work, cases[place]) for place in missing]
    for place, answer in zip(missing, latency.sessions(wanted, told), strict=True):
        if isinstance(answer, BackendError):
            work.fail(cases[place].subject, answer)
        else:
            journal.keep_session(place, turn, answer)


def _timed(work: Work, case: Case) -> latency.Timed:
    settings = msgspec.structs.replace(work.settings, threads=case.threads)
    return latency.Timed(work.bundle(case).path, settings, case.provider)


def _groups(work: Work) -> list[list[int]]:
    """Places of the cases that are measured side by side: those of one number of threads, as far as memory allows."""
    free, cases = FREE_SHARE * available_memory(), work.cases
    groups: dict[int, list[list[int]]] = {}
    for place, case in enumerate(cases):
        of_threads = groups.setdefault(case.threads, [[]])
        needed = sum(_memory(work.bundle(cases[other])) for other in [*of_threads[-1], place])
        if of_threads[-1] and needed > free:
            of_threads.append([])
        of_threads[-1].append(place)
    return [group for of_threads in groups.values() for group in of_threads]


def _memory(bundle: Bundle) -> int:
    """What a process that runs a bundle may take, in bytes, by rule of thumb: interpreter, weights, activations."""
    return PROCESS_BYTES + MODEL_COPIES * bundle.manifest.model.bytes
