"""The variants of a network that an export compares: its forms and its artifacts, with their predictions."""

import numpy as np

from bctoolkit.data.stores import Images
from bctoolkit.documents.formats import engine_for
from bctoolkit.export.checks.introspection import INTROSPECTORS
from bctoolkit.export.checks.parity_chain import Variant
from bctoolkit.export.network import Form
from bctoolkit.export.plan import Artifact, Job
from bctoolkit.lazy import attribute
from bctoolkit.runtime.backends import default_threads
from bctoolkit.statistics.metrics import Probabilities

__all__ = ["artifact_variant", "form_variant", "predict_artifact"]


def form_variant(job: Job, form: Form, probabilities: Probabilities | None = None) -> Variant:
    """A form of the network with its predictions.

    Args:
        job: whose check images are predicted.
        form: of the network.
        probabilities: its predictions on all check images; by default it predicts a few of them.
    """
    few = None
    if probabilities is None:
        few = job.check_images.few
        probabilities = form.predict(job.check_images.images[few], form.name, job.progress)
    return Variant(
        form.name,
        probabilities,
        layers=form.layers,
        tensors=lambda image: [output.value for output in form.layers(image)],
        images=few,
    )


def artifact_variant(job: Job, artifact: Artifact, model: bytes, before: Variant) -> Variant:
    """An artifact with its predictions on the check images; its layers are those of the form it was made from."""
    introspector, dtype = INTROSPECTORS.get(artifact[0]), job.contract.dtype
    return Variant(
        " ".join(artifact),
        predict_artifact(job, artifact, model, job.check_images.images),
        layers=before.layers,
        tensors=lambda image: [] if introspector is None else introspector.tensors(model, image.astype(dtype)),
    )


def predict_artifact(job: Job, artifact: Artifact, model: bytes, images: Images) -> Probabilities:
    """The artifact's probabilities in the engine that will run it, image by image, as on a device.

    Dynamic int8 takes the range of a whole batch, so a larger one would give other probabilities.
    """
    engine = engine_for(artifact[0])
    backend = attribute(engine.backend)(model, engine.providers[0], default_threads())
    label = f"{job.name(artifact)}: checking"
    rows = []
    for index in range(len(images)):
        job.progress.step(label, index, len(images))
        rows.append(backend.run(images[index : index + 1].astype(job.contract.dtype)))
    job.progress.step(label, len(images), len(images))
    return np.concatenate(rows)
