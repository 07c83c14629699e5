"""What float32 can hold of a network, and with it how far another float32 form of it may be from the exact answers.

Two programs that compute one network in float32 add in other orders, so they differ, by as much as the network is badly
conditioned: by a few units in the last place or by a thousand. So none is judged by its distance from another. Each is
judged by its distance from the same network in float64, beside the distance of the float32 reference: an honest form is
about as far away as the reference is, whatever the network, and a fault that is larger than rounding is farther away.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents.formats import QUANTIZATIONS, Tolerance
from bctoolkit.manifest import Float32Error
from bctoolkit.statistics import metrics
from bctoolkit.statistics.metrics import Probabilities

__all__ = ["FACTOR", "Conditioning", "Limits", "conditioning"]

FACTOR = 8.0
"""How many times as far from the exact answers as the reference a form may be, on the median image.

TensorFlow adds up pairwise what both engines add up one after the other: the mean of a map of 96 × 96 pixels is five
times as far from exact there.
"""

SPREAD = 2.0
"""What chance adds to that on the worst of a few images, and once more on the worst of many."""


SUSPECT = 1e-4
"""Error of the reference from which on other rounding has to confirm that float32 holds no more."""

SUSPECT_FACTOR = 10.0
"""How many times larger than what other rounding changes it may be."""


@dataclass(frozen=True)
class Limits:
    """How far a variant may be from the one before."""

    tolerance: Tolerance
    logit_error: float
    """In RMS over all images."""


@dataclass(frozen=True)
class Conditioning:
    """A network's exact answers on a few images, and how far its float32 reference is from them."""

    method: Literal["float64", "rounding"]
    """What stands for exact: the network in float64, or the reference, whose error is then what rounding changes."""
    expected: NDArray[np.float64]
    """N × classes."""
    images: NDArray[np.intp]
    """N: which of the check images they are."""
    reference: Float32Error
    """Of the float32 reference."""

    def error(self, observed: Probabilities) -> Float32Error:
        """How far the probabilities of the same images, N × classes, are from the exact ones."""
        return _error(self.expected, observed)

    @property
    def limit(self) -> Float32Error:
        """The largest error of a float32 form."""
        least, own = QUANTIZATIONS["fp32"], self.reference
        return Float32Error(
            typical=max(least.logit_error, FACTOR * own.typical),
            worst=SPREAD * max(least.logit_error, FACTOR * own.worst),
            max_abs_diff=max(least.tolerance.max_abs_diff, SPREAD * FACTOR * own.max_abs_diff),
        )

    @property
    def between(self) -> Limits:
        """How far two float32 forms may be from each other on any images: each by its own error, on either side."""
        least, own = QUANTIZATIONS["fp32"], self.reference
        factor = (SPREAD * FACTOR + 1) * SPREAD
        widest = max(least.tolerance.max_abs_diff, factor * own.max_abs_diff)
        mean = least.tolerance.mean_abs_diff * widest / least.tolerance.max_abs_diff
        tolerance = Tolerance(widest, mean, least.tolerance.top1_agreement)
        return Limits(tolerance, max(2 * SPREAD * least.logit_error, factor * own.worst))

    def violations(self, observed: Probabilities) -> list[str]:
        """What of `limit` the probabilities N × classes break, in words; empty where all holds."""
        error, limit, own = self.error(observed), self.limit, self.reference
        against = "float64" if self.method == "float64" else "the reference"
        return [
            f"{name} {value:.1e} from {against} > {most:.1e} (float32 Keras: {reference:.1e})"
            for name, value, most, reference in (
                ("logit error", error.typical, limit.typical, own.typical),
                ("logit error of the worst image", error.worst, limit.worst, own.worst),
                ("|Δp|", error.max_abs_diff, limit.max_abs_diff, own.max_abs_diff),
            )
            if value > most
        ]


def conditioning(
    reference: Probabilities,
    float64: NDArray[np.float64] | None,
    rounded: Callable[[], Probabilities],
    images: NDArray[np.intp],
) -> Conditioning:
    """The conditioning of a network from its answers to the same few images, all N × classes.

    Where float32 seems to hold little, other rounding has to confirm it: float64 computed wrongly would let any fault
    pass.

    Args:
        reference: in float32.
        float64: in float64; None where it cannot be computed.
        rounded: computes them in float32 with other rounding.
        images: which of the check images they are.
    """
    if float64 is not None:
        exact = Conditioning("float64", float64, images, _error(float64, reference))
        if exact.reference.typical <= SUSPECT:
            return exact
    expected = reference.astype(np.float64)
    other = Conditioning("rounding", expected, images, _error(expected, rounded()))
    if float64 is not None and exact.reference.typical <= SUSPECT_FACTOR * other.reference.typical:
        return exact
    return other


def _error(expected: NDArray[np.float64], observed: Probabilities) -> Float32Error:
    errors = metrics.logit_errors(expected, observed)
    return Float32Error(
        typical=float(np.median(errors)),
        worst=float(errors.max()),
        max_abs_diff=float(np.abs(observed - expected).max()),
    )
