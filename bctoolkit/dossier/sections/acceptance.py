"""Which answers the bundle accepts, and what that has been measured to gain."""

from bctoolkit.dossier.evidence import UNKNOWN, Evidence
from bctoolkit.dossier.forms import count, number, percent, text
from bctoolkit.dossier.section import Missing, Section, caption, fact_rows
from bctoolkit.dossier.sources import Sources
from bctoolkit.rendering import html

__all__ = ["section"]

HEADS = ("measured in", "accepted", "95 % interval", "right of these", "95 % interval", "errors refused")


def section(sources: Sources) -> Section:
    """The rule, then coverage and accuracy of what it accepts, foreign pictures, and whether a site looks alike."""
    rule = sources.manifest.within("acceptance")
    if rule.value is None:
        missing = Missing("not known: which answers to accept", "bctk export RUN --data PATH")
        return Section("Abstention", (sources.manifest.source,), missing=(missing,))
    rows = [
        ("rule", f"fitted to accept {rule.figure(percent, 'coverage')} of "
                 f"{sources.manifest.figure(count, 'validation', 'count')} "
                 f"{sources.manifest.figure(text, 'validation', 'images')} validation images"),
        ("accepted is", f"an answer of confidence {rule.figure(number, 'min_confidence')} or more at temperature "
                        f"{rule.figure(number, 'temperature')}, to a picture no further than "
                        f"{rule.figure(number, 'max_distance')} from those"),
        ("SHA-256 of these images", rule.figure(text, "images_sha256")),
    ]  # fmt: skip
    measured = [evidence.within("parity", "labelled") for evidence, _ in sources.results]
    measured = [one for one in [*measured, *(each.evidence for each in sources.evaluations)] if one.get("accepted")]
    markup = fact_rows(rows)
    if measured:
        markup += html.table(HEADS, [_accepted(one) for one in measured])
    sites = [one for one in measured if one.get("site")]
    markup += "".join(f"<p>{_site(one)}</p>\n" for one in sites)
    strangers = [evidence.within("parity", "foreign") for evidence, _ in sources.results]
    strangers = [*strangers, *(each.evidence.within("foreign") for each in sources.evaluations)]
    found = [one for one in strangers if one.value is not None]
    markup += "".join(f"<p>{_foreign(one)}</p>\n" for one in found)
    files = dict.fromkeys([sources.manifest.source, *(one.source for one in [*measured, *found])])
    return Section("Abstention", tuple(files), markup, tuple(_missing(measured, found)))


def _missing(measured: list[Evidence], found: list[Evidence]) -> list[Missing]:
    missing = []
    if not measured:
        missing.append(Missing("not measured: what the rule accepts", "bctk bench BUNDLE --data PATH"))
    if not found:
        missing.append(
            Missing("not measured: foreign pictures that are accepted", "bctk bench BUNDLE --data PATH --foreign PATH")
        )
    return missing


def _accepted(one: Evidence) -> list[str]:
    answers = one.within("accepted")
    refused = UNKNOWN
    if answers.get("errors"):
        refused = f"{answers.figure(count, 'errors_refused')} of {answers.figure(count, 'errors')}"
    return [
        caption(one),
        answers.figure(percent, "coverage"),
        answers.interval(percent, "coverage_ci95"),
        answers.figure(percent, "accuracy"),
        answers.interval(percent, "accuracy_ci95"),
        refused,
    ]


def _site(one: Evidence) -> str:
    site = one.within("site")
    pairs = ""
    if site.get("distance") is not None:
        pairs = (
            f": further off in {_pairs(site.within('distance'))} and less sure in {_pairs(site.within('doubt'))} of "
            f"pairs; different above {site.figure(percent, 'limit')}"
        )
    return f"{caption(one)}: whether its images look like the validation images: {site.figure(text, 'outcome')}{pairs}."


def _pairs(one: Evidence) -> str:
    return f"{one.figure(percent, 'share')} ({one.figure(percent, 'low')} to {one.figure(percent, 'high')})"


def _foreign(one: Evidence) -> str:
    share = f"{one.figure(percent, 'share')} ({one.interval(percent, 'share_ci95')})"
    return (
        f"{caption(one)}: {one.figure(count, 'accepted')} of {one.figure(count, 'count')} foreign pictures of "
        f"{one.figure(text, 'source')} accepted, {share}."
    )
