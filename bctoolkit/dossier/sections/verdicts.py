"""The limits of budgets, and what was measured of each."""

from bctoolkit.dossier.evidence import UNKNOWN, Evidence
from bctoolkit.dossier.forms import number, text
from bctoolkit.dossier.section import Missing, Section, caption, figures, what_ran
from bctoolkit.dossier.sources import Sources
from bctoolkit.rendering import html

__all__ = ["section"]


def section(sources: Sources) -> Section:
    """One table for each result that was judged by a budget."""
    judged = [evidence for evidence, result in sources.results if result.verdict is not None]
    command = Missing("not judged: no report was held against a budget", "bctk bench BUNDLE --data PATH --budget FILE")
    files = tuple(dict.fromkeys(evidence.source for evidence in judged))
    what = (
        "<p>Passed: the whole interval keeps the limit. Failed: it lies beyond as a whole. Undecided: too little data "
        "to say.</p>"
    )
    tables = [(_caption(one), _limits(one.within("verdict"))) for one in judged]
    markup = what + figures(tables) if judged else ""
    return Section("Verdicts", files, markup, () if judged else (command,))


def _caption(one: Evidence) -> str:
    return (
        f"{caption(one)}, {what_ran(one)} with {one.figure(text, 'threads')} threads: "
        f"<b>{one.figure(text, 'verdict', 'outcome')}</b>"
    )


def _limits(verdict: Evidence) -> str:
    rows = [_limit(verdict.within("checks", at)) for at in range(len(verdict.get("checks")))]
    return html.table(("limit", "at", "95 % interval", "outcome", "note"), rows, frozenset({"outcome", "note"}))


def _limit(check: Evidence) -> list[str]:
    low_high = check.get("interval")
    exact = low_high is not None and low_high[0] == low_high[1]
    observed = check.interval(number, "interval") if low_high and not exact else check.figure(number, "observed")
    return [
        check.figure(text, "name"),
        check.figure(number, "limit"),
        observed,
        check.figure(text, "outcome"),
        check.figure(text, "note") if check.get("note") else UNKNOWN,
    ]
