"""The variants of a network that an export compares: Keras networks and artifacts, with their predictions."""

from functools import partial

import keras
import numpy as np
from numpy.typing import NDArray

from bctoolkit.documents.formats import engine_for
from bctoolkit.export.checks.introspection import INTROSPECTORS
from bctoolkit.export.checks.locate import layer_outputs
from bctoolkit.export.checks.parity_chain import Variant
from bctoolkit.export.plan import Artifact, Job
from bctoolkit.lazy import attribute
from bctoolkit.networks.inference import predict
from bctoolkit.runtime.backends import default_threads
from bctoolkit.statistics.metrics import Probabilities

__all__ = ["artifact_variant", "keras_variant", "predict_artifact"]

FEW = 16
"""Images on which two Keras networks are compared: what is wrong with a layer's form shows on any image."""


def keras_variant(job: Job, name: str, model: keras.Model, probabilities: Probabilities | None = None) -> Variant:
    """A Keras network with its predictions.

    Args:
        job: whose check images are predicted.
        name: what to call it in a message.
        model: the network.
        probabilities: its predictions on the check images; by default it predicts the first few of them.
    """
    if probabilities is None:
        probabilities = predict(model, job.check_images.images[:FEW], name, job.progress)
    return Variant(
        name,
        probabilities,
        layers=partial(layer_outputs, model),
        tensors=lambda image: [output.value for output in layer_outputs(model, image)],
    )


def artifact_variant(job: Job, artifact: Artifact, model: bytes, twin: Variant) -> Variant:
    """An artifact with its predictions on the check images; its layers are those of the twin it was converted from."""
    introspector, dtype = INTROSPECTORS.get(artifact[0]), job.contract.dtype
    return Variant(
        " ".join(artifact),
        predict_artifact(job, artifact, model, job.check_images.images),
        layers=twin.layers,
        tensors=lambda image: [] if introspector is None else introspector.tensors(model, image.astype(dtype)),
    )


def predict_artifact(job: Job, artifact: Artifact, model: bytes, images: NDArray[np.uint8]) -> Probabilities:
    """The artifact's probabilities in the engine that will run it, image by image, as on a device.

    Dynamic int8 takes the range of a whole batch, so a larger one would give other probabilities.
    """
    engine = engine_for(artifact[0])
    backend = attribute(engine.backend)(model, engine.providers[0], default_threads())
    pixels = images.astype(job.contract.dtype)
    label = f"{job.name(artifact)}: checking"
    rows = []
    for index in range(len(pixels)):
        job.progress.step(label, index, len(pixels))
        rows.append(backend.run(pixels[index : index + 1]))
    job.progress.step(label, len(pixels), len(pixels))
    return np.concatenate(rows)
