"""How results, verdicts and checks are named, in the terminal and in every form of a report."""

from bctoolkit.bench.documents.report import (
    Check,
    Failure,
    Outcome,
    Result,
    Settings,
    Verdict,
)

__all__ = ["check_outcome", "check_words", "failed", "observed", "outcome_of", "points", "title"]


def title(result: Result, settings: Settings | None = None) -> str:
    """The bundle's name, and of what the settings sweep over its own: provider, number of threads."""
    parts = [result.bundle]
    if settings is not None and len(settings.providers) > 1:
        parts.append(result.provider)
    if settings is not None and settings.sweep:
        parts.append(f"threads {result.threads}")
    return ", ".join(parts)


def failed(failure: Failure) -> str:
    """The name of what could not be measured, and the provider where one was asked for."""
    return failure.bundle if failure.provider is None else f"{failure.bundle}, {failure.provider}"


def outcome_of(verdict: Verdict) -> str:
    """The verdict in one word; reports of the time before there were three outcomes know two."""
    return verdict.outcome or (Outcome.PASSED if verdict.passed else Outcome.FAILED)


def check_words(check: Check) -> str:
    """One check in a line: the limit, what was observed, what that means."""
    means = {Outcome.PASSED: "holds", Outcome.FAILED: "fails", Outcome.UNDECIDED: "undecided"}[check_outcome(check)]
    return f"{check.name} {check.limit:g}: {observed(check)} {means}{f' ({check.note})' if check.note else ''}"


def check_outcome(check: Check) -> Outcome:
    """What a check comes to; reports of the time before there were three outcomes know two."""
    return check.outcome or (Outcome.PASSED if check.passed else Outcome.FAILED)


def observed(check: Check) -> str:
    """What was measured for a check: its interval where there is one, else the value."""
    if check.interval is not None and check.interval[0] != check.interval[1]:
        return f"{check.interval[0]:.4g} to {check.interval[1]:.4g}"
    return "–" if check.observed is None else f"{check.observed:.4g}"


def points(share: float, sign: str = "-") -> str:
    """A share in points with two decimals; no sign on zero."""
    text = f"{share * 100:{sign}.2f}"
    return "0.00" if float(text) == 0 else text
