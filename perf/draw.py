"""Weights for a network nobody trained, such that it answers differently to different images.

A fresh initialization answers almost the same to every image, and an export that is wrong in its first layer would
agree with it. So kernels, statistics and factors are drawn layer by layer while images pass through: every kernel is
scaled so that its output has unit variance (Mishkin & Matas 2016, arXiv:1511.06422), batch statistics lie around those
of the images but are not those, and the logits are centred and spread. Any Keras model can be drawn, one whose graph
Keras does not know too.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

LOGIT_DEVIATION = 2.0


def pictures(count: int, size: int, seed: int, channels: int = 3) -> NDArray[np.uint8]:
    """Smooth patches of colour with a little noise, count × size × size × channels; white noise looks all alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 4, 4, channels)).astype(np.float32)
    smooth = np.asarray(keras.ops.image.resize(coarse, (size, size), interpolation="bilinear"))
    return np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)


def draw(model: keras.Model, images: NDArray[np.uint8], seed: int) -> None:
    """Draw every weight of a classifier anew, in place."""
    inputs = keras.ops.convert_to_tensor(images.astype(np.float32))
    with_kernel: list[Any] = []
    with _before_each_call(lambda layer, _: with_kernel.append(layer) if _has_kernel(layer) else None):
        model(inputs, training=False)
    last, rng, done = with_kernel[-1], np.random.default_rng(seed), set[int]()

    def visit(layer: Any, x: Any) -> None:
        own = [weight for weight in _weights(layer) if id(weight) not in done]
        if own:
            done.update(map(id, own))
            _draw_layer(layer, own, x, rng)
            if layer is last:
                _spread(layer, x)

    with _before_each_call(visit):
        model(inputs, training=False)


@contextlib.contextmanager
def _before_each_call(visit: Callable[[Any, Any], object]) -> Iterator[None]:
    """Show `visit` each layer and what it is called with, but for those that it calls itself."""
    original, busy = keras.layers.Layer.__call__, [False]

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if not busy[0]:
            busy[0] = True
            visit(layer, next(iter((*args, *kwargs.values())), None))
            busy[0] = False
        return original(layer, *args, **kwargs)

    keras.layers.Layer.__call__ = call
    try:
        yield
    finally:
        keras.layers.Layer.__call__ = original


def _weights(layer: Any) -> list[Any]:
    """A layer's own floating-point weights, without those of layers inside it but for a recurrent layer's cell."""
    if isinstance(layer, keras.layers.RNN):
        return list(layer.cell.weights)
    own = layer._trainable_variables + layer._non_trainable_variables
    return [weight for weight in own if weight.dtype == "float32"]


def _has_kernel(layer: Any) -> bool:
    return hasattr(layer, "kernel") and hasattr(layer, "activation") and not hasattr(layer, "recurrent_kernel")


def _draw_layer(layer: Any, weights: list[Any], x: Any, rng: np.random.Generator) -> None:
    if isinstance(layer, keras.layers.RNN):
        for weight in weights:
            weight.assign(rng.normal(0, 0.2 if len(weight.shape) < 2 else 1 / np.sqrt(weight.shape[0]), weight.shape))
    elif isinstance(layer, keras.layers.SeparableConv2D):
        _draw_kernels(layer, ("depthwise_kernel", "pointwise_kernel"), x, rng)
    elif _has_kernel(layer):
        _draw_kernels(layer, ("kernel",), x, rng)
    elif isinstance(layer, keras.layers.BatchNormalization):
        _draw_statistics(layer, x, rng)
    elif isinstance(layer, keras.layers.Normalization):
        mean, deviation = _around(x, rng)
        layer.adapt_mean.assign(mean)
        layer.adapt_variance.assign(deviation**2)
        layer.finalize_state()
    else:
        for weight in (weight for weight in weights if weight.trainable or len(weight.shape) == 1):
            few = np.prod(weight.shape) == max(weight.shape, default=1)
            weight.assign(rng.uniform(0.2, 1.2, weight.shape) if few else rng.normal(0, 0.5, weight.shape))


def _before_activation(layer: Any, x: Any) -> NDArray[np.float32]:
    activation, layer.activation = layer.activation, keras.activations.linear
    y: NDArray[np.float32] = np.asarray(layer(x))
    layer.activation = activation
    return y


def _draw_kernels(layer: Any, names: tuple[str, ...], x: Any, rng: np.random.Generator) -> None:
    bias = getattr(layer, "bias", None)
    for name in names:
        kernel = getattr(layer, name)
        fan_in = np.prod(kernel.shape[:2] if "Depthwise" in type(layer).__name__ else kernel.shape[:-1])
        kernel.assign(rng.normal(0, 1 / np.sqrt(fan_in), kernel.shape))
    if bias is not None:
        bias.assign(np.zeros(bias.shape))
    kernel.assign(kernel / max(float(_before_activation(layer, x).std()), 1e-6))
    if bias is not None:
        bias.assign(rng.normal(0, 0.2, bias.shape))


def _spread(layer: Any, x: Any) -> None:
    """Centre the logits of each class and give them the same deviation between images."""
    logits = _before_activation(layer, x)
    logits = logits.reshape(-1, logits.shape[-1])
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
