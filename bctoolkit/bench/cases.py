"""Every case once: what the journal has is not measured again, and a bundle that fails does not stop the others."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from bctoolkit.bench import latency, parity
from bctoolkit.bench.journal import Asked, Journal
from bctoolkit.bench.machine import available_memory
from bctoolkit.bench.parity import Answered
from bctoolkit.bench.report import Failure, Settings
from bctoolkit.bench.worker import Answer
from bctoolkit.bundle import Bundle
from bctoolkit.contract import InputContract
from bctoolkit.data import Dataset
from bctoolkit.errors import BackendError
from bctoolkit.progress import Progress

__all__ = ["Case", "cases_of", "image_key", "parity_of_all", "sessions_of_all", "unless_it_fails"]

T = TypeVar("T")

FREE_SHARE = 0.5
"""Of the memory at hand: so much may be taken by processes that stand side by side."""
PARTS = 100
"""Of a turn, as progress counts them."""
PROCESS_BYTES, MODEL_COPIES = 100_000_000, 3


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
            asking = partial(parity.ask, bundle, dataset, asked.settings.threads, asked.provider)
            answered = unless_it_fails(asking, number, opened, journal, progress)
            if answered is None:
                continue
            journal.keep_answered(number, answered)
        found[number] = answered
    progress.step("parity", len(opened), len(opened))
    return found


def sessions_of_all(
    opened: list[Bundle], asked: Asked, journal: Journal, progress: Progress, after: Callable[[int], None]
) -> dict[Case, list[Answer]]:
    """All sessions of each case, measured in turns: A B C, A B C, and so on; `after` is called with each turn."""
    cases = cases_of(len(opened), asked.settings)
    groups = _groups(opened, cases)
    total = asked.settings.sessions * len(groups)
    for turn in range(asked.settings.sessions):
        for number, group in enumerate(groups):
            done = turn * len(groups) + number
            missing = [place for place in group if journal.session(place, turn) is None]
            missing = [place for place in missing if not journal.failure(cases[place].bundle)]
            wanted = [_timed(opened, cases[place], asked) for place in missing]

            def told(share: float, name: str, done: int = done) -> None:
                progress.step("timing", PARTS * done + int((PARTS - 1) * share), PARTS * total, name)

            for place, answer in zip(missing, latency.sessions(wanted, told), strict=True):
                if isinstance(answer, BackendError):
                    _fails(answer, cases[place].bundle, opened, journal, progress)
                else:
                    journal.keep_session(place, turn, answer)
        after(turn)
    progress.step("timing", PARTS * total, PARTS * total)
    return {
        case: [kept for turn in range(asked.settings.sessions) if (kept := journal.session(place, turn))]
        for place, case in enumerate(cases)
    }


def _timed(opened: list[Bundle], case: Case, asked: Asked) -> latency.Timed:
    settings = msgspec.structs.replace(asked.settings, threads=case.threads)
    return latency.Timed(opened[case.bundle].path, settings, asked.provider)


def _groups(opened: list[Bundle], cases: list[Case]) -> list[list[int]]:
    """Places of the cases that are measured side by side: those of one number of threads, as far as memory allows."""
    free = FREE_SHARE * available_memory()
    groups: dict[int, list[list[int]]] = {}
    for place, case in enumerate(cases):
        of_threads = groups.setdefault(case.threads, [[]])
        needed = sum(_memory(opened[cases[other].bundle]) for other in [*of_threads[-1], place])
        if of_threads[-1] and needed > free:
            of_threads.append([])
        of_threads[-1].append(place)
    return [group for of_threads in groups.values() for group in of_threads]


def _memory(bundle: Bundle) -> int:
    """What a process that runs a bundle may take, in bytes, by rule of thumb: interpreter, weights, activations."""
    return PROCESS_BYTES + MODEL_COPIES * bundle.manifest.model.bytes


def _fails(problem: BackendError, number: int, opened: list[Bundle], journal: Journal, progress: Progress) -> None:
    """Keep why a bundle fails and, if there are others, tell it."""
    if journal.failure(number):
        return
    manifest = opened[number].manifest
    journal.keep_failure(number, Failure(manifest.name, manifest.format, manifest.quantization, str(problem)))
    if len(opened) > 1:
        progress.say(f"{problem}; going on without it")


def unless_it_fails(
    work: Callable[[], T], number: int, opened: list[Bundle], journal: Journal, progress: Progress
) -> T | None:
    """What the work gives; None where the bundle fails, which is kept and, if there are others, told."""
    try:
        return work()
    except BackendError as problem:
        _fails(problem, number, opened, journal, progress)
        return None
