"""Whether the numbers that a network computes with arrived, one by one.

One weight of a million hardly moves any answer, and rounding may hide it. But most arrays of a network arrive as they
are, in whatever layout, or scaled channel by channel; so an array that arrived all but for a few elements is damaged.
What arrives in no such way, as a kernel that a converter joined with another, is judged by the answers alone.
"""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Weights", "altered_constant", "altered_weight"]

Weights = Iterable[tuple[str, NDArray[Any]]]
"""Names of layers, each with one of its arrays."""

LEAST = 64
"""Elements of an array that can be recognized."""

FEW = 0.01
"""Share of an array's elements that may be damaged; where more differ it is another array."""

SAME = 1e-5
"""Relative difference of two scaled weights that rounding explains."""

SMALLEST = 1e-30
"""Of a weight whose factor can be told: a pruned one is zero."""

BLOCK = 2**20
"""Elements that are widened at a time, so that a large array is not held once more."""

BASES = 8
"""Rows of a kernel that the others are compared with."""


def altered_weight(before: Weights, after: Weights) -> str | None:
    """A layer some of whose weights are not what they were in the layer of the same name, in words; None if none is.

    Args:
        before: layers and their arrays.
        after: those of a form made from it, whose kernels may be scaled channel by channel.
    """
    arrays: dict[str, list[NDArray[Any]]] = {}
    for name, array in after:
        arrays.setdefault(name, []).append(array)
    for name, array in before:
        others = [other for other in arrays.get(name, ()) if other.size == array.size >= LEAST]
        if not others or any(_is_same(array, other) for other in others):
            continue
        for other in (other for other in others if other.shape == array.shape):
            differing = array != other
            if not 0 < np.count_nonzero(differing) <= _few(array):
                if _is_scaled(array, other):
                    continue
                differing = _unscaled(array, other)
            if 0 < np.count_nonzero(differing) <= _few(array):
                return _in_words(name, array, int(np.count_nonzero(differing)))
    return None


def altered_constant(before: Weights, constants: Iterable[NDArray[Any]]) -> str | None:
    """A layer some of whose weights are not what they were among the constants of a file, in words; None if none is.

    Args:
        before: layers and their arrays.
        constants: all float32 arrays of a file, in whatever layout.
    """
    arrivals: dict[int, dict[tuple[int, int], NDArray[Any]]] = {}
    for array in constants:
        arrivals.setdefault(array.size, {})[_fingerprint(array)] = array
    missing = [
        (name, array)
        for name, array in before
        if array.size >= LEAST and _fingerprint(array) not in arrivals.get(array.size, {})
    ]
    for name, array in missing:
        numbers, counts = np.unique(_bits(array), return_counts=True)
        if numbers.size < array.size // 2:
            continue  # too many equal numbers to know it again
        for other in arrivals.get(array.size, {}).values():
            others, other_counts = np.unique(_bits(other), return_counts=True)
            _, here, there = np.intersect1d(numbers, others, assume_unique=True, return_indices=True)
            absent = array.size - int(np.minimum(counts[here], other_counts[there]).sum())
            if 0 < absent <= _few(array):
                return _in_words(name, array, absent)
    return None


def _bits(array: NDArray[Any]) -> NDArray[np.uint32]:
    """The elements as integers, so that equal means equal bit by bit."""
    return np.ravel(array).astype(np.float32).view(np.uint32)


def _fingerprint(array: NDArray[Any]) -> tuple[int, int]:
    """Two sums over the elements that do not depend on their order."""
    bits = _bits(array)
    blocks = (bits[i : i + BLOCK].astype(np.uint64) for i in range(0, bits.size, BLOCK))
    squares = sum(int(np.dot(wide, wide)) for wide in blocks) % 2**64
    return int(bits.sum(dtype=np.uint64)), squares


def _is_same(array: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether the elements are the same, in whatever order."""
    return np.array_equal(np.ravel(array), np.ravel(other)) or _fingerprint(array) == _fingerprint(other)


def _few(array: NDArray[Any]) -> int:
    return max(1, int(FEW * array.size))


def _is_scaled(before: NDArray[Any], after: NDArray[Any]) -> bool:
    """Whether every element of a kernel is scaled as the others of its channels: a quick answer for most kernels."""
    if before.ndim < 2:
        return False
    with np.errstate(all="ignore"):
        ratio = after / before
        if before.ndim > 2 and np.prod(before.shape[:-2]) > 2:
            return bool((np.abs(ratio / ratio[:1, :1] - 1) < SAME).all())
        rows = ratio.reshape(-1, before.shape[-1])
        rows = rows / rows[:1]
        return bool((np.abs(rows / rows[:, :1] - 1) < SAME).all())


def _unscaled(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.bool_]:
    """The elements of a kernel that are not scaled as the others of their channels; all where none has the others'."""
    if before.ndim < 2:
        return np.ones(before.shape, np.bool_)
    before, after = before.astype(np.float64), after.astype(np.float64)
    spatial = int(np.prod(before.shape[:-2])) if before.ndim > 2 else 1
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(np.abs(before) > SMALLEST, after / before, np.nan)
        if spatial > 2:  # every input and output channel has one factor over the whole window
            return _departing(ratio.reshape(spatial, -1).T)
        return _not_a_product(ratio.reshape(-1, before.shape[-1]), _few(before))


def _not_a_product(ratio: NDArray[np.float64], few: int) -> NDArray[np.bool_]:
    """The elements of a matrix that are no factor of its row times a factor of its column; all where most are none.

    Each row divided by another is the same in every column. A row with zeros, or one that is damaged itself, does not
    tell about all, so several are tried.
    """
    result, untold = np.zeros(ratio.shape, np.bool_), ~np.isnan(ratio)
    told = False
    for base in ratio[:BASES]:
        quotient = ratio / base
        departing = _departing(quotient)
        if np.count_nonzero(departing) > few:
            continue
        result, untold, told = result | departing, untold & np.isnan(quotient), True
        if not untold.any():
            break
    return result if told else np.ones(ratio.shape, np.bool_)


def _departing(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The elements that are not as most of their row; not those of which nothing is known."""
    median = np.nanmedian if np.isnan(rows).any() else np.median
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a row of which nothing is known
        relative = rows / median(rows, axis=1, keepdims=True)
    return ~(np.isnan(relative) | (np.abs(relative - 1) < SAME))


def _in_words(name: str, array: NDArray[Any], count: int) -> str:
    return f"{count} of {array.size:,} weights of layer {name!r} are not what they were"
