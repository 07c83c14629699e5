"""The learning curve of a run."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from bctoolkit.rendering.plots import figure
from bctoolkit.run import EpochRow

__all__ = ["learning_curve"]


def learning_curve(path: Path, history: Sequence[EpochRow], title: str) -> None:
    """Loss and accuracy by epoch, train beside validation, with a line where a phase begins."""
    fig, axes = figure(2, (10, 4))
    epochs = [row.epoch for row in history]
    starts = [row.epoch for before, row in pairwise(history) if row.phase != before.phase]
    for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
        axis.plot(epochs, [getattr(row, name) for row in history], "o-", markersize=3, label="train")
        axis.plot(epochs, [getattr(row, f"val_{name}") for row in history], "o-", markersize=3, label="validation")
        for start in starts:
            axis.axvline(start - 0.5, color="0.6", linestyle=":")
        axis.set(xlabel="epoch", ylabel=name)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend()
    fig.suptitle(title)
    fig.savefig(path, dpi=120)
