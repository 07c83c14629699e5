"""A profile by operators from the calls that an engine's profiler counted."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from bctoolkit.bench.documents.measurements import OperatorTime, Profile

__all__ = ["WARM_UP", "OperatorCalls", "profile_by_type"]

WARM_UP = 20
"""Runs before the profiler counts."""


class OperatorCalls(NamedTuple):
    """Calls of operators of one type."""

    name: str
    where: str
    calls: int
    ms: float
    """Of all the calls together."""


def profile_by_type(method: str, runs: int, calls: Iterable[OperatorCalls]) -> Profile:
    """The profile of so many inferences with these calls, in any order and in any number of pieces."""
    counts = Counter[tuple[str, str]]()
    times = defaultdict[tuple[str, str], float](float)
    for each in calls:
        counts[each.name, each.where] += each.calls
        times[each.name, each.where] += each.ms
    whole = sum(times.values())
    operators = [
        OperatorTime(name, where, round(counts[name, where] / runs), ms / runs, ms / whole if whole else 0.0)
        for (name, where), ms in times.items()
    ]
    longest_first = tuple(sorted(operators, key=lambda operator: -operator.ms))
    return Profile(method=method, warmup_runs=WARM_UP, runs=runs, operators=longest_first)
