"""A trained network at inference: in float32, whatever precision trained it, and over many images in batches."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from bctoolkit.networks.layers import leaves
from bctoolkit.progress import Progress

__all__ = ["float32_copy", "in_float32", "predict", "predictor"]

BATCH = 32


def in_float32(model: keras.Model) -> keras.Model:
    """The network computing in float32: itself, or a copy where its layers have another dtype policy.

    Args:
        model: a functional or sequential network, nested or not.
    """
    if all(getattr(layer, "compute_dtype", "float32") == "float32" for layer in leaves(model)):
        return model
    copy = keras.models.clone_model(model, clone_function=float32_copy, recursive=True)
    for trained, layer in zip(leaves(model), leaves(copy), strict=True):
        if layer.weights:
            layer.set_weights(trained.get_weights())
    return copy


def float32_copy(operation: Any) -> Any:
    """A layer with the same arguments that computes in float32; an operation without weights is used as it is."""
    if not isinstance(operation, layers.Layer):
        return operation
    config = operation.get_config() | {"dtype": "float32"}
    if type(operation) is layers.Normalization:  # what it was adapted to would stay behind: it computes with constants
        config |= {"mean": np.squeeze(operation.mean), "variance": np.squeeze(operation.variance)}
    return type(operation).from_config(config)


def predictor(model: keras.Model, shape: tuple[int, ...]) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """The compiled network: a batch of images N × `shape`, values 0–255 of any dtype → probabilities N × classes."""
    signature = tf.TensorSpec((None, *shape), tf.float32)
    compiled = tf.function(lambda batch: model(batch, training=False), input_signature=[signature], autograph=False)

    def call(images: NDArray[Any]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = compiled(images.astype(np.float32)).numpy()
        return probabilities

    return call


def predict(
    model: keras.Model, images: Any, label: str, progress: Progress, batch_size: int = BATCH
) -> NDArray[np.float32]:
    """The network's probabilities, N × classes, of many images.

    Args:
        model: a classifier.
        images: N × height × width × channels, values 0–255: an array, or images that are read when they are needed.
        label: what the steps are called.
        progress: shown each batch.
        batch_size: images per batch.
    """
    call, batches = predictor(model, images.shape[1:]), []
    for start in range(0, len(images), batch_size):
        progress.step(label, start, len(images))
        batches.append(call(images[start : start + batch_size]))
    progress.step(label, len(images), len(images))
    return np.concatenate(batches)
