"""Which artifact to ship: the best that keeps all limits, and what the others fail on."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from bctoolkit.bench.analysis import verdict, wording
from bctoolkit.bench.analysis.pareto import front
from bctoolkit.bench.documents.report import Outcome, Report, Result
from bctoolkit.bench.documents.stored import Stored
from bctoolkit.documents import Document
from bctoolkit.recipes import Budget

__all__ = ["PREFERENCES", "Candidate", "Choice", "Preference", "choose"]

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


def choose(reports: list[Stored], limits: Budget, preference: Preference = "latency") -> Choice:
    """Name the best artifact that keeps all limits in every report.

    Args:
        reports: of one device each, or one alone.
        limits: what must be kept; judged on intervals, as a budget is.
        preference: what decides among those that keep them.
    """
    names = dict.fromkeys(result.bundle for stored in reports for result in stored.report.results)
    found = [_candidate(name, reports, limits) for name in names]
    shown = front([(-one.accuracy, one.p50_ms, one.size_bytes) for one in found])
    candidates = tuple(_with_front(one, flag) for one, flag in zip(found, shown, strict=True))
    key, word = PREFERENCES[preference]
    kept = sorted(
        (one for one in candidates if one.outcome is Outcome.PASSED),
        key=lambda one: (key(one), one.p50_ms, one.size_bytes),
    )
    if not kept:
        open_ones = sum(one.outcome is Outcome.UNDECIDED for one in candidates)
        more = f"; {open_ones} might, but there is not enough data to say" if open_ones else ""
        return Choice(None, f"none of {len(candidates)} keeps all limits{more}", candidates)
    return Choice(kept[0].bundle, _why(kept, word, len(candidates)), candidates)


def _candidate(name: str, reports: list[Stored], limits: Budget) -> Candidate:
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
        judged = [(verdict.judge(result, limits), result) for result in rows]
        best, result = min(judged, key=lambda pair: (_order(pair[0].outcome), pair[1].latency_ms.p50))
        results.append(result)
        outcomes.add(best.outcome or Outcome.UNDECIDED)
        reasons += [where + wording.check_words(check) for check in best.checks if not check.passed]
    return Candidate(
        bundle=name,
        outcome=max(outcomes, key=_order),
        p50_ms=float(np.exp(np.mean([np.log(result.latency_ms.p50) for result in results]))),
        size_bytes=results[0].size_bytes,
        accuracy=float(np.mean([_accuracy(result) for result in results])),
        reasons=tuple(reasons),
        on_front=False,
    )


def _order(outcome: Outcome | None) -> int:
    return (Outcome.PASSED, Outcome.UNDECIDED, Outcome.FAILED, None).index(outcome)


def _absent(name: str, report: Report) -> str:
    failed = [failure.message for failure in report.failures if failure.bundle == name]
    return failed[0] if failed else "not measured there"


def _accuracy(result: Result) -> float:
    labelled = result.parity.labelled
    return result.parity.golden.top1_agreement if labelled is None else labelled.accuracy


def _with_front(candidate: Candidate, on_front: bool) -> Candidate:
    return Candidate(
        candidate.bundle,
        candidate.outcome,
        candidate.p50_ms,
        candidate.size_bytes,
        candidate.accuracy,
        candidate.reasons,
        on_front,
    )


def _why(kept: list[Candidate], word: str, count: int) -> str:
    best = kept[0]
    facts = f"p50 {best.p50_ms:.2f} ms, {best.size_bytes / 1e6:.1f} MB, {best.accuracy:.2%}"
    if len(kept) == 1:
        return f"the only one of {count} that keeps all limits: {facts}"
    other = kept[1]
    beside = f"p50 {other.p50_ms:.2f} ms, {other.size_bytes / 1e6:.1f} MB, {other.accuracy:.2%}"
    return f"the {word} of the {len(kept)} of {count} that keep all limits: {facts}; next {other.bundle}: {beside}"
