"""The pictures of a run: learning curve and confusion matrix."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bctoolkit.lazy import require

__all__ = ["confusion_matrix", "learning_curve"]


def learning_curve(path: Path, history: list[dict[str, Any]], title: str) -> None:
    """Loss and accuracy by epoch, train beside validation, with a line where a phase begins."""
    figure, axes = _figure(2, (10, 4))
    epochs = [row["epoch"] for row in history]
    starts = [row["epoch"] for before, row in pairwise(history) if row["phase"] != before["phase"]]
    for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
        axis.plot(epochs, [row[name] for row in history], "o-", markersize=3, label="train")
        axis.plot(epochs, [row[f"val_{name}"] for row in history], "o-", markersize=3, label="validation")
        for start in starts:
            axis.axvline(start - 0.5, color="0.6", linestyle=":")
        axis.set(xlabel="epoch", ylabel=name)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def confusion_matrix(path: Path, counts: NDArray[np.int64], labels: tuple[str, ...], title: str) -> None:
    """Counts in cells, coloured by the share of the true class."""
    side = max(5.0, 0.8 * len(labels) + 2)
    figure, (axis,) = _figure(1, (side, side))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(labels))
    axis.set(xlabel="predicted", ylabel="true", title=title)
    axis.set_xticks(ticks, labels, rotation=45, ha="right")
    axis.set_yticks(ticks, labels)
    for row in ticks:
        for column in ticks:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=9)
    figure.savefig(path, dpi=120)


def _figure(columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure that belongs to no window system and to no global state."""
    figure = require("matplotlib.figure", "train").Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]
