"""Corruption parity: does an artifact lose more than its float form where the images are bad?"""

from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from bctoolkit.bench.documents.predictions import Answered, LabelledAnswers
from bctoolkit.bench.documents.report import Robustness, UnderCorruption
from bctoolkit.bundle import Bundle
from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES, SUITE
from bctoolkit.data.dataset import positions
from bctoolkit.statistics import paired

__all__ = ["judge_all"]

FLOAT = ("fp32", "fp16-weights", "fp16")
"""Quantizations that others are held against, the most precise first."""

Right = NDArray[np.bool_]


class Tried(NamedTuple):
    """What a bundle got right of the N images that went through the suite."""

    hashes: NDArray[np.uint8]
    clean: Right
    """N: on the images as they are."""
    corrupted: Right
    """N × corruptions × severities."""

    def take(self, index: NDArray[np.int64]) -> "Tried":
        """The same of some of the images."""
        return Tried(self.hashes[index], self.clean[index], self.corrupted[index])


def judge_all(opened: list[Bundle], answered: dict[int, Answered]) -> dict[int, Robustness]:
    """What each bundle that ran through the suite bears, beside the most precise bundle of the same network.

    On a device there is no Keras, so the float form is a bundle too.

    Args:
        opened: the bundles.
        answered: their answers, by their positions among the bundles.
    """
    tried = {number: found for number, answers in answered.items() if (found := _tried(answers.labelled)) is not None}
    robust = {}
    for number, own in tried.items():
        other = _float_form(number, opened, list(tried))
        place = np.empty(0, np.int64) if other is None else positions(own.hashes, tried[other].hashes)
        common = np.flatnonzero(place >= 0)
        if other is None or common.size == 0:
            robust[number] = _alone(own)
        else:
            name = opened[other].manifest.name
            robust[number] = _against(own.take(common), tried[other].take(place[common]), name)
    return robust


def _tried(answers: LabelledAnswers | None) -> Tried | None:
    if answers is None or answers.sample is None or answers.corrupted is None:
        return None
    labels = answers.labels[answers.sample]
    clean = answers.observed[answers.sample].argmax(1) == labels
    return Tried(answers.hashes[answers.sample], clean, answers.corrupted == labels[:, None, None])


def _float_form(number: int, opened: list[Bundle], others: list[int]) -> int | None:
    """The most precise bundle of the same network, of the same format if there is one; None if none is above it."""
    own = opened[number].manifest
    above = FLOAT[: FLOAT.index(own.quantization)] if own.quantization in FLOAT else FLOAT
    order = [
        (above.index(manifest.quantization), manifest.format != own.format, other)
        for other in others
        if (manifest := opened[other].manifest).quantization in above
        and manifest.source.model_sha256 == own.source.model_sha256 != ""
    ]
    return min(order)[2] if order else None


def _alone(own: Tried) -> Robustness:
    return Robustness(
        suite=SUITE,
        count=len(own.clean),
        clean_accuracy=float(own.clean.mean()),
        accuracy=float(own.corrupted.mean()),
        corruptions={
            name: {
                severity: UnderCorruption(float(own.corrupted[:, row, column].mean()))
                for column, severity in enumerate(SEVERITIES)
            }
            for row, name in enumerate(CORRUPTIONS)
        },
    )


def _against(own: Tried, other: Tried, name: str) -> Robustness:
    """Each image is one observation, however many corruptions it recurs in."""
    lost = (other.corrupted.astype(np.float64) - own.corrupted).mean((1, 2))
    clean = other.clean.astype(np.float64) - own.clean
    alone = _alone(own)
    return replace(
        alone,
        against=name,
        drop=float(lost.mean()),
        drop_ci95=paired.mean_limits(lost, 1 / own.corrupted[0].size),
        clean_drop=float(clean.mean()),
        excess=float((lost - clean).mean()),
        excess_ci95=paired.mean_limits(lost - clean, 1.0),
        corruptions={
            corruption: {
                severity: _beside(cell, other.corrupted[:, row, column], own.corrupted[:, row, column])
                for column, (severity, cell) in enumerate(cells.items())
            }
            for row, (corruption, cells) in enumerate(alone.corruptions.items())
        },
    )


def _beside(cell: UnderCorruption, float_right: Right, right: Right) -> UnderCorruption:
    return replace(
        cell,
        float_accuracy=float(float_right.mean()),
        loss=paired.loss(float_right, right),
        mcnemar_p=paired.mcnemar(float_right, right),
    )
