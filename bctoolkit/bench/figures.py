"""The report's plots as SVG inside the page: text stays text, and the ink follows light and dark."""

import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bench.choose import front
from bctoolkit.lazy import require
from bctoolkit.plots import figure

__all__ = ["key", "latencies", "pareto", "sessions"]

Samples = NDArray[np.float64]

INK, GRID = "#010203", "#010204"
"""Stand-ins that the page's own colours replace."""
COLOURS = ("#3f87c4", "#d9822b", "#3a9a5b", "#b04a9a", "#8a6fd1", "#c0504d", "#7a8a2a", "#2a9a9a")
MARKS = {"o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼", "P": "✚", "X": "✖", "*": "★"}
"""How matplotlib calls a mark, and the same as a character."""
SIZE = (4.6, 3.2)
"""Inches: on a phone's screen the letters are still as large as text."""
DECADE = 10
POINTS = 400
"""Of each distribution's curve."""


def key(names: Sequence[str]) -> str:
    """Which mark and colour belongs to which of the artifacts, as markup: text that wraps where a plot's would not."""
    items = []
    for place, name in enumerate(names):
        mark = f'<span style="color:{_colour(place)}">{MARKS[_mark(place)]}</span>'
        items.append(f"<li>{mark} {escape(name)}</li>")
    return f'<ul class="key">{"".join(items)}</ul>'


def pareto(accuracy: Sequence[float], p50: Sequence[float], megabytes: Sequence[float]) -> str:
    """Accuracy by latency; the area of a mark is the size of the file, a filled one lies on the Pareto front."""
    drawn, (axis,) = _figure(1, SIZE)
    shown = front([(-a, t, m) for a, t, m in zip(accuracy, p50, megabytes, strict=True)])
    largest = max(megabytes)
    for place, on_front in enumerate(shown):
        axis.scatter(
            p50[place],
            100 * accuracy[place],
            s=30 + 220 * megabytes[place] / largest,
            marker=_mark(place),
            facecolors=_colour(place) if on_front else "none",
            edgecolors=_colour(place),
            linewidths=1.8,
            alpha=0.85,
            clip_on=False,
        )
    axis.set(xlabel="p50 of the model alone, ms", ylabel="accuracy or agreement, %")
    low, high = 100 * min(accuracy), 100 * max(accuracy)
    margin = 0.5 + 0.15 * (high - low)
    axis.set(xlim=(0, 1.15 * max(p50)), ylim=(low - margin, min(high + margin, 100)))
    return _svg(drawn, "accuracy, latency and size of each artifact")


def latencies(samples: Sequence[list[Samples]]) -> str:
    """The share of runs that took at most so long, over all sessions."""
    drawn, (axis,) = _figure(1, SIZE)
    for place, of_sessions in enumerate(samples):
        ordered = np.sort(np.concatenate(of_sessions))
        shares = np.linspace(0, 1, min(POINTS, len(ordered)))
        axis.plot(
            np.quantile(ordered, shares),
            100 * shares,
            color=_colour(place),
            marker=_mark(place),
            markersize=4.5,
            markevery=(0.02 * place, 0.2),
        )
    axis.set(xscale="log", xlabel="ms per run, model alone", ylabel="% of runs", ylim=(0, 100))
    _plain_ticks(axis.xaxis)
    return _svg(drawn, "cumulative distribution of each artifact's latency")


def sessions(samples: Sequence[list[Samples]]) -> str:
    """Each session's median in the order of the turns, with the middle half of its runs."""
    drawn, (axis,) = _figure(1, SIZE)
    for place, of_sessions in enumerate(samples):
        low, middle, high = np.array([np.percentile(session, (25, 50, 75)) for session in of_sessions]).T
        turns = np.arange(1, len(of_sessions) + 1) + (place - (len(samples) - 1) / 2) * 0.08
        axis.errorbar(
            turns, middle, yerr=(middle - low, high - middle), fmt=_mark(place), color=_colour(place), capsize=3
        )
    axis.set(yscale="log", xlabel="turn", ylabel="ms per run, model alone")
    axis.xaxis.get_major_locator().set_params(integer=True)
    _plain_ticks(axis.yaxis)
    return _svg(drawn, "median latency of each session")


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _mark(place: int) -> str:
    return list(MARKS)[place % len(MARKS)]


def _figure(columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
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


def _svg(drawn: Any, words: str) -> str:
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
