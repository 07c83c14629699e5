"""The images that the network was trained, validated and tested on."""

from collections.abc import Iterator

from bctoolkit.dossier.evidence import UNKNOWN, Evidence
from bctoolkit.dossier.forms import count, percent, text
from bctoolkit.dossier.section import Missing, Section, fact_rows
from bctoolkit.dossier.sources import RunSource, Sources
from bctoolkit.rendering import html

__all__ = ["section"]

RUN = "bctk dossier BUNDLE --run RUN"


def section(sources: Sources) -> Section:
    """Counts by class and part, licence, split and hash of the set."""
    manifest, stated, run = sources.manifest, sources.bundle.manifest, sources.run
    digest = manifest.figure(text, "source", "dataset_sha256") if stated.source.dataset_sha256 else ""
    rows = [
        ("licence", manifest.figure(text, "licence") if stated.licence else ""),
        ("SHA-256 of the set", digest),
        ("set", "" if run is None else f"{run.facts.figure(text, 'data', 'source')}, "
                                       f"{run.facts.figure(text, 'data', 'kind')} images"),
        ("SHA-256 in the run", "" if run is None else run.facts.figure(text, "data", "sha256")),
        ("split", "" if run is None else _split(run)),
    ]  # fmt: skip
    missing = []
    if not stated.licence:
        missing.append(Missing("not stated: the licence of the images", "bctk export RUN --licence TEXT"))
    if not stated.source.dataset_sha256:
        missing.append(Missing("not known: the set's SHA-256", "bctk export RUN --data PATH"))
    if run is None:
        missing.append(Missing("not at hand: images of each class and part, and the split", RUN))
    files = (manifest.source, *(() if run is None else (run.facts.source, run.recipe.source)))
    return Section("Data", files, fact_rows(rows) + ("" if run is None else _counts(run.facts)), tuple(missing))


def _split(run: RunSource) -> str:
    """How images came to their parts."""
    shares = ", ".join(
        f"{name} {run.recipe.figure(percent, 'split', name)}"
        for name in ("validation", "test")
        if isinstance(run.recipe.get("split", name), float | int)
    )
    own = run.facts.get("data", "split") == "own"
    how = "as the set came divided" if own else "by each image's content, so that copies never straddle two parts"
    return "; ".join((shares or "shares not stated", how, *_groups(run)))


def _groups(run: RunSource) -> Iterator[str]:
    """What images belong together by, and how many groups the test part has."""
    if run.recipe.get("split", "group"):
        yield f"groups by the pattern {run.recipe.figure(text, 'split', 'group')} of the path, none in two parts"
    if run.metrics is not None and run.metrics.get("groups") is not None:
        yield f"{run.metrics.figure(count, 'groups')} groups in the test part, over which its interval is"


def _counts(facts: Evidence) -> str:
    """Images by class and part."""
    parts = list(facts.get("data", "counts"))
    labels = list(dict.fromkeys(label for part in parts for label in facts.get("data", "counts", part)))
    rows = [[_name(facts, label), *(_cell(facts, part, label) for part in parts)] for label in labels]
    sums = [
        facts.derived(sum(facts.get("data", "counts", part).values()), count, "sum", ("data", "counts", part))
        for part in parts
    ]
    return html.table(("class", *parts), [*rows, ["all", *sums]])


def _name(facts: Evidence, label: str) -> str:
    labels = facts.get("labels")
    return facts.figure(text, "labels", labels.index(label)) if label in labels else UNKNOWN


def _cell(facts: Evidence, part: str, label: str) -> str:
    return facts.figure(count, "data", "counts", part, label)
