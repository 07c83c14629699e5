"""What the Keras forms of a network answer, and the reference's answers that are kept for the next export."""

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bctoolkit.bundle import Reference
from bctoolkit.data.dataset import positions, stratified
from bctoolkit.data.stores import Images
from bctoolkit.export.cache import digest, kept_answers
from bctoolkit.export.plan import Job
from bctoolkit.export.sensitivity.search import Validation
from bctoolkit.progress import Progress

__all__ = ["ReferenceAnswers", "answers"]

BATCH = 32

VALIDATED = 1024
"""Images of the validation part that an integer form is judged on, one of each class in turn."""


def answers(model: keras.Model, images: Images, label: str, progress: Progress) -> NDArray[np.float32]:
    """A Keras model's probabilities, N × classes, of images N × height × width × channels."""
    signature = tf.TensorSpec((None, *images.shape[1:]), tf.float32)
    compiled = tf.function(lambda batch: model(batch, training=False), input_signature=[signature])
    parts = []
    for start in range(0, len(images), BATCH):
        progress.step(label, start, len(images))
        parts.append(compiled(images[start : start + BATCH].astype(np.float32)).numpy())
    progress.step(label, len(images), len(images))
    return np.concatenate(parts)


class ReferenceAnswers:
    """The float32 reference's answers on the parts of the set; each part is asked about once per network and set."""

    def __init__(self, job: Job, model: keras.Model) -> None:
        self._job, self._model = job, model

    def test_part(self) -> Reference | None:
        """The whole test part, keyed by content hash; None where it is unknown or not asked for."""
        known = self._job.known
        if known is None or not self._job.recipe.reference:
            return None
        dataset = known.dataset.take(known.parts.test)
        found = self._ask(dataset.images, dataset.hashes, "reference on the test part")
        return Reference(dataset.hashes, found, dataset.kind)

    def validation(self) -> Validation | None:
        """The labelled images that integer forms are judged on; None where none are known."""
        known = self._job.known
        if known is None or not len(known.parts.validation):
            return None
        dataset = known.dataset.take(stratified(known.dataset, known.parts.validation, VALIDATED))
        images = dataset.images[:]
        found = self._ask(images, dataset.hashes, "reference on the validation part")
        return Validation(images, dataset.labels, found, self._job.labels)

    def evidence(self, test_part: Reference | None) -> NDArray[np.float32]:
        """The images the export is checked on; what is known of the test part is not asked again."""
        evidence = self._job.evidence
        if test_part is not None:
            place = positions(evidence.hashes, test_part.hashes)
            if (place >= 0).all():
                return test_part.probabilities[place]
        return answers(self._model, evidence.images, "reference", self._job.progress)

    def _ask(self, images: Images, hashes: NDArray[np.uint8], label: str) -> NDArray[np.float32]:
        job = self._job

        def ask() -> NDArray[np.float32]:
            return answers(self._model, images, label, job.progress)

        return kept_answers(job.cache, digest(job.origin.source.model_sha256, job.origin.contract, hashes), ask)
