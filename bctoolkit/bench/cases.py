"""Every case once: what the journal has is not measured again, and what fails does not stop the others."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from bctoolkit.bench import latency, parity
from bctoolkit.bench.journal import Asked, Journal
from bctoolkit.bench.parity import Answered
from bctoolkit.bench.profiles import Profile
from bctoolkit.bench.report import Failure, Settings
from bctoolkit.bench.worker import Answer
from bctoolkit.bundle import Bundle
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset
from bctoolkit.errors import BackendError
from bctoolkit.progress import Progress

__all__ = [
    "Case", "Subject", "cases_of", "image_key", "parity_of_all", "profiles_of_all", "sessions_of_all", "subjects_of",
]  # fmt: skip

T = TypeVar("T")


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


def subjects_of(bundles: int, settings: Settings) -> list[Subject]:
    """Every bundle on every provider."""
    return [Subject(bundle, provider) for bundle in range(bundles) for provider in settings.providers or (None,)]


def cases_of(bundles: int, settings: Settings) -> list[Case]:
    """All cases, in the order of their turns."""
    return [
        Case(bundle, threads, provider)
        for bundle, provider in subjects_of(bundles, settings)
        for threads in settings.sweep or (settings.threads,)
    ]


def image_key(bundle: Bundle) -> InputContract:
    """What decides how images are prepared for a bundle, whatever dtype it eats."""
    return msgspec.structs.replace(bundle.manifest.input, dtype="uint8")


def parity_of_all(
    opened: list[Bundle], datasets: dict[InputContract, Dataset], asked: Asked, journal: Journal, progress: Progress
) -> dict[Subject, Answered]:
    """The answers of each subject that gives some."""
    subjects = subjects_of(len(opened), asked.settings)
    found: dict[Subject, Answered] = {}
    for number, subject in enumerate(subjects):
        if journal.failure(number):
            continue
        answered = journal.answered(number)
        if answered is None:
            bundle = opened[subject.bundle]
            progress.step("parity", number, len(subjects), bundle.manifest.name)
            dataset = datasets.get(image_key(bundle))
            asking = partial(parity.ask, bundle, dataset, asked.settings.threads, subject.provider)
            answered = _unless_it_fails(asking, subject, opened, asked, journal, progress)
            if answered is None:
                continue
            journal.keep_answered(number, answered)
        found[subject] = answered
    progress.step("parity", len(subjects), len(subjects))
    return found


def profiles_of_all(opened: list[Bundle], asked: Asked, journal: Journal, progress: Progress) -> dict[Case, Profile]:
    """The profile of each case whose subject does not fail; none where none were asked for."""
    cases, runs = cases_of(len(opened), asked.settings), asked.settings.profile_runs
    found: dict[Case, Profile] = {}
    for place, case in enumerate(cases if runs else []):
        if _failed(case, opened, asked, journal):
            continue
        profile = journal.profile(place)
        if profile is None:
            bundle = opened[case.bundle]
            progress.step("profile", place, len(cases), bundle.manifest.name)
            inspecting = partial(latency.profile, bundle.path, case.threads, case.provider, runs)
            profile = _unless_it_fails(inspecting, case.subject, opened, asked, journal, progress)
            if profile is None:
                continue
            journal.keep_profile(place, profile)
        found[case] = profile
    if runs:
        progress.step("profile", len(cases), len(cases))
    return found


def sessions_of_all(
    opened: list[Bundle], asked: Asked, journal: Journal, progress: Progress
) -> dict[Case, list[Answer]]:
    """All sessions of each case whose subject does not fail, measured in turns: A B C, A B C, and so on."""
    cases = cases_of(len(opened), asked.settings)
    total = asked.settings.sessions * len(cases)
    found: dict[Case, list[Answer]] = {case: [] for case in cases}
    for turn in range(asked.settings.sessions):
        for place, case in enumerate(cases):
            if _failed(case, opened, asked, journal):
                continue
            answer = journal.session(place, turn)
            if answer is None:
                bundle = opened[case.bundle]
                progress.step("timing", turn * len(cases) + place, total, bundle.manifest.name)
                settings = msgspec.structs.replace(asked.settings, threads=case.threads)
                timing = partial(latency.session, bundle.path, settings, case.provider)
                answer = _unless_it_fails(timing, case.subject, opened, asked, journal, progress)
                if answer is None:
                    continue
                journal.keep_session(place, turn, answer)
            found[case].append(answer)
    progress.step("timing", total, total)
    return {case: answers for case, answers in found.items() if not _failed(case, opened, asked, journal)}


def _failed(case: Case, opened: list[Bundle], asked: Asked, journal: Journal) -> bool:
    return journal.failure(subjects_of(len(opened), asked.settings).index(case.subject)) is not None


def _unless_it_fails(
    work: Callable[[], T], subject: Subject, opened: list[Bundle], asked: Asked, journal: Journal, progress: Progress
) -> T | None:
    """What the work gives; None where the subject fails, which is kept and, if there are others, told."""
    try:
        return work()
    except BackendError as problem:
        manifest, subjects = opened[subject.bundle].manifest, subjects_of(len(opened), asked.settings)
        failure = Failure(manifest.name, manifest.format, manifest.quantization, str(problem), subject.provider)
        journal.keep_failure(subjects.index(subject), failure)
        if len(subjects) > 1:
            progress.say(f"{problem}; going on without it")
        return None
