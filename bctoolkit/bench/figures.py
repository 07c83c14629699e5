"""The report's plots as SVG inside the page: text stays text, and the ink follows light and dark."""

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.choose import front
from bctoolkit.lazy import require
from bctoolkit.plots import figure

__all__ = ["COLOURS", "canvas", "latencies", "legend", "lost_by_corruption", "operators", "pareto", "sessions", "svg"]

Samples = NDArray[np.float64]

INK, GRID = "#010203", "#010204"
"""Stand-ins that the page's own colours replace."""
COLOURS = ("#3f87c4", "#d9822b", "#3a9a5b", "#b04a9a", "#8a6fd1", "#c0504d", "#7a8a2a", "#2a9a9a")
MARKS = "osD^vPX*"
POINTS = 400
"""Of each distribution's curve."""


def pareto(names: Sequence[str], accuracy: Sequence[float], p50: Sequence[float], megabytes: Sequence[float]) -> str:
    """Accuracy by latency; the area of a mark is the size of the file, a filled one lies on the Pareto front."""
    drawn, (axis,) = canvas(1, (8, 4.2))
    shown = front([(-a, t, m) for a, t, m in zip(accuracy, p50, megabytes, strict=True)])
    largest = max(megabytes)
    for place, name in enumerate(names):
        colour = COLOURS[place % len(COLOURS)]
        axis.scatter(
            p50[place],
            100 * accuracy[place],
            s=60 + 500 * megabytes[place] / largest,
            facecolors=colour if shown[place] else "none",
            edgecolors=colour,
            linewidths=1.8,
            alpha=0.85,
            label=f"{name}, {megabytes[place]:.1f} MB",
        )
    axis.set(xlabel="p50 of the model alone, ms", ylabel="accuracy or agreement, %")
    axis.margins(0.15)
    legend(axis)
    return svg(drawn, "accuracy, latency and size of each artifact")


def latencies(names: Sequence[str], samples: Sequence[list[Samples]]) -> str:
    """The share of runs that took at most so long, over all sessions."""
    drawn, (axis,) = canvas(1, (8, 4.2))
    for place, (name, of_sessions) in enumerate(zip(names, samples, strict=True)):
        ordered = np.sort(np.concatenate(of_sessions))
        shares = np.linspace(0, 1, min(POINTS, len(ordered)))
        axis.plot(np.quantile(ordered, shares), 100 * shares, color=COLOURS[place % len(COLOURS)], label=name)
    axis.set(xscale="log", xlabel="ms per run, model alone", ylabel="% of runs", ylim=(0, 100))
    _plain_ticks(axis.xaxis)
    legend(axis)
    return svg(drawn, "cumulative distribution of each artifact's latency")


def sessions(names: Sequence[str], samples: Sequence[list[Samples]]) -> str:
    """Each session's median in the order of the turns, with the middle half of its runs."""
    drawn, (axis,) = canvas(1, (8, 4.2))
    for place, (name, of_sessions) in enumerate(zip(names, samples, strict=True)):
        low, middle, high = np.array([np.percentile(session, (25, 50, 75)) for session in of_sessions]).T
        turns = np.arange(1, len(of_sessions) + 1) + (place - len(names) / 2) * 0.06
        axis.errorbar(
            turns,
            middle,
            yerr=(middle - low, high - middle),
            fmt=MARKS[place % len(MARKS)],
            color=COLOURS[place % len(COLOURS)],
            capsize=3,
            label=name,
        )
    axis.set(yscale="log", xlabel="turn", ylabel="ms per run, model alone")
    axis.xaxis.get_major_locator().set_params(integer=True)
    _plain_ticks(axis.yaxis)
    legend(axis)
    return svg(drawn, "median latency of each session")


def lost_by_corruption(lost: dict[str, dict[str, float]]) -> str:
    """Points of accuracy that each bundle loses under each corruption, a share by bundle and corruption."""
    rows = list(next(iter(lost.values())))
    drawn, (axis,) = canvas(1, (8, 1.4 + 0.24 * len(rows)))
    for place, (name, drops) in enumerate(lost.items()):
        axis.plot(
            [100 * drops[row] for row in rows],
            range(len(rows)),
            MARKS[place % len(MARKS)],
            color=COLOURS[place % len(COLOURS)],
            alpha=0.85,
            label=name,
        )
    axis.axvline(0, color=INK, linewidth=0.8)
    low, high = axis.get_xlim()
    axis.set_xlim(min(low, -1), max(high, 1))  # a tenth of a point must not look like a landslide
    axis.set_yticks(range(len(rows)), rows)
    axis.invert_yaxis()
    axis.set(xlabel="points lost against the float bundle, mean of three severities")
    legend(axis)
    return svg(drawn, "points lost under each corruption")


def operators(names: Sequence[str], shares: Sequence[dict[str, float]]) -> str:
    """One bar for each result: the share of its time that each type of operator takes."""
    most = {kind: max(one.get(kind, 0.0) for one in shares) for one in shares for kind in one}
    shown = sorted(most, key=lambda kind: -most[kind])[: len(COLOURS)]
    drawn, (axis,) = canvas(1, (8, 1.6 + 0.75 * len(names) + 0.14 * len(shown)))
    places, left = -np.arange(len(names), dtype=np.float64), np.zeros(len(names))
    for colour, kind in zip(COLOURS, shown, strict=False):
        widths = np.array([100 * one.get(kind, 0.0) for one in shares])
        axis.barh(places, widths, 0.5, left, color=colour, label=kind)
        left += widths
    if (left < 99.95).any():
        axis.barh(places, 100 - left, 0.5, left, color=GRID, label="others")
    for place, name in zip(places, names, strict=True):
        axis.text(0, place + 0.3, name, color=INK, va="bottom")
    axis.set(xlabel="% of the time of all operators", xlim=(0, 100), ylim=(0.5 - len(names), 0.75))
    axis.set_yticks([])
    legend(axis, below=-0.55 / (0.75 * len(names)))
    return svg(drawn, "share of time of each type of operator")


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


def legend(axis: Any, below: float = -0.16) -> None:
    """The legend under the plot, so far below it in heights of the axis."""
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, below), ncols=2, frameon=False, labelcolor=INK)


def _plain_ticks(axis: Any) -> None:
    """Numbers instead of powers of ten on a logarithmic axis."""
    ticker = require("matplotlib.ticker", "bench")
    axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axis.set_minor_formatter(ticker.LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.5)))


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
