"""The layers Keras has no public class for, registered so that saved files load in safe mode."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

__all__ = ["LayerScale", "StochasticDepth", "leaves"]


def leaves(model: keras.Model) -> Iterator[Any]:
    """The layers of a model, those of the models inside it included."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer


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
        kept = ops.floor(1 - self.rate + keras.random.uniform(shape, seed=self.generator, dtype="float32"))
        return inputs * ops.cast(kept / (1 - self.rate), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
