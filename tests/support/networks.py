"""Small networks with drawn weights."""

import keras
import numpy as np
from numpy.typing import NDArray

from bctoolkit.networks import Gelu, LayerScale

SIZE = 32


def small_convnext(seed: int, classes: int = 3) -> keras.Model:
    """Two ConvNeXt blocks with weights weights; depthwise channels differ in size, the norm after them evens it out."""
    rng = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)  # the layers' own first weights count too
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling([1 / 58, 1 / 57, 1 / 57], [-2.1, -2.0, -1.8], name="preprocess")(inputs)
    x = layers.Conv2D(24, 4, strides=4, name="stem_conv")(x)
    x = layers.LayerNormalization(epsilon=1e-6, name="stem_norm")(x)
    for block in ("block_0", "block_1"):
        y = layers.DepthwiseConv2D(7, padding="same", name=f"{block}_depthwise")(x)
        y = layers.LayerNormalization(epsilon=1e-6, name=f"{block}_norm")(y)
        y = layers.Dense(48, name=f"{block}_expand")(y)
        y = Gelu(name=f"{block}_gelu")(y)
        y = layers.Dense(24, name=f"{block}_project")(y)
        y = LayerScale(1.0, name=f"{block}_scale")(y)
        x = layers.Add(name=f"{block}_add")([x, y])
    x = layers.GlobalAveragePooling2D(name="head_pool")(x)
    x = layers.LayerNormalization(epsilon=1e-6, name="head_norm")(x)
    x = layers.Dense(classes, name="head_logits")(x)
    model = keras.Model(inputs, layers.Activation("softmax", name="head_probabilities")(x), name="small_convnext")
    spread = np.exp(rng.uniform(-5, 0, 24))
    for layer in model.layers:
        weights = [w + rng.normal(0, 0.3 / max(w.shape[0], 1) ** 0.5, w.shape) for w in layer.get_weights()]
        if layer.name.endswith("_depthwise"):
            weights[0] = rng.normal(0, 0.3, weights[0].shape) * spread[:, None]
        if layer.name.startswith("block") and layer.name.endswith("_norm"):
            weights[0] = rng.uniform(0.5, 1.5, 24) / spread / 10
        if layer.name.endswith("_scale"):
            weights = [rng.normal(0.6, 0.2, weights[0].shape)]
        layer.set_weights(weights)
    return model


def fit_head(model: keras.Model, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    """Train the last layer alone: softmax regression on what the drawn layers below it see."""
    features = keras.Model(model.inputs[0], model.get_layer("head_norm").output)
    x = np.asarray(features(images.astype(np.float32)))
    head = model.get_layer("head_logits")
    kernel, bias = (array.astype(np.float64) * 0 for array in head.get_weights())
    truth = np.eye(bias.size)[labels]
    for _ in range(400):
        logits = x @ kernel + bias
        p = np.exp(logits - logits.max(1, keepdims=True))
        slope = (p / p.sum(1, keepdims=True) - truth) / len(x)
        kernel, bias = kernel - x.T @ slope - 1e-4 * kernel, bias - slope.sum(0)
    head.set_weights([kernel, bias])
