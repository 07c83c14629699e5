"""Which artifact to ship: the best that keeps all limits, and what the others fail on."""

from collections.abc import Callable
from typing import Literal

import msgspec
import numpy as np

from bctoolkit.bench.analysis import verdict, wording
from bctoolkit.bench.analysis.pareto import front
from bctoolkit.bench.documents.report import Report, Result
from bctoolkit.bench.documents.stored import StoredReport
from bctoolkit.documents import Document, Outcome, worst
from bctoolkit.recipes import Budget

__all__ = ["PREFERENCES", "Candidate", "Choice", "Preference", "choose_best"]

Preference = Literal["latency", "size", "accuracy"]


class Candidate(Document, frozen=True):
    """One artifact over all the reports."""

    bundle: str
    outcome: Outcome
    """The worst over the reports."""
    p50_ms: float
    """Geometric mean over the reports, as is what follows."""
    size_bytes: int
    accuracy: float
    """On labelled images where there are some, else the agreement on golden ones."""
    reasons: tuple[str, ...]
    """Each limit that is not kept, or cannot be judged."""
    on_front: bool
    """No other artifact is at least as accurate, fast and small, and better in one of these."""


class Choice(Document, frozen=True):
    """The best artifact and all others."""

    best: str | None
    why: str
    candidates: tuple[Candidate, ...]


PREFERENCES: dict[Preference, tuple[Callable[[Candidate], float], str]] = {
    "latency": (lambda candidate: candidate.p50_ms, "fastest"),
    "size": (lambda candidate: candidate.size_bytes, "smallest"),
    "accuracy": (lambda candidate: -candidate.accuracy, "most accurate"),
}
"""What decides among the artifacts that keep all limits; ties go to the faster one, then to the smaller."""


def choose_best(reports: list[StoredReport], limits: Budget, preference: Preference = "latency") -> Choice:
    """Name the best artifact that keeps all limits in every report.

    Args:
        reports: of one device each, or one alone.
        limits: what must be kept; judged on intervals, as a budget is.
        preference: what decides among those that keep them.
    """
    names = dict.fromkeys(result.bundle for stored in reports for result in stored.report.results)
    rated = [_candidate(name, reports, limits) for name in names]
    flags = front([(-each.accuracy, each.p50_ms, each.size_bytes) for each in rated])
    candidates = tuple(msgspec.structs.replace(each, on_front=flag) for each, flag in zip(rated, flags, strict=True))
    key, word = PREFERENCES[preference]
    passing = sorted(
        (each for each in candidates if each.outcome is Outcome.PASSED),
        key=lambda each: (key(each), each.p50_ms, each.size_bytes),
    )
    if not passing:
        undecided = sum(each.outcome is Outcome.UNDECIDED for each in candidates)
        more = f"; {undecided} {'is' if undecided == 1 else 'are'} inconclusive" if undecided else ""
        return Choice(None, f"none of {len(candidates)} keeps all limits{more}", candidates)
    return Choice(passing[0].bundle, _why(passing, word, len(candidates)), candidates)


def _candidate(name: str, reports: list[StoredReport], limits: Budget) -> Candidate:
    reasons: list[str] = []
    outcomes: set[Outcome] = set()
    results: list[Result] = []
    for stored in reports:
        where = f"{stored.name}: " if len(reports) > 1 else ""
        rows = [result for result in stored.report.results if result.bundle == name]
        if not rows:
            outcomes.add(Outcome.UNDECIDED)
            reasons.append(f"{where}{_absent(name, stored.report)}")
            continue
        judged = [(verdict.check_budget(result, limits, stored.report.baseline), result) for result in rows]
        best, result = min(judged, key=lambda pair: (pair[0].outcome.severity, pair[1].latency_ms.p50))
        results.append(result)
        outcomes.add(best.outcome)
        reasons += [where + wording.check_line(check) for check in best.checks if not check.passed]
    return Candidate(
        bundle=name,
        outcome=worst(outcomes),
        p50_ms=float(np.exp(np.mean([np.log(result.latency_ms.p50) for result in results]))),
        size_bytes=results[0].size_bytes,
        accuracy=float(np.mean([result.parity.headline_accuracy for result in results])),
        reasons=tuple(reasons),
        on_front=False,
    )


def _absent(name: str, report: Report) -> str:
    failed = [failure.message for failure in report.failures if failure.bundle == name]
    return failed[0] if failed else "not measured there"


def _why(passing: list[Candidate], word: str, count: int) -> str:
    best = passing[0]
    facts = f"p50 {best.p50_ms:.2f} ms, {best.size_bytes / 1e6:.1f} MB, {best.accuracy:.2%}"
    if len(passing) == 1:
        return f"the only one of {count} that keeps all limits: {facts}"
    second = passing[1]
    others = f"p50 {second.p50_ms:.2f} ms, {second.size_bytes / 1e6:.1f} MB, {second.accuracy:.2%}"
    return f"the {word} of the {len(passing)} of {count} that keep all limits: {facts}; next {second.bundle}: {others}"
