"""Corruption parity: does an artifact lose more than its float form where the images are bad?"""

from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from bctoolkit.bench.documents.judgements import Robustness, UnderCorruption
from bctoolkit.bench.documents.predictions import LabelledPredictions, Predictions
from bctoolkit.bundle import Bundle
from bctoolkit.data.corruptions.suite import CORRUPTIONS, SEVERITIES, SUITE
from bctoolkit.data.dataset import positions
from bctoolkit.statistics import paired
from bctoolkit.statistics.clustered import taken

__all__ = ["FLOAT", "robustness_by_target"]

FLOAT = ("fp32", "fp16-weights", "fp16")
"""Quantizations that can be a baseline, the most precise first."""

Right = NDArray[np.bool_]


class SuiteDecisions(NamedTuple):
    """What a bundle got right of the N images that went through the suite."""

    hashes: NDArray[np.uint8]
    clean: Right
    """N: on the images as they are."""
    corrupted: Right
    """N × corruptions × severities."""
    groups: NDArray[np.int64] | None
    """N: numbers of groups, where they are known."""

    def take(self, index: NDArray[np.int64]) -> "SuiteDecisions":
        """The same of some of the images."""
        groups = taken(self.groups, index)
        return SuiteDecisions(self.hashes[index], self.clean[index], self.corrupted[index], groups)


def robustness_by_target(targets: dict[str, tuple[Bundle, Predictions]]) -> dict[str, Robustness]:
    """The robustness of each target that ran through the suite, relative to the most precise one of the same network.

    On a device there is no Keras, so the float form is a bundle too.

    Args:
        targets: the bundles in one engine on one provider with their predictions, by key.
    """
    decisions = {key: each for key, (_, predictions) in targets.items() if (each := _decisions(predictions.labelled))}
    bundles = {key: targets[key][0] for key in decisions}
    robustness = {}
    for key, own in decisions.items():
        baseline = _float_form(key, bundles)
        index = np.empty(0, np.int64) if baseline is None else positions(own.hashes, decisions[baseline].hashes)
        common = np.flatnonzero(index >= 0)
        if baseline is None or common.size == 0:
            robustness[key] = _alone(own)
        else:
            name = bundles[baseline].manifest.name
            robustness[key] = _relative(own.take(common), decisions[baseline].take(index[common]), name)
    return robustness


def _decisions(predictions: LabelledPredictions | None) -> SuiteDecisions | None:
    if predictions is None or predictions.sample is None or predictions.corrupted is None:
        return None
    sample = predictions.sample
    labels, groups = predictions.labels[sample], taken(predictions.groups, sample)
    clean = predictions.observed[sample].argmax(1) == labels
    corrupted = predictions.corrupted == labels[:, None, None]
    return SuiteDecisions(predictions.hashes[sample], clean, corrupted, groups)


def _float_form(key: str, bundles: dict[str, Bundle]) -> str | None:
    """The most precise bundle of the same network, of the same format if there is one; None if none is above it."""
    own = bundles[key].manifest
    above = FLOAT[: FLOAT.index(own.quantization)] if own.quantization in FLOAT else FLOAT
    order = [
        (above.index(manifest.quantization), manifest.format != own.format, number, other)
        for number, (other, bundle) in enumerate(bundles.items())
        if (manifest := bundle.manifest).quantization in above
        and manifest.source.model_sha256 == own.source.model_sha256 != ""
    ]
    return min(order)[-1] if order else None


def _alone(own: SuiteDecisions) -> Robustness:
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


def _relative(own: SuiteDecisions, baseline: SuiteDecisions, name: str) -> Robustness:
    """Each image is one observation, however many corruptions it recurs in."""
    lost = (baseline.corrupted.astype(np.float64) - own.corrupted).mean((1, 2))
    clean = baseline.clean.astype(np.float64) - own.clean
    alone = _alone(own)
    return replace(
        alone,
        baseline=name,
        drop=float(lost.mean()),
        drop_ci95=paired.paired_mean_interval(lost, 1 / own.corrupted[0].size, own.groups),
        clean_drop=float(clean.mean()),
        relative_corruption_drop=float((lost - clean).mean()),
        relative_corruption_drop_ci95=paired.paired_mean_interval(lost - clean, 1.0, own.groups),
        corruptions={
            corruption: {
                severity: _relative_cell(
                    cell, baseline.corrupted[:, row, column], own.corrupted[:, row, column], own.groups
                )
                for column, (severity, cell) in enumerate(cells.items())
            }
            for row, (corruption, cells) in enumerate(alone.corruptions.items())
        },
    )


def _relative_cell(
    cell: UnderCorruption, float_right: Right, right: Right, groups: NDArray[np.int64] | None
) -> UnderCorruption:
    return replace(
        cell,
        float_accuracy=float(float_right.mean()),
        change=paired.paired_change(float_right, right, groups),
        mcnemar_p=paired.mcnemar(float_right, right, groups),
    )
