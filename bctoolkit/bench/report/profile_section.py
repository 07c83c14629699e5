"""The report page's part on the profile by operators."""

from collections.abc import Iterator, Sequence

from bctoolkit.bench.documents.measurements import Profile
from bctoolkit.bench.documents.report import Result
from bctoolkit.bench.report import charts
from bctoolkit.bench.report.summary import profile_caption
from bctoolkit.bench.report.tables import operators_table
from bctoolkit.escaping.text import for_html
from bctoolkit.rendering import html

__all__ = ["sections"]

METHOD = (
    "Each engine's own profiler, in a process in which nothing else is timed. It slows what it watches, so the shares "
    "say more than the times. Both are means, and a call below a microsecond counts as none. Engines fuse operators: "
    "there are fewer than in the file."
)


def sections(names: Sequence[str], results: Sequence[Result]) -> Iterator[str]:
    """The section with a plot and a table for each profile; none without profiles."""
    profiles = [(name, each.profile) for name, each in zip(names, results, strict=True) if each.profile is not None]
    if not profiles:
        return
    plot = charts.operators([name for name, _ in profiles], [_shares(profile) for _, profile in profiles])
    tables = "\n".join(
        f"<h3>{for_html(name)}</h3>\n<p>{for_html(profile_caption(profile))}.</p>\n{operators_table(profile).to_html()}"
        for name, profile in profiles
    )
    yield html.section("Operator profile", METHOD, f'<figure class="plot">{plot}</figure>\n{tables}')


def _shares(profile: Profile) -> dict[str, float]:
    """By type, whatever ran it."""
    shares: dict[str, float] = {}
    for operator in profile.operators:
        shares[operator.name] = shares.get(operator.name, 0.0) + operator.share
    return shares
