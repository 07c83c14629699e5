"""The profile by operators: the document, and how it is made of what an engine's profiler tells."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from bctoolkit.documents import Document

__all__ = ["WARM_UP", "Operator", "Profile", "Timed", "of_types"]

WARM_UP = 20
"""Runs before the profiler counts."""


class Operator(Document, frozen=True):
    """All operators of one type, in one inference."""

    name: str
    """As the engine calls it."""
    where: str
    """The provider or the delegate that ran it."""
    count: int
    ms: float
    share: float
    """Of the time of all operators."""


class Profile(Document, frozen=True, kw_only=True):
    """Where the time of an inference goes, told by the engine's own profiler while it ran."""

    method: str
    """Whose profiler it was."""
    runs: int
    operators: tuple[Operator, ...]
    """The longest first."""

    @property
    def ms(self) -> float:
        """All operators of one inference; with the profiler on, so longer than without."""
        return sum(operator.ms for operator in self.operators)

    @property
    def nodes(self) -> dict[str, int]:
        """Operators run in one inference, by what ran them."""
        found = Counter[str]()
        for operator in self.operators:
            found[operator.where] += operator.count
        return dict(found)


class Timed(NamedTuple):
    """Runs of operators of one type."""

    name: str
    where: str
    calls: int
    ms: float
    """Of all the calls together."""


def of_types(method: str, runs: int, timed: Iterable[Timed]) -> Profile:
    """The profile of so many inferences whose operators took so long, in any order and in any number of pieces."""
    calls = Counter[tuple[str, str]]()
    times = defaultdict[tuple[str, str], float](float)
    for one in timed:
        calls[one.name, one.where] += one.calls
        times[one.name, one.where] += one.ms
    whole = sum(times.values())
    operators = [
        Operator(name, where, round(calls[name, where] / runs), ms / runs, ms / whole if whole else 0.0)
        for (name, where), ms in times.items()
    ]
    return Profile(method=method, runs=runs, operators=tuple(sorted(operators, key=lambda one: -one.ms)))
