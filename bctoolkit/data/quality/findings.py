"""Which images of a set are suspicious and why, and the rules that decide it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data.quality.duplicates import exact_copies, near_copies
from bctoolkit.data.quality.measures import Measures
from bctoolkit.data.quality.outliers import MIN_PICTURES, THRESHOLD, outlier_score

__all__ = ["REASONS", "Finding", "Findings", "Reason", "find"]

REPEATED = 20
"""Copies from which on one picture may be pollution for its number alone."""
TIMES_USUAL = 10
"""How many times more copies it must have than all but 5 % of the set's pictures; a set that was multiplied on purpose
is no pollution."""
PREVAILS = 0.9
"""Share of the images that must have one size before others count as odd."""


@dataclass(frozen=True)
class Reason:
    """Why images are flagged, and what cleaning does about it."""

    what: str
    dropped: bool
    """Whether cleaning leaves such images out by default."""
    spares_first: bool = False
    """Whether the first image of a finding stays when the others are left out."""


REASONS: dict[str, Reason] = {
    "unreadable": Reason("cannot be read: damaged, or of a kind that the input contract refuses", dropped=True),
    "repeated": Reason("one picture copied many times: no cell looks the same so often", dropped=True),
    "foreign": Reason("like no other picture of the set", dropped=True),
    "label-conflict": Reason("the same picture under different labels, of which at most one is right", dropped=True),
    "duplicate": Reason("the same pixels under the same label", dropped=True, spares_first=True),
    "near-duplicate": Reason("the same picture, saved again or resized", dropped=False, spares_first=True),
    "odd-size": Reason("of another size than nearly all others", dropped=False),
}
"""In order of precedence: an image is left out for the first that applies."""


@dataclass(frozen=True)
class Finding:
    """One suspicious image, or images that are suspicious together."""

    reason: str
    """One of `REASONS`."""
    why: str
    images: tuple[int, ...]
    """Positions in the set, in order."""
    score: float | None = None
    """Outlier score, where that is the reason."""


@dataclass(frozen=True)
class Findings:
    """Everything suspicious about a set."""

    findings: tuple[Finding, ...]
    """By reason, in the order of `REASONS`, those of most images first."""
    pictures: int
    """Different pictures: copies and near copies count once."""
    outliers_scored: bool
    """Whether there were enough pictures to tell foreign ones."""


def find(labels: NDArray[np.int64], measures: Measures) -> Findings:
    """Apply every rule to the N images that were measured.

    Args:
        labels: N, what each is filed under.
        measures: a row for each of N images.
    """
    readable = measures.readable
    exact = exact_copies(measures.hashes[readable])
    first = np.unique(exact, return_index=True)[1]
    picture = near_copies(measures.coarse[readable[first]])[exact] if len(readable) else exact
    groups = _groups(readable, picture)
    representatives = np.array([group[0] for group in groups], np.int64)
    enough = len(groups) >= MIN_PICTURES
    scores = outlier_score(measures.features[representatives]) if enough else np.zeros(len(groups))
    copies = dict(zip(readable.tolist(), exact.tolist(), strict=True))
    findings = [
        *_unreadable(measures),
        *_pictures(groups, scores, labels, copies),
        *_odd_sizes(measures),
    ]
    order = list(REASONS)
    ranked = sorted(findings, key=lambda f: (order.index(f.reason), -len(f.images), -(f.score or 0)))
    return Findings(tuple(ranked), len(groups), enough)


def _groups(positions: NDArray[np.int64], group: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The positions of each group, in order."""
    by_group = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[by_group])) + 1
    return [part for part in np.split(positions[by_group], starts) if len(part)]


def _unreadable(measures: Measures) -> Iterator[Finding]:
    for index, problem in measures.problems.items():
        yield Finding("unreadable", problem, (index,))


def _odd_sizes(measures: Measures) -> Iterator[Finding]:
    readable = measures.readable
    sizes, counts = np.unique(measures.sizes[readable], axis=0, return_counts=True)
    if not len(counts) or counts.max() < PREVAILS * len(readable):
        return
    usual = sizes[counts.argmax()]
    for index in readable[(measures.sizes[readable] != usual).any(1)].tolist():
        width, height = measures.sizes[index]
        yield Finding("odd-size", f"{width}×{height} pixels, usual are {usual[0]}×{usual[1]}", (index,))


def _pictures(
    groups: list[NDArray[np.int64]], scores: NDArray[np.float64], labels: NDArray[np.int64], copies: dict[int, int]
) -> Iterator[Finding]:
    """What is suspicious about each picture with all its copies.

    Args:
        groups: positions of the images of each picture.
        scores: outlier score of each picture.
        labels: of all images.
        copies: position → number of its group of exact copies.
    """
    usual = np.quantile([len(group) for group in groups], 0.95) if groups else 0
    many = max(REPEATED, TIMES_USUAL * usual)
    for group, score in zip(groups, scores.tolist(), strict=True):
        images = tuple(group.tolist())
        if len(images) >= many:
            yield Finding("repeated", f"{len(images)} copies of one picture", images)
        elif score > THRESHOLD:
            yield Finding("foreign", f"outlier score {score:.1f}, threshold {THRESHOLD}", images, score)
        elif len(images) > 1:
            yield from _copies(images, labels, copies)


def _copies(images: tuple[int, ...], labels: NDArray[np.int64], copies: dict[int, int]) -> Iterator[Finding]:
    """Copies of a picture that belongs to the set."""
    if len(np.unique(labels[list(images)])) > 1:
        yield Finding("label-conflict", f"{len(images)} copies under different labels", images)
        return
    exact: dict[int, list[int]] = {}
    for index in images:
        exact.setdefault(copies[index], []).append(index)
    for same in exact.values():
        if len(same) > 1:
            yield Finding("duplicate", f"{len(same)} times the same pixels", tuple(same))
    if len(exact) > 1:
        versions = tuple(same[0] for same in exact.values())
        yield Finding("near-duplicate", f"{len(versions)} versions of one picture", versions)
