"""What a file does not tell, from what its answers show: which scale of the image it wants."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents.formats import QUANTIZATIONS
from bctoolkit.documents.preprocessing import PRESETS, InputSettings
from bctoolkit.errors import ExportError, RecipeError
from bctoolkit.export.adoption.classifier import ForeignClassifier
from bctoolkit.statistics import metrics
from bctoolkit.statistics.metrics import Probabilities

__all__ = ["agreeing_settings", "most_accurate_settings"]

ENOUGH = 24
"""Images that every preset is tried on."""

RISE = 0.1
"""Of accuracy over chance, below which no preset is worth a word."""


def agreeing_settings(
    classifier: ForeignClassifier,
    stated: InputSettings,
    kind: str,
    images: NDArray[np.uint8],
    expected: Probabilities,
) -> str:
    """The options with which a file's answers are the reference's, as the end of a message; empty where there are none.

    Args:
        classifier: the file.
        stated: what the user said of its input; only the scale, and colours left open, are varied.
        kind: the file's quantization, whose tolerance decides.
        images: N × height × width × channels.
        expected: N × classes, the reference's.
    """
    images, expected = images[:ENOUGH], expected[:ENOUGH]
    agreeing = {
        options: float(np.abs(expected - observed).mean())
        for options, observed in _answers(classifier, stated, images)
        if observed.shape == expected.shape
        and not metrics.limit_violations(expected, observed, QUANTIZATIONS[kind].tolerance)
    }
    if not agreeing:
        return ""
    best = min(agreeing, key=lambda each: agreeing[each])
    return f"; with {best} it gives the reference's answers on {len(images)} images"


def most_accurate_settings(
    classifier: ForeignClassifier, stated: InputSettings, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> str:
    """The options with which a file is right most often, as the end of a message; empty where none beats chance.

    Args:
        classifier: the file.
        stated: what the user said of its input.
        images: N × height × width × channels.
        labels: N true classes; -1 where unknown.
    """
    labelled = np.flatnonzero(labels >= 0)
    if not labelled.size:
        return ""
    images, labels = images[labelled], labels[labelled]
    chance = float(np.bincount(labels).max()) / len(labels)
    right = {options: metrics.accuracy(labels, observed) for options, observed in _answers(classifier, stated, images)}
    best = max(right, key=lambda each: right[each], default="")
    if not best or right[best] <= chance + RISE:
        return ""
    return (
        f"; with {best} it is right on {right[best]:.0%} of {len(labels)} labelled images, more often than with others"
    )


def _answers(
    classifier: ForeignClassifier, stated: InputSettings, images: NDArray[np.uint8]
) -> Iterator[tuple[str, Probabilities]]:
    """Options and the probabilities under them, for every preset that the file can be run with."""
    for settings in _candidates(stated, classifier.shape[2]):
        try:
            complete = classifier.settings(settings)
            assert complete is not None
            observed = classifier.predict(classifier.adapter(complete, images), images)
        except (ExportError, RecipeError):  # not finite, or not for this file
            continue
        colours = " --channels bgr" if settings.channels == "bgr" and stated.channels is None else ""
        yield f"--scale {settings.scale}{colours}", observed


def _candidates(stated: InputSettings, channels: int) -> Iterator[InputSettings]:
    colours = (None, "bgr") if stated.channels is None and channels == 3 else (stated.channels,)
    for preset in PRESETS:
        for colour in colours:
            if preset != "caffe":
                yield InputSettings(scale=preset, channels=colour)  # type: ignore[arg-type]  # keys of the table
        if preset == "caffe" and stated.channels in (None, "bgr"):
            yield InputSettings(scale="caffe")
