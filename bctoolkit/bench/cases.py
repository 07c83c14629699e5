"""Every case once: what the journal has is not measured again, and a bundle that fails does not stop the others."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from bctoolkit.bench import latency, parity
from bctoolkit.bench.journal import Asked, Journal
from bctoolkit.bench.parity import Answered
from bctoolkit.bench.report import Failure, Settings
from bctoolkit.bench.worker import Answer
from bctoolkit.bundle import Bundle
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset
from bctoolkit.errors import BackendError
from bctoolkit.progress import Progress

__all__ = ["Case", "cases_of", "image_key", "parity_of_all", "sessions_of_all"]

T = TypeVar("T")


class Case(NamedTuple):
    """One row of the report."""

    bundle: int
    """Position among the bundles."""
    threads: int


def cases_of(bundles: int, settings: Settings) -> list[Case]:
    """All cases, in the order of their turns."""
    return [Case(bundle, threads) for bundle in range(bundles) for threads in settings.sweep or (settings.threads,)]


def image_key(bundle: Bundle) -> InputContract:
    """What decides how images are prepared for a bundle, whatever dtype it eats."""
    return msgspec.structs.replace(bundle.manifest.input, dtype="uint8")


def parity_of_all(
    opened: list[Bundle], datasets: dict[InputContract, Dataset], asked: Asked, journal: Journal, progress: Progress
) -> dict[int, Answered]:
    """The answers of each bundle that gives some."""
    found: dict[int, Answered] = {}
    for number, bundle in enumerate(opened):
        if journal.failure(number):
            continue
        answered = journal.answered(number)
        if answered is None:
            progress.step("parity", number, len(opened), bundle.manifest.name)
            dataset = datasets.get(image_key(bundle))
            threads, provider, suite = asked.settings.threads, asked.provider, asked.corruptions
            asking = partial(parity.ask, bundle, dataset, threads, provider, progress, suite)
            answered = _unless_it_fails(asking, number, opened, journal, progress)
            if answered is None:
                continue
            journal.keep_answered(number, answered)
        found[number] = answered
    progress.step("parity", len(opened), len(opened))
    return found


def sessions_of_all(
    opened: list[Bundle], asked: Asked, journal: Journal, progress: Progress
) -> dict[Case, list[Answer]]:
    """All sessions of each case whose bundle does not fail, measured in turns: A B C, A B C, and so on."""
    cases = cases_of(len(opened), asked.settings)
    total = asked.settings.sessions * len(cases)
    found: dict[Case, list[Answer]] = {case: [] for case in cases}
    for turn in range(asked.settings.sessions):
        for place, case in enumerate(cases):
            if journal.failure(case.bundle):
                continue
            answer = journal.session(place, turn)
            if answer is None:
                bundle = opened[case.bundle]
                progress.step("timing", turn * len(cases) + place, total, bundle.manifest.name)
                settings = msgspec.structs.replace(asked.settings, threads=case.threads)
                timing = partial(latency.session, bundle.path, settings, asked.provider)
                answer = _unless_it_fails(timing, case.bundle, opened, journal, progress)
                if answer is None:
                    continue
                journal.keep_session(place, turn, answer)
            found[case].append(answer)
    progress.step("timing", total, total)
    return {case: answers for case, answers in found.items() if not journal.failure(case.bundle)}


def _unless_it_fails(
    work: Callable[[], T], number: int, opened: list[Bundle], journal: Journal, progress: Progress
) -> T | None:
    """What the work gives; None where the bundle fails, which is kept and, if there are others, told."""
    try:
        return work()
    except BackendError as problem:
        manifest = opened[number].manifest
        journal.keep_failure(number, Failure(manifest.name, manifest.format, manifest.quantization, str(problem)))
        if len(opened) > 1:
            progress.say(f"{problem}; going on without it")
        return None
