"""The layers Keras has no public class for, registered so that saved files load in safe mode, and uses of others."""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import keras
import tensorflow as tf
from keras import ops
from keras.src.models.functional import Functional

__all__ = ["Gelu", "LayerScale", "StochasticDepth", "has_graph", "leaves", "white_balanced"]

CELL = 8
"""Pixels of a side of the squares that are averaged first: a single pixel, dust or noise, decides nothing."""
LEAST_WHITE = 16.0
"""A channel whose brightest square is darker is brightened as if it had this value: black pictures stay black."""


def white_balanced(image: Any) -> Any:
    """Multiply each channel of each image so that its brightest square of 8×8 pixels becomes 255.

    In transmitted light the background is what the lamp sends and the camera makes of it; with it as white, both are
    undone. It is the white-patch method (Land & McCann 1971, doi:10.1364/JOSA.61.000001) on means of squares: engines
    compute those of whole values 0–255 exactly in float32, and exports need nothing but pooling and a maximum.

    Args:
        image: symbolic, N × height × width × channels float32, values 0–255.

    Returns:
        Of the same shape, values about 0–255; single pixels may lie a little beyond.
    """
    squares = keras.layers.AveragePooling2D(CELL, dtype="float32", name="white_squares")(image)
    white = ops.amax(squares, axis=(1, 2), keepdims=True)
    return image * (255.0 / ops.maximum(white, LEAST_WHITE))


def leaves(model: keras.Model) -> Iterator[Any]:
    """The layers of a model, those of the models inside it included; a model without a graph is one layer."""
    for layer in model.layers:
        if isinstance(layer, keras.Model) and has_graph(layer):
            yield from leaves(layer)
        else:
            yield layer


def has_graph(model: keras.Model) -> bool:
    """Whether a model is the graph that Keras knows: with an input shape, and with no `call` of its own."""
    kind = type(model)
    if isinstance(model, keras.Sequential):
        return model._functional is not None and kind.call is keras.Sequential.call
    return isinstance(model, Functional) and kind.call is Functional.call


@keras.saving.register_keras_serializable(package="bctoolkit")
class Gelu(keras.layers.Layer):
    """Exact GELU, x · Φ(x) (Hendrycks & Gimpel 2016, arXiv:1606.08415), fast in training.

    TensorFlow makes some ten passes over the widest tensor of a block, in bfloat16 a third of a training step. While
    training, value and gradient are one loop each, computed in float32; at inference this is Keras's own function,
    which converters know.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activate element by element."""
        return _gelu(inputs) if training else keras.activations.gelu(inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """That of the input."""
        return input_shape


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _gelu(x: Any) -> tuple[Any, Callable[[Any], Any]]:
    value, slope = _loops(x.dtype)
    flat = tf.reshape(x, [-1])
    return tf.reshape(value(flat), tf.shape(x)), lambda dy: tf.reshape(slope(flat, tf.reshape(dy, [-1])), tf.shape(x))


@cache
def _loops(dtype: Any) -> tuple[Any, Any]:
    """GELU of a flat tensor and its gradient, each compiled into one loop; flat, so that no shape traces them anew."""
    flat = tf.TensorSpec([None], dtype)

    @tf.function(input_signature=[flat], jit_compile=True)  # type: ignore[untyped-decorator]
    def value(x: Any) -> Any:
        wide = tf.cast(x, tf.float32)
        return tf.cast(wide * _phi(wide), dtype)

    @tf.function(input_signature=[flat, flat], jit_compile=True)  # type: ignore[untyped-decorator]
    def slope(x: Any, dy: Any) -> Any:
        wide = tf.cast(x, tf.float32)
        density = tf.exp(-0.5 * wide * wide) / math.sqrt(2 * math.pi)
        return tf.cast(tf.cast(dy, tf.float32) * (_phi(wide) + wide * density), dtype)

    return value, slope


def _phi(x: Any) -> Any:
    """The normal distribution function."""
    return 0.5 * (1 + tf.math.erf(x / math.sqrt(2)))


@keras.saving.register_keras_serializable(package="bctoolkit")
class LayerScale(keras.layers.Layer):
    """Multiply each channel by a learned factor (Touvron et al. 2021, arXiv:2103.17239).

    Args:
        initial: the factors' first value.
    """

    def __init__(self, initial: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create one factor per channel."""
        self.gamma = self.add_weight(
            shape=(input_shape[-1],), initializer=keras.initializers.Constant(self.initial), name="gamma"
        )

    def call(self, inputs: Any) -> Any:
        """Scale the last axis."""
        return inputs * ops.cast(self.gamma, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "initial": self.initial}


@keras.saving.register_keras_serializable(package="bctoolkit")
class StochasticDepth(keras.layers.Layer):
    """Drop the residual branch of whole images while training (Huang et al. 2016, arXiv:1603.09382).

    Args:
        rate: the share of images whose branch is dropped; the others are scaled by 1 / (1 - rate).
        seed: of the layer's random generator.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Drop branches while training; pass everything otherwise."""
        if not training or self.rate == 0:
            return inputs
        shape = (ops.shape(inputs)[0], *(1 for _ in inputs.shape[1:]))
        mask = ops.floor(1 - self.rate + keras.random.uniform(shape, seed=self.generator, dtype="float32"))
        return inputs * ops.cast(mask / (1 - self.rate), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
