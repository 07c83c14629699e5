"""The pictures of an evaluation, as PNG files for use elsewhere; the page draws its own."""

from pathlib import Path

import numpy as np

from bctoolkit.data.corruptions.suite import SEVERITIES, display_name
from bctoolkit.evaluate.report import CorruptionAccuracy, Evaluation
from bctoolkit.rendering.plots import confusion_matrix, figure

__all__ = ["save_plots"]

COLOURS = {"mild": "#9ec5e8", "middle": "#3f87c4", "severe": "#12406f"}
"""One hue from light to dark: severities are an order."""


def save_plots(folder: Path, evaluation: Evaluation) -> None:
    """Write `confusion_matrix.png`, `reliability.png` and, after the corruption suite, `corruptions.png`."""
    title = f"{evaluation.subject}: {evaluation.count} {evaluation.images} images, accuracy {evaluation.accuracy:.2%}"
    confusion_matrix(folder / "confusion_matrix.png", np.array(evaluation.confusion), evaluation.labels, title)
    _reliability(folder / "reliability.png", evaluation)
    if evaluation.corruptions is not None:
        _corruptions(folder / "corruptions.png", evaluation, evaluation.corruptions)


def _reliability(path: Path, evaluation: Evaluation) -> None:
    """Accuracy by confidence, after Guo et al. 2017 (arXiv:1706.04599, figure 1), and the images in each bin."""
    fig, (ax, histogram) = figure(2, (10, 4.5))
    bins = [one for one in evaluation.reliability if one.count]
    width = evaluation.reliability[0].high - evaluation.reliability[0].low
    centres = [(one.low + one.high) / 2 for one in bins]
    ax.bar(centres, [one.accuracy for one in bins], width * 0.9, color=COLOURS["middle"])
    ax.plot([0, 1], [0, 1], "--", color="0.5", label="perfectly calibrated")
    ax.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1), title=f"ECE {evaluation.ece:.4f}")
    ax.legend()
    histogram.bar(centres, [one.count for one in bins], width * 0.9, color=COLOURS["mild"])
    histogram.set(xlabel="confidence", ylabel="images", xlim=(0, 1), title="images by confidence")
    fig.suptitle(evaluation.subject)
    fig.savefig(path, dpi=120)


def _corruptions(path: Path, evaluation: Evaluation, corruptions: dict[str, CorruptionAccuracy]) -> None:
    """One row per corruption, best mean on top, a dot for each severity."""
    fig, (ax,) = figure(1, (8, 1.5 + 0.32 * len(corruptions)))
    names = sorted(corruptions, key=lambda name: corruptions[name].mean)
    for severity, offset in zip(SEVERITIES, (0.2, 0, -0.2), strict=True):
        values = [getattr(corruptions[name], severity) for name in names]
        ax.plot(values, np.arange(len(names)) + offset, "o", markersize=5, color=COLOURS[severity], label=severity)
    ax.axvline(evaluation.accuracy, color="0.5", linestyle="--", label="clean")
    ax.set_yticks(range(len(names)), [display_name(name) for name in names])
    ax.set(xlabel="accuracy", xlim=(0, 1.02), title=f"{evaluation.subject}: mean {evaluation.corruption_mean:.2%}")
    ax.grid(alpha=0.3)
    fig.legend(loc="outside lower center", ncols=len(SEVERITIES) + 1)
    fig.savefig(path, dpi=120)
