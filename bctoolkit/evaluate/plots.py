"""The pictures of an evaluation, as PNG files for use elsewhere; the page draws its own."""

from pathlib import Path

import numpy as np

from bctoolkit.data.corruptions.suite import SEVERITIES
from bctoolkit.evaluate.report import Corrupted, Evaluation
from bctoolkit.rendering.plots import confusion_matrix, figure

__all__ = ["draw_all"]

COLOURS = {"mild": "#9ec5e8", "middle": "#3f87c4", "severe": "#12406f"}
"""One hue from light to dark: severities are an order."""


def draw_all(folder: Path, found: Evaluation) -> None:
    """Write `confusion_matrix.png`, `reliability.png` and, after the corruption suite, `corruptions.png`."""
    title = f"{found.subject}: {found.count} {found.images} images, accuracy {found.accuracy:.2%}"
    confusion_matrix(folder / "confusion_matrix.png", np.array(found.confusion), found.labels, title)
    _reliability(folder / "reliability.png", found)
    if found.corruptions is not None:
        _corruptions(folder / "corruptions.png", found, found.corruptions)


def _reliability(path: Path, found: Evaluation) -> None:
    """Accuracy by confidence, after Guo et al. 2017 (arXiv:1706.04599, figure 1), above where the images lie."""
    drawn, (axis, below) = figure(2, (10, 4.5))
    filled = [part for part in found.reliability if part.count]
    width = found.reliability[0].high - found.reliability[0].low
    centres = [(part.low + part.high) / 2 for part in filled]
    axis.bar(centres, [part.accuracy for part in filled], width * 0.9, color=COLOURS["middle"])
    axis.plot([0, 1], [0, 1], "--", color="0.5", label="perfectly calibrated")
    axis.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1), title=f"ECE {found.ece:.4f}")
    axis.legend()
    below.bar(centres, [part.count for part in filled], width * 0.9, color=COLOURS["mild"])
    below.set(xlabel="confidence", ylabel="images", xlim=(0, 1), title="where the images lie")
    drawn.suptitle(found.subject)
    drawn.savefig(path, dpi=120)


def _corruptions(path: Path, found: Evaluation, corruptions: dict[str, Corrupted]) -> None:
    """One row per corruption, best mean on top, a dot for each severity."""
    drawn, (axis,) = figure(1, (8, 1.5 + 0.32 * len(corruptions)))
    names = sorted(corruptions, key=lambda name: corruptions[name].mean)
    for severity, lift in zip(SEVERITIES, (0.2, 0, -0.2), strict=True):
        values = [getattr(corruptions[name], severity) for name in names]
        axis.plot(values, np.arange(len(names)) + lift, "o", markersize=5, color=COLOURS[severity], label=severity)
    axis.axvline(found.accuracy, color="0.5", linestyle="--", label="clean")
    axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axis.set(xlabel="accuracy", xlim=(0, 1.02), title=f"{found.subject}: mean {found.corruption_mean:.2%}")
    axis.grid(alpha=0.3)
    drawn.legend(loc="outside lower center", ncols=len(SEVERITIES) + 1)
    drawn.savefig(path, dpi=120)
