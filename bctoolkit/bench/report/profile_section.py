"""The profile by operators as people read it: a line in the terminal, a table in Markdown, a section of the page."""

from collections.abc import Iterator, Sequence
from html import escape

from bctoolkit.bench.documents.profiles import WARM_UP, Profile
from bctoolkit.bench.documents.report import Result
from bctoolkit.bench.report import charts
from bctoolkit.rendering import html

__all__ = ["line", "markdown", "placed", "sections"]

SHOWN, IN_A_LINE = 10, 5
"""Types of operators in a table and in a line."""
HEADINGS = ("operator", "share", "ms", "count", "run by")

METHOD = (
    "Each engine's own profiler, in a process in which nothing else is timed. It slows what it watches, so the shares "
    "tell more than the times. Both are means, and a call below a microsecond counts as none. Engines fuse operators: "
    "there are fewer than in the file."
)


def line(profile: Profile) -> str:
    """Where most of the time goes."""
    top = profile.operators[:IN_A_LINE]
    return ", ".join(f"{operator.name} {operator.share:.0%}" for operator in top)


def placed(result: Result) -> str:
    """What ran the operators, to stand behind the provider; nothing where the engine does not tell."""
    if result.placement is None:
        return ""
    parts = [f"{count} operators by {where}" for where, count in result.placement.operators.items()]
    if partitions := result.placement.partitions:
        parts.append(f"{partitions} partition{'s' if partitions > 1 else ''} of the delegate")
    return f" ({', '.join(parts)})"


def markdown(profile: Profile | None) -> Iterator[str]:
    """Lines of a table; none without a profile."""
    if profile is None:
        return
    yield from ("", f"{_taken(profile)}:", "", f"| {' | '.join(HEADINGS)} |", "|" + "---|" * len(HEADINGS))
    yield from (f"| {' | '.join(cells)} |" for cells in _rows(profile))


def sections(names: Sequence[str], results: Sequence[Result]) -> Iterator[str]:
    """The section of the page, with a plot; none without profiles."""
    shown = [(name, result.profile) for name, result in zip(names, results, strict=True) if result.profile is not None]
    if not shown:
        return
    plot = charts.operators([name for name, _ in shown], [_shares(profile) for _, profile in shown])
    tables = "\n".join(
        f"<h3>{escape(name)}</h3>\n<p>{escape(_taken(profile))}.</p>\n"
        f"{html.table(HEADINGS, [[escape(cell) for cell in cells] for cells in _rows(profile)])}"
        for name, profile in shown
    )
    yield html.section("Operator profile", METHOD, f'<figure class="plot">{plot}</figure>\n{tables}')


def _taken(profile: Profile) -> str:
    nodes = ", ".join(f"{count} by {where}" for where, count in profile.nodes.items())
    return (
        f"{profile.method}, {profile.runs} inferences after {WARM_UP} of warm-up: {sum(profile.nodes.values())} "
        f"operators ({nodes}), {profile.ms:.2f} ms together"
    )


def _rows(profile: Profile) -> Iterator[tuple[str, ...]]:
    top, rest = profile.operators[:SHOWN], profile.operators[SHOWN:]
    for one in top:
        yield one.name, f"{one.share:.1%}", f"{one.ms:.3f}", str(one.count), one.where
    if rest:
        count, ms, share = (sum(getattr(one, name) for one in rest) for name in ("count", "ms", "share"))
        yield f"{len(rest)} other types", f"{share:.1%}", f"{ms:.3f}", str(count), ""


def _shares(profile: Profile) -> dict[str, float]:
    found: dict[str, float] = {}
    for operator in profile.operators:
        found[operator.name] = found.get(operator.name, 0.0) + operator.share
    return found
