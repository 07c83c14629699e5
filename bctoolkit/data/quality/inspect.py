"""`bctk data inspect`: what a set of images holds, and what in it is suspicious."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from bctoolkit.contract import White
from bctoolkit.data.quality.findings import Finding, Findings, find
from bctoolkit.data.quality.measures import Measures, measure
from bctoolkit.data.quality.outliers import MIN_PICTURES
from bctoolkit.data.sources.collection import Collection, open_collection
from bctoolkit.documents import Document
from bctoolkit.progress import Progress, Silent
from bctoolkit.system import utc_now

__all__ = ["ClassFigures", "Inspection", "NamedFinding", "Size", "inspect", "summarize"]


class ClassFigures(Document, frozen=True, kw_only=True):
    """The images filed under one label; means over those that can be decoded, None where there are none."""

    count: int
    unreadable: int
    mean_rgb: tuple[float, float, float] | None
    """0–255."""
    saturation: float | None
    """0–1, of the HSV model."""
    brightness: float | None
    """Luma, 0–255."""
    sharpness: float | None
    """Median over the images: variance of the luma's Laplacian at native size, in squared grey levels."""


class Size(Document, frozen=True):
    """How many images have this size."""

    width: int
    height: int
    count: int


class NamedFinding(Document, frozen=True, kw_only=True):
    """A `Finding` with the names of its images."""

    reason: str
    why: str
    images: tuple[str, ...]
    """Names, in the order of the set."""
    labels: tuple[str, ...]
    """The different labels they carry."""
    score: float | None = None
    """Outlier score, where that is the reason."""


class Inspection(Document, frozen=True, kw_only=True):
    """What `bctk data inspect` reports."""

    schema: int = 1
    created: str
    source: str
    count: int
    classes: dict[str, ClassFigures]
    sizes: tuple[Size, ...]
    """The most frequent first."""
    modes: dict[str, int]
    """Pillow's name for the kind of pixels → images."""
    pictures: int
    """Different pictures: copies and near copies count once."""
    foreign_judged: bool
    """False where there are too few different pictures to tell which are like no other."""
    flagged: dict[str, int]
    """Reason → images."""
    findings: tuple[NamedFinding, ...]
    notes: tuple[str, ...]
    white: White | None = None
    """Which value was taken for white in files of 16 bits a channel."""


def inspect(source: str, progress: Progress | None = None, white: White | None = None) -> Inspection:
    """Look at every image of a set; bad ones are reported, none stops it.

    Args:
        source: a folder of class folders, an `.npz`, a folder of arrays, or `synthetic`.
        progress: shows how many images are read.
        white: which value is white in files of 16 bits a channel; None where such files cannot be read.

    Raises:
        DatasetError: nothing there, or nothing that is a set of images.
    """
    collection = open_collection(source, white)
    measures = measure(collection, progress or Silent())
    return summarize(collection, measures, find(collection.labels, measures))


def summarize(collection: Collection, measures: Measures, findings: Findings) -> Inspection:
    """The document of what was measured and found suspicious."""
    named = tuple(_named(collection, finding) for finding in findings.findings)
    readable = measures.readable
    sizes = Counter(map(tuple, measures.sizes[readable].tolist())).most_common()
    return Inspection(
        created=utc_now(),
        source=collection.source,
        count=len(collection.names),
        classes={name: _figures(measures, collection.labels == i) for i, name in enumerate(collection.classes)},
        sizes=tuple(Size(width, height, count) for (width, height), count in sizes),
        modes=dict(Counter(measures.modes[i] for i in readable).most_common()),
        pictures=findings.pictures,
        foreign_judged=findings.outliers_scored,
        flagged=_flagged(findings.findings),
        findings=named,
        notes=(*collection.notes, *_notes(collection, measures, findings)),
        white=collection.white,
    )


def _named(collection: Collection, finding: Finding) -> NamedFinding:
    labels = dict.fromkeys(collection.classes[i] for i in collection.labels[list(finding.images)])
    names = tuple(collection.names[i] for i in finding.images)
    return NamedFinding(reason=finding.reason, why=finding.why, images=names, labels=tuple(labels), score=finding.score)


def _flagged(findings: tuple[Finding, ...]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for finding in findings:
        counts[finding.reason] += len(finding.images)
    return dict(counts)


def _figures(measures: Measures, member: NDArray[np.bool_]) -> ClassFigures:
    bad = np.isin(np.flatnonzero(member), list(measures.problems))
    tones = measures.tones[np.flatnonzero(member)[~bad]]
    count, unreadable = int(member.sum()), int(bad.sum())
    if not len(tones):
        return ClassFigures(
            count=count, unreadable=unreadable, mean_rgb=None, saturation=None, brightness=None, sharpness=None
        )
    red, green, blue, saturation, brightness = tones[:, :5].mean(0, dtype=np.float64).tolist()
    return ClassFigures(
        count=count,
        unreadable=unreadable,
        mean_rgb=(red, green, blue),
        saturation=saturation,
        brightness=brightness,
        sharpness=float(np.median(tones[:, 5])),
    )


def _notes(collection: Collection, measures: Measures, findings: Findings) -> list[str]:
    """What is unusual about the set as a whole."""
    notes = []
    filled = np.unique(collection.labels).size
    if filled < 2:
        notes.append("all images are of one class: nothing can be learned from them; add a second class")
    if not findings.outliers_scored:
        notes.append(
            f"{findings.pictures} different pictures: too few to tell foreign ones, which takes {MIN_PICTURES}"
        )
    counts = np.bincount(collection.labels, minlength=len(collection.classes))
    if filled >= 2 and counts.max() > 20 * max(counts[counts > 0].min(), 1):
        least, most = (
            collection.classes[i] for i in (np.where(counts > 0, counts, counts.max()).argmin(), counts.argmax())
        )
        notes.append(f"{most!r} has {counts.max()} images and {least!r} {counts[counts > 0].min()}: weigh the classes")
    if len({(w, h) for w, h in measures.sizes[measures.readable].tolist()}) > 1:
        notes.append("the images have different sizes: training resizes them, and they fit no .npz")
    return notes
