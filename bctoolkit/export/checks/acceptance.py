"""Fit a bundle's acceptance rule to the artifact's own answers on the validation part; needs no TensorFlow.

Neither test nor training images take part, and no foreign picture: nothing is assumed of what may come.
"""

import dataclasses
from pathlib import Path

import msgspec
import numpy as np

from bctoolkit import bundle as bundles
from bctoolkit.bundle import Bundle
from bctoolkit.data import Dataset, Parts, load, split
from bctoolkit.errors import ExportError
from bctoolkit.progress import Progress
from bctoolkit.recipes import ExportRecipe, Split
from bctoolkit.runtime import load as load_classifier
from bctoolkit.statistics import metrics
from bctoolkit.statistics.acceptance import Acceptance, AcceptanceRule, ValidationAnswers
from bctoolkit.statistics.image_features import image_features
from bctoolkit.statistics.metrics import Probabilities
from bctoolkit.statistics.neighbours import Neighbours
from bctoolkit.statistics.selective import choose_thresholds

__all__ = ["FEWEST", "add_acceptance", "fit", "fitting_images", "too_few"]

FEWEST, MOST = 100, 512
"""Images that a rule is fitted to. Their content decides which, whatever their class: what is common in the set is
common among them."""


def fitting_images(dataset: Dataset, parts: Parts) -> Dataset | None:
    """The images of the validation part that a rule is fitted to; None where they are too few."""
    index = parts.validation
    if len(index) < FEWEST:
        return None
    order = np.lexsort(dataset.hashes[index].T[::-1])
    return dataset.take(np.sort(index[order[:MOST]]))


def fit(images: Dataset, raw: Probabilities, coverage: float) -> AcceptanceRule:
    """Fit temperature and thresholds.

    The temperature is that of Guo and others 2017, as if half an image more had been labelled at random (Jeffreys'
    half; Platt 1999 smooths labels likewise): an artifact that is right on all would else be certain of everything.

    Args:
        images: what `fitting_images` chose.
        raw: N × classes: what the artifact answered, one image at a time.
        coverage: share of images to accept.
    """
    temperature = metrics.temperature(images.labels, raw, smoothing=0.5 / (len(raw) + 0.5))
    confidence = metrics.tempered(raw, temperature).max(1).astype(np.float32)
    features = image_features(images.images[:]).astype(np.float16)
    distances = Neighbours(features.astype(np.float32)).among_themselves
    thresholds = choose_thresholds(confidence, distances, coverage)
    stated = Acceptance(
        coverage=coverage,
        temperature=temperature,
        min_confidence=thresholds.confidence,
        max_distance=thresholds.distance,
        images_sha256=images.sha256,
    )
    return AcceptanceRule(stated, ValidationAnswers(features, confidence, images.kind))


def add_acceptance(folder: Path, source: str, progress: Progress, coverage: float = ExportRecipe().coverage) -> Bundle:
    """Fit a rule to a bundle that was sealed without one, or with another, and seal it again.

    The images have to be those that the network was trained with, for the parts are told by their content: a set that
    was split by other rules would give away training images.

    Args:
        folder: the bundle; it is replaced.
        source: the set, as `bctoolkit.data.sources.load` takes it.
        progress: shows where the work is.
        coverage: share of validation images to accept.

    Raises:
        ExportError: the set's test part is not the bundle's, or its validation part has too few images.
        BctkError: the bundle or the images cannot be used.
    """
    opened = bundles.read(folder)
    contract = msgspec.structs.replace(opened.manifest.input, dtype="uint8")
    dataset = load(source, contract, progress).in_order_of(opened.manifest.labels)
    parts = split(dataset, Split(), progress)
    _require_same_split(opened, dataset, parts)
    images = fitting_images(dataset, parts)
    if images is None:
        raise ExportError(too_few(len(parts.validation)))
    raw = load_classifier(folder).predict_each(images.images[:])
    content = dataclasses.replace(opened.content(), acceptance=fit(images, raw, coverage))
    return bundles.write(folder, content)


def too_few(count: int) -> str:
    """Why there is no rule, in one line."""
    return (
        f"no acceptance rule: {count} labelled validation images, and it takes {FEWEST}; say where more are with --data"
    )


def _require_same_split(bundle: Bundle, dataset: Dataset, parts: Parts) -> None:
    reference = bundle.reference()
    if reference is None:
        return
    stored, found = (set(map(bytes, hashes)) for hashes in (reference.hashes, dataset.hashes[parts.test]))
    if stored != found:
        raise ExportError(
            f"{dataset.source}: its test part has {len(found):,} images, of which {len(stored & found):,} are among "
            f"the {len(stored):,} of {bundle.path}; give the images that the network was trained with"
        )
