"""What the pictures of several commands share: a figure without a window, and the confusion matrix."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.lazy import require

__all__ = ["confusion_matrix", "figure"]


def confusion_matrix(path: Path, counts: NDArray[np.int64], labels: tuple[str, ...], title: str) -> None:
    """Counts in cells, coloured by the share of the true class."""
    side = max(5.0, 0.8 * len(labels) + 2)
    fig, (ax,) = figure(1, (side, side))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(labels))
    ax.set(xlabel="predicted", ylabel="true", title=title)
    ax.set_xticks(ticks, labels, rotation=45, ha="right")
    ax.set_yticks(ticks, labels)
    for row in ticks:
        for column in ticks:
            colour = "white" if shares[row, column] > 0.5 else "black"
            ax.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=9)
    fig.savefig(path, dpi=120)


def figure(columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure with a row of axes that belongs to no window system and to no global state; size in inches.

    Names with dollars are text there, not formulas.
    """
    require("matplotlib", "bench").rcParams["text.parse_math"] = False
    fig = require("matplotlib.figure", "bench").Figure(figsize=size, layout="constrained")
    return fig, fig.subplots(1, columns, squeeze=False)[0]
