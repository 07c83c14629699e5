"""What each step on the way from the trained network to the artifact changed."""

from bctoolkit.dossier.evidence import Evidence
from bctoolkit.dossier.forms import count, percent, scientific, text
from bctoolkit.dossier.section import Missing, Section, caption, share_interval, what_ran
from bctoolkit.dossier.sources import Sources
from bctoolkit.rendering import html

__all__ = ["section"]


COLUMNS = ("step", "images", "same class", "95 % interval", "max Δp", "mean Δp")


def section(sources: Sources) -> Section:
    """The chain at export, the sealed golden images, and the golden images where a report has measured them."""
    manifest, stated = sources.manifest, sources.bundle.manifest
    rows = [
        _row(manifest.figure(text, "links", at, "link"), manifest.within("links", at)) for at in range(_steps(manifest))
    ]
    golden = f"float32 Keras → this artifact, on {manifest.figure(text, 'golden', 'images')} golden images, as sealed"
    rows.append(_row(golden, manifest.within("parity")))
    for evidence, _ in sources.results:
        where = f"the same, measured in {caption(evidence)} {what_ran(evidence)}"
        rows.append(_row(where, evidence.within("parity", "golden")))
    what = (
        "<p>The artifact is held against the float32 Keras network on the same images. Same class: the share of images "
        "with the same most probable class, with its exact interval; Δp: difference of a class's probability.</p>"
    )
    missing = [] if stated.parity_steps else [Missing("not recorded: the steps of the export", "bctk export RUN")]
    if not sources.reports:
        missing.append(Missing("not measured on any device", "bctk bench BUNDLE --data PATH"))
    files = (manifest.source, *(report.evidence.source for report in sources.reports))
    return Section(
        "Parity: from the trained network to the artifact",
        files,
        what + html.table(COLUMNS, rows) + _products(manifest),
        tuple(missing),
    )


def _steps(manifest: Evidence) -> int:
    return len(manifest.get("links") or ())


def _row(name: str, one: Evidence) -> list[str]:
    interval, _ = share_interval(one, ("top1_agreement",), ("count",))
    return [
        name,
        one.figure(count, "count"),
        one.figure(percent, "top1_agreement"),
        interval,
        one.figure(scientific, "max_abs_diff"),
        one.figure(scientific, "mean_abs_diff"),
    ]


def _products(manifest: Evidence) -> str:
    one = manifest.within("integer_products")
    if one.value is None:
        return ""
    return (
        f"<p>Integer products: {one.figure(count, 'count')} with {one.figure(count, 'columns')} output columns, of "
        f"which {one.figure(count, 'saturating')} could leave sixteen bits on x86 without VNNI.</p>"
    )
