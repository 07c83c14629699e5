"""The report's plots as SVG inside the page: text stays text, and the ink follows light and dark."""

import io
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.analysis.pareto import front
from bctoolkit.lazy import require
from bctoolkit.rendering.plots import figure

__all__ = [
    "SIZE",
    "canvas",
    "colour",
    "key",
    "latencies",
    "lost_by_corruption",
    "mark",
    "operators",
    "pareto",
    "sessions",
    "svg",
]

Samples = NDArray[np.float64]

INK, GRID = "#010203", "#010204"
"""Stand-ins that the page's own colours replace."""
COLOURS = ("#3f87c4", "#d9822b", "#3a9a5b", "#b04a9a", "#8a6fd1", "#c0504d", "#7a8a2a", "#2a9a9a")
MARKS = {"o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼", "P": "✚", "X": "✖", "*": "★"}
"""How matplotlib calls a mark, and the same as a character."""
SQUARE = MARKS["s"]
SIZE = (4.6, 3.2)
"""Inches: on a phone's screen the letters are still as large as text."""
DECADE = 10
POINTS = 400
"""Of each distribution's curve."""


def key(names: Sequence[str]) -> str:
    """Which mark and colour belongs to which of the artifacts, as markup: text that wraps where a plot's would not."""
    return _key((colour(place), MARKS[mark(place)], name) for place, name in enumerate(names))


def _key(items: Iterable[tuple[str, str, str]]) -> str:
    """Colour, mark and words of each."""
    rows = [f'<li><span style="color:{shade}">{sign}</span> {escape(words)}</li>' for shade, sign, words in items]
    return f'<ul class="key">{"".join(rows)}</ul>'


def pareto(accuracy: Sequence[float], p50: Sequence[float], megabytes: Sequence[float]) -> str:
    """Accuracy by latency; the area of a mark is the size of the file, a filled one lies on the Pareto front."""
    drawn, (axis,) = canvas(1, SIZE)
    shown = front([(-a, t, m) for a, t, m in zip(accuracy, p50, megabytes, strict=True)])
    largest = max(megabytes)
    for place, on_front in enumerate(shown):
        axis.scatter(
            p50[place],
            100 * accuracy[place],
            s=30 + 220 * megabytes[place] / largest,
            marker=mark(place),
            facecolors=colour(place) if on_front else "none",
            edgecolors=colour(place),
            linewidths=1.8,
            alpha=0.85,
            clip_on=False,
        )
    axis.set(xlabel="p50 of the model alone, ms", ylabel="accuracy or agreement, %")
    low, high = 100 * min(accuracy), 100 * max(accuracy)
    margin = 0.5 + 0.15 * (high - low)
    axis.set(xlim=(0, 1.15 * max(p50)), ylim=(low - margin, min(high + margin, 100)))
    return svg(drawn, "accuracy, latency and size of each artifact")


def latencies(samples: Sequence[list[Samples]]) -> str:
    """The share of runs that took at most so long, over all sessions."""
    drawn, (axis,) = canvas(1, SIZE)
    for place, of_sessions in enumerate(samples):
        ordered = np.sort(np.concatenate(of_sessions))
        shares = np.linspace(0, 1, min(POINTS, len(ordered)))
        axis.plot(
            np.quantile(ordered, shares),
            100 * shares,
            color=colour(place),
            marker=mark(place),
            markersize=4.5,
            markevery=(0.02 * place, 0.2),
        )
    axis.set(xscale="log", xlabel="ms per run, model alone", ylabel="% of runs", ylim=(0, 100))
    _plain_ticks(axis.xaxis)
    return svg(drawn, "cumulative distribution of each artifact's latency")


def sessions(samples: Sequence[list[Samples]]) -> str:
    """Each session's median in the order of the turns, with the middle half of its runs."""
    drawn, (axis,) = canvas(1, SIZE)
    for place, of_sessions in enumerate(samples):
        low, middle, high = np.array([np.percentile(session, (25, 50, 75)) for session in of_sessions]).T
        turns = np.arange(1, len(of_sessions) + 1) + (place - (len(samples) - 1) / 2) * 0.08
        axis.errorbar(
            turns, middle, yerr=(middle - low, high - middle), fmt=mark(place), color=colour(place), capsize=3
        )
    axis.set(yscale="log", xlabel="turn", ylabel="ms per run, model alone")
    axis.xaxis.get_major_locator().set_params(integer=True)
    _plain_ticks(axis.yaxis)
    return svg(drawn, "median latency of each session")


def lost_by_corruption(lost: dict[str, dict[str, float]]) -> str:
    """Points of accuracy that each bundle loses under each corruption, a share by bundle and corruption."""
    rows = list(next(iter(lost.values())))
    drawn, (axis,) = canvas(1, (SIZE[0], 1.4 + 0.24 * len(rows)))
    for place, drops in enumerate(lost.values()):
        axis.plot(
            [100 * drops[row] for row in rows],
            range(len(rows)),
            mark(place),
            color=colour(place),
            alpha=0.85,
        )
    axis.axvline(0, color=INK, linewidth=0.8)
    low, high = axis.get_xlim()
    axis.set_xlim(min(low, -1), max(high, 1))  # a tenth of a point must not look like a landslide
    axis.set_yticks(range(len(rows)), rows)
    axis.invert_yaxis()
    axis.set(xlabel="points lost against the float bundle, mean of three severities")
    return svg(drawn, "points lost under each corruption") + key(list(lost))


def operators(names: Sequence[str], shares: Sequence[dict[str, float]]) -> str:
    """One bar for each result: the share of its time that each type of operator takes."""
    most = {kind: max(one.get(kind, 0.0) for one in shares) for one in shares for kind in one}
    shown = dict(zip(sorted(most, key=lambda kind: -most[kind]), COLOURS, strict=False))
    drawn, (axis,) = canvas(1, (SIZE[0], 0.7 + 0.75 * len(names)))
    places, left = -np.arange(len(names), dtype=np.float64), np.zeros(len(names))
    for kind, shade in shown.items():
        widths = np.array([100 * one.get(kind, 0.0) for one in shares])
        axis.barh(places, widths, 0.5, left, color=shade)
        left += widths
    axis.barh(places, 100 - left, 0.5, left, color=GRID)
    for place, name in zip(places, names, strict=True):
        axis.text(0, place + 0.3, name, color=INK, va="bottom")
    axis.set(xlabel="% of the time of all operators", xlim=(0, 100), ylim=(0.5 - len(names), 0.75))
    axis.set_yticks([])
    items = [(shade, SQUARE, kind) for kind, shade in shown.items()]
    if (left < 99.95).any():
        items.append(("var(--line)", SQUARE, "others"))
    return svg(drawn, "share of time of each type of operator") + _key(items)


def colour(place: int) -> str:
    """Of the artifact at a place in the report."""
    return COLOURS[place % len(COLOURS)]


def mark(place: int) -> str:
    """Matplotlib's name of the mark of the artifact at a place in the report."""
    return list(MARKS)[place % len(MARKS)]


def canvas(columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure in the page's ink with a row of axes; size in inches."""
    drawn, axes = figure(columns, size)
    for axis in axes:
        axis.set_facecolor("none")
        axis.grid(color=GRID, linewidth=0.6)
        axis.set_axisbelow(True)
        axis.tick_params(which="both", colors=INK)
        for spine in axis.spines.values():
            spine.set_color(INK)
        axis.xaxis.label.set_color(INK)
        axis.yaxis.label.set_color(INK)
    return drawn, axes


def _plain_ticks(axis: Any) -> None:
    """Numbers instead of powers of ten on a logarithmic axis, and some of them even where it spans no power of ten."""
    ticker = require("matplotlib.ticker", "bench")
    low, high = axis.get_view_interval()
    wide = high > DECADE * low
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)) if wide else ticker.MaxNLocator(5))
    axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axis.set_minor_formatter(ticker.NullFormatter())


def svg(drawn: Any, words: str) -> str:
    """The figure as markup that belongs into a page: no header, no links, no fixed size."""
    matplotlib = require("matplotlib", "bench")
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": words, "font.family": ["sans-serif"]}):
        drawn.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    content = buffer.getvalue()
    content = content[content.index("<svg") :]
    content = re.sub(r"<metadata>.*?</metadata>", "", content, flags=re.DOTALL)
    content = re.sub(r' (xmlns(:\w+)?|width|height)="[^"]*"', "", content, count=4)
    content = content.replace(INK, "var(--ink)").replace(GRID, "var(--line)")
    return content.replace("<svg", f'<svg role="img" aria-label="{words}"', 1)
