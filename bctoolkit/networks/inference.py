"""A trained network at inference: in float32, whatever precision trained it, and over many images in batches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from bctoolkit.errors import UnsupportedOp
from bctoolkit.networks.layers import leaves
from bctoolkit.progress import Progress

__all__ = ["alias", "float32_copy", "in_float32", "predict", "predictor"]

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
    """An operation that does the same in float32: a layer is built anew from its arguments.

    A layer of neither Keras nor ours, or one that its own arguments do not build, is used as it is where it computes in
    float32 already; the copy then shares its weights.

    Raises:
        UnsupportedOp: it computes in another dtype, and its arguments do not build it anew.
    """
    if not isinstance(operation, layers.Layer):
        return _float32_operation(operation)
    as_it_is = _computes_in_float32(operation)
    if as_it_is and type(operation).__module__.split(".")[0] not in ("keras", "bctoolkit"):
        return alias(operation, operation.name)
    try:
        config = operation.get_config() | {"dtype": "float32"}
        if type(operation) is layers.Normalization:  # what it was adapted to would stay behind
            config |= {"mean": np.squeeze(operation.mean), "variance": np.squeeze(operation.variance)}
        return type(operation).from_config(config)
    except Exception as problem:  # whatever a library's or a user's constructor raises
        if as_it_is:
            return alias(operation, operation.name)
        reason = " ".join(str(problem).split())[:120]
        raise UnsupportedOp(
            f"layer {operation.name!r} ({type(operation).__name__}) computes in {operation.compute_dtype} and its "
            f"get_config() does not build it anew ({reason}); build the network with dtype='float32', copy the weights"
        ) from problem


def alias(operation: Any, name: str) -> Any:
    """The same operation under another name, for use in another graph: it shares the weights, and no call of it."""
    copy = object.__new__(type(operation))
    copy.__dict__.update(operation.__dict__, name=name, _inbound_nodes=[], _outbound_nodes=[])
    return copy


def _float32_operation(operation: Any) -> Any:
    """An operation; one that casts to another float casts to float32."""
    copy = alias(operation, operation.name)
    if type(operation).__name__ in ("Cast", "SaturateCast") and "float" in str(operation.dtype):
        copy.dtype = "float32"
    return copy


def _computes_in_float32(layer: Any) -> bool:
    return all(each.compute_dtype == "float32" for each in layer._flatten_layers())


def predictor(model: keras.Model, shape: tuple[int, ...]) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """The compiled network: a batch of images N × `shape`, values 0–255 of any dtype → probabilities N × classes."""
    signature = tf.TensorSpec((None, *shape), tf.float32)
    first = any(getattr(layer, "data_format", None) == "channels_first" for layer in leaves(model))
    compiled = tf.function(lambda batch: model(batch, training=False), input_signature=[signature], autograph=False)

    def call(images: NDArray[Any]) -> NDArray[np.float32]:
        with nullcontext() if first else _unfused():
            probabilities: NDArray[np.float32] = compiled(images.astype(np.float32)).numpy()
        return probabilities

    return call


@contextmanager
def _unfused() -> Iterator[None]:
    """Operators as they were written, for functions that are called meanwhile.

    On a CPU TensorFlow 2.21 makes one operator of a convolution, its bias, a sum and a LeakyReLU, and loses the slope:
    0.2 is used for any other. Keras's own `predict` has that fault, its eager call has not. With channels first it is
    the other way round: only the fused operator adds a bias along the channels where an image is as wide as they are
    many (Keras 3.15, `backend.tensorflow.numpy.add`).
    """
    before = tf.config.optimizer.get_experimental_options().get("remapping", True)
    tf.config.optimizer.set_experimental_options({"remapping": False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"remapping": before})


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
