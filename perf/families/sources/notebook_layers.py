"""The classes that notebooks define beside their networks; none is registered with Keras, as in most notebooks."""

from typing import Any

import keras
from keras import layers, ops

__all__ = ["ConvolutionalClassifier", "PatchEmbedding", "SqueezeExcite", "StochasticResidual"]


class PatchEmbedding(layers.Layer):
    """Cuts an image into patches, projects each and adds a learned position to it."""

    def __init__(self, patch: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch, self.width = patch, width
        self.projection = layers.Dense(width)

    def build(self, shape: tuple[int, ...]) -> None:
        """Make the positions for this size of image."""
        count = (shape[1] // self.patch) * (shape[2] // self.patch)
        self.positions = layers.Embedding(count, self.width)
        self.positions.build(None)
        self.projection.build((None, count, self.patch**2 * shape[3]))
        self.count = count

    def call(self, images: Any) -> Any:
        """N × height × width × C → N × patches × width."""
        patches = ops.image.extract_patches(images, size=self.patch)
        patches = ops.reshape(patches, (-1, self.count, patches.shape[-1]))
        return self.projection(patches) + self.positions(ops.arange(self.count))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "patch": self.patch, "width": self.width}


class SqueezeExcite(layers.Layer):
    """Weighs channels by what their averages say (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, ratio: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ratio = ratio

    def build(self, shape: tuple[int, ...]) -> None:
        """Make the two dense layers."""
        channels = shape[-1]
        self.squeeze = layers.Dense(channels // self.ratio, activation="relu")
        self.excite = layers.Dense(channels, activation="hard_sigmoid")
        self.squeeze.build((None, channels))
        self.excite.build((None, channels // self.ratio))

    def call(self, x: Any) -> Any:
        """Same shape."""
        weights = self.excite(self.squeeze(ops.mean(x, axis=(1, 2))))
        return x * weights[:, None, None, :]

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "ratio": self.ratio}


class StochasticResidual(layers.Layer):
    """A residual sum that drops its branch now and then while training."""

    def __init__(self, rate: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, x: Any, branch: Any, training: bool = False) -> Any:
        """Same shape."""
        if training:
            keep = keras.random.uniform((ops.shape(x)[0], 1, 1, 1)) >= self.rate
            branch = branch * ops.cast(keep, branch.dtype)
        return x + branch

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "rate": self.rate}


class ConvolutionalClassifier(keras.Model):
    """A subclassed model: what it computes is written in Python only."""

    def __init__(self, classes: int, width: int = 16, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes, self.width = classes, width
        self.scale = layers.Rescaling(1 / 127.5, offset=-1)
        self.stages = [
            keras.Sequential([layers.Conv2D(width << i, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()])
            for i in range(3)
        ]
        self.pool = layers.MaxPooling2D()
        self.average = layers.GlobalAveragePooling2D()
        self.drop = layers.Dropout(0.3)
        self.head = layers.Dense(classes, activation="softmax")

    def call(self, images: Any, training: bool = False) -> Any:
        """N × height × width × 3 → N × classes."""
        x = self.scale(images)
        for stage in self.stages:
            x = self.pool(stage(x, training=training))
        return self.head(self.drop(self.average(x), training=training))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "classes": self.classes, "width": self.width}
