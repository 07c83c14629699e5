"""`Finding`: what is suspicious about which images, and the rules that decide it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bctoolkit.data.quality.duplicates import exact_copies, near_copies
from bctoolkit.data.quality.measures import Measures
from bctoolkit.data.quality.outliers import FEWEST, LIMIT, oddness
from bctoolkit.data.sources.collection import Collection
from bctoolkit.documents import Document

__all__ = ["REASONS", "Finding", "Found", "Reason", "find"]

REPEATED = 20
"""Copies from which on one picture may be foreign for its number alone."""
TIMES_USUAL = 10
"""How many times more copies it must have than all but 5 % of the set's pictures; a set that was multiplied on purpose
is no pollution."""
PREVAILS = 0.9
"""Share of the images that must have one size before others count as odd."""


@dataclass(frozen=True)
class Reason:
    """Why images are flagged, and what cleaning does about it."""

    what: str
    goes: bool
    """Whether cleaning leaves such images out unless told otherwise."""
    spares_first: bool = False
    """Whether the first image of a finding stays when the others go."""


REASONS: dict[str, Reason] = {
    "unreadable": Reason("cannot be decoded", goes=True),
    "repeated": Reason("one picture copied many times: no cell looks the same so often", goes=True),
    "foreign": Reason("like no other picture of the set", goes=True),
    "not-rgb": Reason("not RGB with 8 bits a channel, which training refuses", goes=True),
    "label-conflict": Reason("the same picture under different labels, of which at most one is right", goes=True),
    "duplicate": Reason("the same pixels under the same label", goes=True, spares_first=True),
    "near-duplicate": Reason("the same picture, saved again or resized", goes=False, spares_first=True),
    "odd-size": Reason("of another size than nearly all others", goes=False),
}
"""In the order in which they are judged: the first that applies is the one an image goes for."""


class Finding(Document, frozen=True, kw_only=True):
    """One suspicious image, or images that are suspicious together."""

    reason: str
    """One of `REASONS`."""
    why: str
    images: tuple[str, ...]
    """Names, in the order of the set."""
    labels: tuple[str, ...]
    """The different labels they carry."""
    score: float | None = None
    """Oddness, where that is the reason."""


@dataclass(frozen=True)
class Found:
    """Everything suspicious about a set."""

    findings: tuple[Finding, ...]
    pictures: int
    """Different pictures: copies and near copies count once."""
    judged: bool
    """Whether there were enough pictures to tell foreign ones."""


def find(collection: Collection, measures: Measures) -> Found:
    """Judge each image by what was measured."""
    readable = measures.readable
    exact = exact_copies(measures.hashes[readable])
    first = np.unique(exact, return_index=True)[1]
    picture = near_copies(measures.coarse[readable[first]])[exact] if len(readable) else exact
    groups = _groups(readable, picture)
    representatives = np.array([group[0] for group in groups], np.int64)
    judged = len(groups) >= FEWEST
    scores = oddness(measures.features[representatives]) if judged else np.zeros(len(groups))
    copies = dict(zip(readable.tolist(), exact.tolist(), strict=True))
    judge = _Judge(collection, measures, copies)
    findings = [*judge.unreadable(), *judge.pictures(groups, scores), *judge.not_rgb(), *judge.odd_sizes()]
    order = list(REASONS)
    ranked = sorted(findings, key=lambda f: (order.index(f.reason), -len(f.images), -(f.score or 0)))
    return Found(tuple(ranked), len(groups), judged)


def _groups(positions: NDArray[np.int64], group: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The positions of each group, in order."""
    by_group = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[by_group])) + 1
    return [part for part in np.split(positions[by_group], starts) if len(part)]


@dataclass(frozen=True)
class _Judge:
    collection: Collection
    measures: Measures
    copies: dict[int, int]
    """Position → number of its group of exact copies."""

    def unreadable(self) -> Iterator[Finding]:
        for index, problem in self.measures.problems.items():
            yield self._finding("unreadable", problem, [index])

    def not_rgb(self) -> Iterator[Finding]:
        for index in self.measures.readable.tolist():
            mode = self.measures.modes[index]
            if mode != "RGB":
                yield self._finding("not-rgb", f"mode {mode}; convert it to RGB", [index])

    def odd_sizes(self) -> Iterator[Finding]:
        readable = self.measures.readable
        sizes, counts = np.unique(self.measures.sizes[readable], axis=0, return_counts=True)
        if not len(counts) or counts.max() < PREVAILS * len(readable):
            return
        usual = sizes[counts.argmax()]
        for index in readable[(self.measures.sizes[readable] != usual).any(1)].tolist():
            width, height = self.measures.sizes[index]
            yield self._finding("odd-size", f"{width}×{height} pixels, usual are {usual[0]}×{usual[1]}", [index])

    def pictures(self, groups: list[NDArray[np.int64]], scores: NDArray[np.float64]) -> Iterator[Finding]:
        """Judge each picture with all its copies."""
        usual = np.quantile([len(group) for group in groups], 0.95) if groups else 0
        many = max(REPEATED, TIMES_USUAL * usual)
        for group, score in zip(groups, scores.tolist(), strict=True):
            members = group.tolist()
            if len(members) >= many:
                yield self._finding("repeated", f"{len(members)} copies of one picture", members)
            elif score > LIMIT:
                why = f"oddness {score:.1f}, foreign from {LIMIT}"
                yield self._finding("foreign", why, members, score)
            elif len(members) > 1:
                yield from self._copies(members)

    def _copies(self, members: list[int]) -> Iterator[Finding]:
        """Copies of a picture that belongs to the set."""
        labels = self.collection.labels[members]
        if len(set(labels.tolist())) > 1:
            yield self._finding("label-conflict", f"{len(members)} copies under different labels", members)
            return
        exact: dict[int, list[int]] = {}
        for index in members:
            exact.setdefault(self.copies[index], []).append(index)
        for same in exact.values():
            if len(same) > 1:
                yield self._finding("duplicate", f"{len(same)} times the same pixels", same)
        if len(exact) > 1:
            alike = [same[0] for same in exact.values()]
            yield self._finding("near-duplicate", f"{len(alike)} versions of one picture", alike)

    def _finding(self, reason: str, why: str, members: list[int], score: float | None = None) -> Finding:
        labels = dict.fromkeys(self.collection.classes[i] for i in self.collection.labels[members])
        names = tuple(self.collection.names[i] for i in members)
        return Finding(reason=reason, why=why, images=names, labels=tuple(labels), score=score)
