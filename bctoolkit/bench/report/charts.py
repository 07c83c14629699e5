"""The report's plots as SVG inside the page: text stays text, and the ink follows light and dark."""

import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.analysis.pareto import front
from bctoolkit.escaping.text import for_html
from bctoolkit.lazy import require
from bctoolkit.rendering.plots import figure

__all__ = [
    "INK",
    "SIZE",
    "canvas",
    "colour",
    "drop_by_corruption",
    "key",
    "latencies",
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
    return _key((colour(index), MARKS[mark(index)], name) for index, name in enumerate(names))


def _key(items: Iterable[tuple[str, str, str]]) -> str:
    """Colour, mark and text of each."""
    rows = [f'<li><span style="color:{shade}">{sign}</span> {for_html(text)}</li>' for shade, sign, text in items]
    return f'<ul class="key">{"".join(rows)}</ul>'


def pareto(accuracy: Sequence[float], p50: Sequence[float], megabytes: Sequence[float]) -> str:
    """Accuracy by latency; the area of a mark is the size of the file, a filled one lies on the Pareto front."""
    fig, ax = canvas(SIZE)
    on_front = front([(-a, t, m) for a, t, m in zip(accuracy, p50, megabytes, strict=True)])
    largest = max(megabytes)
    for index, filled in enumerate(on_front):
        ax.scatter(
            p50[index],
            100 * accuracy[index],
            s=30 + 220 * megabytes[index] / largest,
            marker=mark(index),
            facecolors=colour(index) if filled else "none",
            edgecolors=colour(index),
            linewidths=1.8,
            alpha=0.85,
            clip_on=False,
        )
    ax.set(xlabel="p50 of the model alone, ms", ylabel="accuracy or agreement, %")
    low, high = 100 * min(accuracy), 100 * max(accuracy)
    margin = 0.5 + 0.15 * (high - low)
    ax.set(xlim=(0, 1.15 * max(p50)), ylim=(low - margin, min(high + margin, 100)))
    return svg(fig, "accuracy, latency and size of each artifact")


def latencies(samples: Sequence[list[Samples]]) -> str:
    """The share of runs that took at most so long, over all sessions."""
    fig, ax = canvas(SIZE)
    for index, of_sessions in enumerate(samples):
        ordered = np.sort(np.concatenate(of_sessions))
        shares = np.linspace(0, 1, min(POINTS, len(ordered)))
        ax.plot(
            np.quantile(ordered, shares),
            100 * shares,
            color=colour(index),
            marker=mark(index),
            markersize=4.5,
            markevery=(0.02 * index, 0.2),
        )
    ax.set(xscale="log", xlabel="ms per run, model alone", ylabel="% of runs", ylim=(0, 100))
    _plain_ticks(ax.xaxis)
    return svg(fig, "cumulative distribution of each artifact's latency")


def sessions(samples: Sequence[list[Samples]]) -> str:
    """Each session's median in the order of the rounds, with the middle half of its runs."""
    fig, ax = canvas(SIZE)
    for index, of_sessions in enumerate(samples):
        low, middle, high = np.array([np.percentile(session, (25, 50, 75)) for session in of_sessions]).T
        rounds = np.arange(1, len(of_sessions) + 1) + (index - (len(samples) - 1) / 2) * 0.08
        ax.errorbar(rounds, middle, yerr=(middle - low, high - middle), fmt=mark(index), color=colour(index), capsize=3)
    ax.set(yscale="log", xlabel="round", ylabel="ms per run, model alone")
    ax.xaxis.get_major_locator().set_params(integer=True)
    _plain_ticks(ax.yaxis)
    return svg(fig, "median latency of each session")


def drop_by_corruption(drops: dict[str, dict[str, float]]) -> str:
    """Points of accuracy that each bundle loses under each corruption, a share by bundle and corruption."""
    rows = list(next(iter(drops.values())))
    fig, ax = canvas((SIZE[0], 1.4 + 0.24 * len(rows)))
    for index, by_corruption in enumerate(drops.values()):
        ax.plot(
            [100 * by_corruption[row] for row in rows],
            range(len(rows)),
            mark(index),
            color=colour(index),
            alpha=0.85,
        )
    ax.axvline(0, color=INK, linewidth=0.8)
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, -1), max(high, 1))  # a tenth of a point must not look like a landslide
    ax.set_yticks(range(len(rows)), rows)
    ax.invert_yaxis()
    ax.set(xlabel="points lost relative to the float bundle, mean of three severities")
    return svg(fig, "points lost under each corruption") + key(list(drops))


def operators(names: Sequence[str], shares: Sequence[dict[str, float]]) -> str:
    """One bar for each result: the share of its time that each type of operator takes."""
    most = {kind: max(each.get(kind, 0.0) for each in shares) for each in shares for kind in each}
    largest = dict(zip(sorted(most, key=lambda kind: -most[kind]), COLOURS, strict=False))
    fig, ax = canvas((SIZE[0], 0.7 + 0.75 * len(names)))
    rows, left = -np.arange(len(names), dtype=np.float64), np.zeros(len(names))
    for kind, shade in largest.items():
        widths = np.array([100 * each.get(kind, 0.0) for each in shares])
        ax.barh(rows, widths, 0.5, left, color=shade)
        left += widths
    ax.barh(rows, 100 - left, 0.5, left, color=GRID)
    for row, name in zip(rows, names, strict=True):
        ax.text(0, row + 0.3, name, color=INK, va="bottom")
    ax.set(xlabel="% of the time of all operators", xlim=(0, 100), ylim=(0.5 - len(names), 0.75))
    ax.set_yticks([])
    items = [(shade, SQUARE, kind) for kind, shade in largest.items()]
    if (left < 99.95).any():
        items.append(("var(--line)", SQUARE, "others"))
    return svg(fig, "share of time of each type of operator") + _key(items)


def colour(index: int) -> str:
    """Of the artifact at this position in the report."""
    return COLOURS[index % len(COLOURS)]


def mark(index: int) -> str:
    """Matplotlib's name of the mark of the artifact at this position in the report."""
    return list(MARKS)[index % len(MARKS)]


def canvas(size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure in the page's ink and its axes; size in inches."""
    fig, (ax,) = figure(1, size)
    ax.set_facecolor("none")
    ax.grid(color=GRID, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(which="both", colors=INK)
    for spine in ax.spines.values():
        spine.set_color(INK)
    ax.xaxis.label.set_color(INK)
    ax.yaxis.label.set_color(INK)
    return fig, ax


def _plain_ticks(axis: Any) -> None:
    """Numbers instead of powers of ten on a logarithmic axis, and some of them even where it spans no power of ten."""
    ticker = require("matplotlib.ticker", "bench")
    low, high = axis.get_view_interval()
    wide = high > DECADE * low
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)) if wide else ticker.MaxNLocator(5))
    axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axis.set_minor_formatter(ticker.NullFormatter())


def svg(fig: Any, label: str) -> str:
    """The figure as markup that belongs into a page: no header, no links, no fixed size."""
    matplotlib = require("matplotlib", "bench")
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label, "font.family": ["sans-serif"]}):
        fig.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    content = buffer.getvalue()
    content = content[content.index("<svg") :]
    content = re.sub(r"<metadata>.*?</metadata>", "", content, flags=re.DOTALL)
    content = re.sub(r' (xmlns(:\w+)?|width|height)="[^"]*"', "", content, count=4)
    content = content.replace(INK, "var(--ink)").replace(GRID, "var(--line)")
    return content.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
