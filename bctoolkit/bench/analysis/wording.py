"""How results, verdicts and checks are named, in the terminal and in every form of a report."""

from bctoolkit.bench.documents.judgements import Check
from bctoolkit.bench.documents.report import Failure, Result
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.documents import Outcome

__all__ = ["check_line", "failure_title", "observed", "points", "title", "what_ran"]

MEANINGS = {Outcome.PASSED: "holds", Outcome.FAILED: "fails", Outcome.UNDECIDED: "undecided"}


def title(result: Result, settings: Settings) -> str:
    """The bundle's name, and of what the settings sweep over its own: engine, provider, number of threads."""
    parts = [result.bundle]
    if len(settings.engines) > 1:
        parts.append(str(result.engine))
    if len(settings.providers) > 1:
        parts.append(result.provider)
    if settings.sweep:
        parts.append(f"threads {result.threads}")
    return ", ".join(parts)


def failure_title(failure: Failure) -> str:
    """The name of what could not be measured, and the engine and the provider where one was requested."""
    return ", ".join(name for name in (failure.bundle, failure.engine, failure.provider) if name is not None)


def what_ran(result: Result) -> str:
    """The engine, where the report tells it, and the provider."""
    return f"on {result.provider}" if result.engine is None else f"in {result.engine} on {result.provider}"


def check_line(check: Check) -> str:
    """One check in a line: the limit, what was observed, what that means."""
    note = f" ({check.note})" if check.note else ""
    return f"{check.name} {check.limit:g}: {observed(check)} {MEANINGS[check.outcome]}{note}"


def observed(check: Check) -> str:
    """What was measured for a check: its interval where there is one, else the value."""
    if check.interval is not None and check.interval[0] != check.interval[1]:
        return f"{check.interval[0]:.4g} to {check.interval[1]:.4g}"
    return "–" if check.observed is None else f"{check.observed:.4g}"


def points(share: float, sign: str = "-") -> str:
    """A share in points with two decimals; no sign on zero."""
    text = f"{share * 100:{sign}.2f}"
    return "0.00" if float(text) == 0 else text
