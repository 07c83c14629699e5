"""Which answers to accept: calibrated probabilities, and whether picture and answer are like those of validation.

An answer is accepted whose confidence, at the temperature fitted to the artifact, is high enough, and whose picture
looks enough like the validation part's. Both thresholds were fitted together, to accept a stated share of them.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from bctoolkit.contract import ImageKind
from bctoolkit.documents import Document
from bctoolkit.documents.bounds import OpenShare, Share
from bctoolkit.statistics.image_features import Pictures, image_features
from bctoolkit.statistics.metrics import Labels, Probabilities, tempered
from bctoolkit.statistics.neighbours import Distances, Neighbours
from bctoolkit.statistics.selective import AcceptedAnswers, accepted_answers
from bctoolkit.statistics.site import SiteCheck, check_site

__all__ = ["Acceptance", "AcceptanceRule", "Judged", "ValidationAnswers"]


class Acceptance(Document, frozen=True, kw_only=True):
    """Which answers to accept, and how sure they are: fitted to the artifact's own answers on the validation part."""

    coverage: OpenShare
    """Least share of the images it was fitted to that is accepted."""
    temperature: Annotated[float, Meta(ge=0.05, le=20.0)]
    """Of the softmax at which probabilities are as sure as they are right (Guo et al. 2017, arXiv:1706.04599)."""
    min_confidence: Share
    """Of the likeliest class, at that temperature."""
    max_distance: Annotated[float, Meta(ge=0.0, le=1e30)]
    """Of a picture's features from the nearest of those in the validation file, see `statistics.neighbours`."""
    images_sha256: str
    """One hash of all those images and their labels, as `data.dataset.dataset_sha256` makes it."""


@dataclass(frozen=True)
class ValidationAnswers:
    """What an artifact answered to N images of the validation part, and how these look: not the images."""

    features: NDArray[np.float16]
    """N × F."""
    confidence: NDArray[np.float32]
    """N: probability of the likeliest class, at the bundle's temperature."""
    kind: ImageKind = "real"


class Judged(NamedTuple):
    """What the rule says of the model's answers to N images."""

    probabilities: Probabilities
    """N × classes, calibrated; which class is likeliest never changes."""
    distances: Distances
    """N: how far each picture's look is from those of the validation part."""
    accepted: NDArray[np.bool_]
    """N."""

    @property
    def confidence(self) -> NDArray[np.float32]:
        """N: calibrated probability of the likeliest class."""
        highest: NDArray[np.float32] = self.probabilities.max(1)
        return highest


class AcceptanceRule:
    """A bundle's rule, as its manifest states it."""

    def __init__(self, stated: Acceptance, answers: ValidationAnswers) -> None:
        self.stated = stated
        self.answers = answers
        self.neighbours = Neighbours(answers.features.astype(np.float32))

    def judge(self, images: Pictures, raw: Probabilities) -> Judged:
        """Calibrate answers, and decide which to accept.

        Args:
            images: N, that the model was given.
            raw: N × classes, what it answered.
        """
        probabilities = tempered(raw, self.stated.temperature).astype(np.float32)
        distances = self.neighbours.distances(image_features(images))
        sure = probabilities.max(1) >= self.stated.min_confidence
        return Judged(probabilities, distances, sure & (distances <= self.stated.max_distance))

    def accepted_answers(self, labels: Labels, judged: Judged) -> AcceptedAnswers:
        """Coverage of N images that were judged, and accuracy of what is accepted, by their true classes."""
        stated = self.stated.coverage, self.stated.temperature
        return accepted_answers(labels, judged.probabilities, judged.accepted, stated)

    def site(self, judged: Judged) -> SiteCheck:
        """Whether images that were judged look like those of the validation part."""
        stored = self.neighbours.among_themselves, self.answers.confidence
        return check_site(stored, (judged.distances, judged.confidence))
