"""How far a picture's features are from those of stored ones: the distance to the third nearest.

A picture has neighbours or it has none, however many kinds there are: a distance from the mean would punish a small
group that lies far out, such as a second microscope (Sun and others 2022, arXiv:2204.06507, on deep features).
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bctoolkit.statistics.image_features import Features

__all__ = ["NEAREST", "Distances", "Neighbours"]

NEAREST = 3
"""Which of the nearest counts: one alone may be an oddity itself."""

LEAST_SPREAD = 0.1
"""Spread that counts for any smaller one, in grey levels or e-folds: what hardly varied may still vary a little."""

Distances = NDArray[np.float32]
"""N."""


class Neighbours:
    """Stored pictures, by their features."""

    def __init__(self, features: Features) -> None:
        """Take N × F features, N > `NEAREST`; each is measured in standard deviations of its own."""
        self._scale = 1 / np.maximum(features.std(0), LEAST_SPREAD)
        self._centre = features.mean(0)
        self._points = self._standardized(features)
        self._squares = (self._points**2).sum(1)

    def distances(self, features: Features) -> Distances:
        """Of M × F features, each to the `NEAREST`-th of the stored."""
        return self._nearest(self._standardized(features), NEAREST)

    @cached_property
    def among_themselves(self) -> Distances:
        """Of the stored ones, each to the `NEAREST`-th of the others."""
        return self._nearest(self._points, NEAREST + 1)

    def _standardized(self, features: Features) -> Features:
        points: Features = (features - self._centre) * self._scale
        return points

    def _nearest(self, points: Features, rank: int) -> Distances:
        squared = self._squares - (2 * points) @ self._points.T
        squared.partition(rank - 1)
        own = np.einsum("nf,nf->n", points, points)
        distances: Distances = np.sqrt(np.maximum(squared[:, rank - 1] + own, 0))
        return distances
