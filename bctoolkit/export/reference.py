"""The reference's predictions on the parts of the set, cached for the next export."""

from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bctoolkit.bundle import Reference
from bctoolkit.data.dataset import Dataset, positions, stratified
from bctoolkit.data.stores import Images
from bctoolkit.export.cache import PredictionCache, digest
from bctoolkit.export.checks.judgement import Validation
from bctoolkit.export.network import Form
from bctoolkit.export.plan import Job
from bctoolkit.statistics.metrics import Probabilities

__all__ = ["ReferencePredictions"]

VALIDATED = 1024
"""Images of the validation part that an integer form is compared on first, one of each class in turn."""


class ReferencePredictions:
    """The float32 reference's predictions on the parts of the set: each part once per network and set."""

    def __init__(self, job: Job, form: Form) -> None:
        self._job, self._form, self._cache = job, form, PredictionCache(job.cache)

    def keep(self) -> None:
        """Write down what was predicted, for the next export."""
        self._cache.keep()

    def test_part(self) -> Reference | None:
        """The whole test part, keyed by content hash; None where it is unknown or not to travel."""
        data = self._job.data
        if data is None or not self._job.recipe.reference:
            return None
        dataset = data.dataset.take(data.parts.test)
        probabilities = self._cached(dataset.images, dataset.hashes, "reference on the test part")
        return Reference(dataset.hashes, probabilities, dataset.kind)

    def validation(self) -> Validation | None:
        """The labelled images that integer forms are compared on first, which know the whole part; None without any."""
        data = self._job.data
        if data is None or not len(data.parts.validation):
            return None
        dataset, order = data.dataset, stratified(data.dataset, data.parts.validation, len(data.parts.validation))
        first = dataset.take(order[:VALIDATED])
        first = replace(first, images=first.images[:])

        def predict(part: Dataset) -> Probabilities:
            return self._cached(part.images, part.hashes, "reference on the validation part")

        start = self._validation(first, predict(first))

        @cache
        def whole() -> Validation:
            others = predict(dataset.take(order[VALIDATED:]))
            return self._validation(dataset.take(order), np.concatenate([start.reference, others]))

        return replace(start, whole=whole if len(order) > VALIDATED else None)

    def _validation(self, dataset: Dataset, reference: Probabilities) -> Validation:
        names = self._job.labels
        return Validation(dataset.images, dataset.labels, reference, names, dataset.hashes, dataset.groups)

    def check_images(self, test_part: Reference | None) -> NDArray[np.float32]:
        """The images that the export is checked on; those of the test part are not predicted again."""
        images = self._job.check_images
        if test_part is not None:
            index = positions(images.hashes, test_part.hashes)
            if (index >= 0).all():
                return test_part.probabilities[index]
        return self._form.predict(images.images, "reference", self._job.progress)

    def _cached(self, images: Images, hashes: NDArray[np.uint8], label: str) -> NDArray[np.float32]:
        job = self._job
        source = job.source
        key = digest(source.provenance.model_sha256, source.code_sha256, source.contract, source.adaptation, hashes)
        return self._cache.lookup(key, lambda: self._form.predict(images, label, job.progress))
