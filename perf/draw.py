"""Weights for a network nobody trained, such that it answers differently to different images.

A fresh initialization answers almost the same to every image, and an export that is wrong in its first layer would
agree with it. So kernels, statistics and factors are drawn layer by layer while images pass through: every kernel is
scaled so that its output has unit variance (Mishkin & Matas 2016, arXiv:1511.06422), batch statistics lie around those
of the images but are not those, and the logits are centred and spread.
"""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bctoolkit.export.keras_graph.walk import Operation, walk
from bctoolkit.networks import leaves

LOGIT_DEVIATION = 2.0


def pictures(count: int, size: int, seed: int) -> NDArray[np.uint8]:
    """Smooth patches of colour with a little noise, count × size × size × 3; white noise looks all alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 4, 4, 3)).astype(np.float32)
    smooth = np.asarray(keras.ops.image.resize(coarse, (size, size), interpolation="bilinear"))
    return np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)


def draw(model: keras.Model, images: NDArray[np.uint8], seed: int) -> None:
    """Draw every weight of a classifier anew, in place."""
    rng = np.random.default_rng(seed)
    last = [layer for layer in leaves(model) if hasattr(layer, "kernel")][-1]

    def visit(operation: Operation, *args: Any, **kwargs: Any) -> Any:
        if isinstance(operation, keras.layers.SeparableConv2D):
            _draw_kernels(operation, ("depthwise_kernel", "pointwise_kernel"), args[0], rng)
        elif hasattr(operation, "kernel"):
            _draw_kernels(operation, ("kernel",), args[0], rng)
            if operation is last:
                _spread(operation, args[0])
        elif isinstance(operation, keras.layers.BatchNormalization):
            _draw_statistics(operation, args[0], rng)
        elif isinstance(operation, keras.layers.Normalization) and operation.weights:
            mean, deviation = _around(args[0], rng)
            operation.adapt_mean.assign(mean)
            operation.adapt_variance.assign(deviation**2)
            operation.finalize_state()
        elif getattr(operation, "weights", None):
            for weight in operation.weights:
                weight.assign(rng.uniform(0.2, 1.2, weight.shape))
        return operation(*args, **kwargs)

    walk(model, keras.ops.convert_to_tensor(images.astype(np.float32)), visit)


def _before_activation(layer: Any, x: Any) -> NDArray[np.float32]:
    activation, layer.activation = layer.activation, keras.activations.linear
    y: NDArray[np.float32] = np.asarray(layer(x))
    layer.activation = activation
    return y


def _draw_kernels(layer: Any, names: tuple[str, ...], x: Any, rng: np.random.Generator) -> None:
    for name in names:
        kernel = getattr(layer, name)
        fan_in = np.prod(kernel.shape[:2] if "Depthwise" in type(layer).__name__ else kernel.shape[:-1])
        kernel.assign(rng.normal(0, 1 / np.sqrt(fan_in), kernel.shape))
    if layer.use_bias:
        layer.bias.assign(np.zeros(layer.bias.shape))
    kernel.assign(kernel / max(float(_before_activation(layer, x).std()), 1e-6))
    if layer.use_bias:
        layer.bias.assign(rng.normal(0, 0.2, layer.bias.shape))


def _spread(layer: Any, x: Any) -> None:
    """Centre the logits of each class and give them the same deviation between images."""
    logits = _before_activation(layer, x).reshape(len(x), -1)
    factor = LOGIT_DEVIATION / logits.std(axis=0)
    layer.kernel.assign(layer.kernel * factor)
    layer.bias.assign((layer.bias - logits.mean(axis=0)) * factor)


def _draw_statistics(layer: Any, x: Any, rng: np.random.Generator) -> None:
    """Offsets are mostly positive: centred on zero, dozens of layers in a row would blow rounding errors up."""
    mean, deviation = _around(x, rng)
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(deviation**2)
    if layer.scale:
        layer.gamma.assign(rng.uniform(0.5, 1.2, mean.shape))
    if layer.center:
        layer.beta.assign(rng.normal(1, 0.5, mean.shape))


def _around(x: Any, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and deviation of each channel, some way off; no channel's deviation is tiny beside the others' values."""
    values = np.asarray(x).reshape(-1, x.shape[-1])
    deviation = np.maximum(values.std(axis=0), 0.3 * np.sqrt((values**2).mean()))
    mean = values.mean(axis=0) + deviation * rng.normal(0, 0.2, deviation.shape)
    return mean, deviation * rng.uniform(0.7, 1.4, deviation.shape)
