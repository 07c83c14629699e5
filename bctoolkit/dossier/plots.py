"""Plots in ink alone: SVG in the page's own colours, told apart by form where a printer has no colour."""

from collections.abc import Sequence
from typing import NamedTuple

from bctoolkit.escaping.text import for_html

__all__ = ["Scale", "curves", "strip"]

WIDTH, HEIGHT = 200, 16
"""Of a strip, in its own units."""
BOX = (460, 190)
"""Of a curve's frame."""


class Scale(NamedTuple):
    """What a strip runs from and to, and where its line is."""

    low: float
    high: float
    line: float | None = None

    @classmethod
    def around(cls, values: Sequence[float], *, within: tuple[float, float], line: float | None = None) -> "Scale":
        """One that holds the values and the line, with a little room, and no more than `within`."""
        held = [*values, *([] if line is None else [line])]
        room = 0.05 * (max(held) - min(held)) or 0.01
        return cls(max(min(held) - room, within[0]), min(max(held) + room, within[1]), line)

    def at(self, value: float) -> float:
        """Where a value lies on a strip."""
        share = (value - self.low) / (self.high - self.low or 1.0)
        return 4 + (WIDTH - 8) * min(max(share, 0.0), 1.0)


def strip(scale: Scale, value: float, interval: tuple[float, float] | None, text: str) -> str:
    """A mark with its interval on a line: one row of a plot that has a table's rows.

    Args:
        scale: the same for all rows.
        value: of the mark.
        interval: of the bar; None draws the mark alone.
        text: what it shows, for those who cannot see it.
    """
    middle = HEIGHT / 2
    parts = [f'<line class="axis" x1="0" y1="{middle}" x2="{WIDTH}" y2="{middle}"/>']
    if scale.line is not None:
        x = scale.at(scale.line)
        parts.append(f'<line class="limit" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{HEIGHT}"/>')
    if interval is not None:
        low, high = map(scale.at, interval)
        ends = "".join(f"M{x:.1f} {middle - 4}v8" for x in (low, high))
        parts.append(f'<path class="whisker" d="M{low:.1f} {middle}H{high:.1f}{ends}"/>')
    parts.append(f'<circle class="mark" cx="{scale.at(value):.1f}" cy="{middle}" r="3.4"/>')
    frame = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{for_html(text)}"'
    return f'<svg class="strip" {frame}>{"".join(parts)}</svg>'


def curves(series: dict[str, Sequence[float]], starts: Sequence[int], label: str) -> str:
    """Lines over epochs, the first solid and the second dashed, with the beginnings of phases.

    Args:
        series: by name, one value for each epoch.
        starts: positions of the first epochs of all phases but the first.
        label: what is drawn, for those who cannot see it.
    """
    width, height = BOX
    values = [value for each in series.values() for value in each]
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.05
    low, high, count = low - room, high + room, len(next(iter(series.values())))

    def at(index: float, value: float) -> str:
        x = width / 2 if count == 1 else width * index / (count - 1)
        return f"{x:.1f},{height * (high - value) / (high - low):.1f}"

    parts = [f'<rect class="frame" width="{width}" height="{height}"/>']
    for start in starts:
        x = at(start - 0.5, low).split(",")[0]
        parts.append(f'<line class="limit" x1="{x}" y1="0" x2="{x}" y2="{height}"/>')
    for position, (name, line) in enumerate(series.items()):
        points = " ".join(at(index, value) for index, value in enumerate(line))
        kind = "curve" if position == 0 else "curve dashed"
        parts.append(f'<polyline class="{kind}" points="{points}"><title>{for_html(name)}</title></polyline>')
    for share in (0.0, 0.5, 1.0):
        value = low + share * (high - low)
        parts.append(f'<text x="-6" y="{height * (1 - share) + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    parts.append(f'<text x="0" y="{height + 16}">1</text>')
    parts.append(f'<text x="{width}" y="{height + 16}" text-anchor="end">{count}</text>')
    parts.append(f'<text x="{width / 2}" y="{height + 16}" text-anchor="middle">epoch</text>')
    return (
        f'<svg class="curves" viewBox="-56 -8 {width + 64} {height + 32}" role="img" aria-label="{for_html(label)}">'
        f"{''.join(parts)}</svg>"
    )
